// Package local keeps a region's key table in files. It implements store.Keys.
//
//	custodian: a root key in a file, a cloud's key service, a hardware module
//	  └ generation key, never stored; the custodian gives it and destroys it
//	      └ sheet-G: the keys of the tables and of the names, sealed
//	          ├ table-B-V: chunk keys drawn in generation B, written anew in V
//	          └ names-G: named keys (names hashed)
//
// A rotation begins generation G+1: tables in which keys were destroyed are
// written anew without them, under a new key; the new sheet appears by rename,
// which is the moment of change; then the custodian destroys the key of G. From
// then on nothing that was destroyed opens from any copy of the files, however
// old. KeyIDs name a key's birth and place and never change.
//
// The file custodian (root.key, 0600, and generations, one fixed slot each)
// destroys by overwriting the slot in place and syncing. The residual risk is
// the disk's: a solid-state disk may keep an old copy of the sector where no
// file system can reach it, which is why the root key file belongs on a device
// that is destroyed with it, or why a region at scale uses a key service with
// hardware behind it.
//
// A stolen disk without the custodian reveals nothing: the files hold random
// bytes, ciphertext, counters and dates.
//
// The table has one copy, in another folder of the region (docs/adr/0039): every
// block of keys is durable in both before its first key is used.
package local
