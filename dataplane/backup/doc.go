// Package backup keeps copies of what a region's node has stored, in a place that
// is a folder on another disk of the region, or a bucket in it: the repository.
//
//	domicile-backup.json       whose it is: format, region, cluster, id
//	objects/ab/<sha256>        a sealed file, named by the hash of its bytes
//	snapshots/<id>.snapshot    what the node had at one moment: a clear head, and the sealed list of its files
//	notes/<number>-<sha256>    what was sealed anew since, before its old keys went (note.go)
//	erasures/ledger.jsonl      the erasure ledger's copy, always the newest
//	given-up/<after>-<until>   snapshots that a restore has left behind (line.go)
//	incoming/                  what is being written, in a folder
//	lock                       held by whoever works on it; in a bucket: working/
//
// A snapshot is incremental and whole at once: it lists every file, and files
// that an earlier one has already are not copied again. It never holds keys.
// What a region has stored is sealed under keys of its key table, so that a
// backup without the table is noise, and what was destroyed there is destroyed
// in every backup. Everything here is sealed once more, under a key that the
// table keeps for this alone, bound to region and cluster.
//
// Nothing appears under its own name before it is whole and durable: a crash
// leaves what prune clears away.
package backup
