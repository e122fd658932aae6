// Package keytable keeps a region's key table on a shelf, for all its nodes. It
// implements store.Keys as dataplane/local does for a region of one node, by the
// same rules:
//
//	custodian: a cloud's key service, a hardware module, a root key in a file
//	  └ generation key, never stored; the custodian gives it and destroys it
//	      └ sheet: the keys of the tables and of the names, sealed
//	          ├ blocks: chunk keys drawn in one generation, 256 to a row
//	          └ names: named keys (names hashed)
//
// The shelf is in a database of its own, which is in no backup of the records'
// database. Rows that were changed or deleted live on in a database's log, in
// its dead tuples and in its copies; so nothing rests on their going. A rotation
// writes the tables in which keys were destroyed anew under another key, seals a
// new sheet, and has the custodian destroy the key of the former one: from then
// on nothing that was destroyed opens from any copy of the database, however
// old. Which node rotates, a lease decides, and its fencing number is compared
// in each transaction of the rotation.
//
// What a node holds in memory it holds for policy.KeysFor at most without the
// custodian's word: so long a key that another node destroyed may still be in
// its cache. It finds a new generation out with its next question to the shelf.
package keytable
