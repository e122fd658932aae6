// Package log is a region's log: what was erased, expired, held, exported and
// destroyed there, and that records were stored, in a Merkle tree that cannot be
// changed unseen (package audit).
//
// An entry is noted in the commit of its change, by the store (store.Log). This
// package gives entries their places: a round takes what waits and makes leaves
// of it, the batches of one tenant gathered in one leaf, and commits leaves,
// hashes and the new head together. So an entry is in the log or waits for it,
// at every moment at which a machine can stop (INV27).
//
// Whoever loses it or puts it back from a backup must not sign two different
// histories under one name: see continue.go. docs/audit.md tells how a log is
// checked, and docs/adr/0050 why it is so.
package log
