// Package local is what a region runs on when it has no cloud under it: a file
// keyring that implements store.Keys.
//
//	region root key (root.key, 0600)
//	  └ generation key (generations: one fixed slot each, wrapped by the root)
//	      ├ chunk keys (table-N: wrapped, synced in blocks of 256 before use)
//	      └ named keys (names-N: wrapped, names hashed, durable before returned)
//
// Destroying a generation overwrites its slot in place and syncs; every key
// below it is then gone. The residual risk is the disk's: a solid-state disk
// may keep an old copy of the sector where no file system can reach it, which
// is why the root key file belongs on a device that is destroyed with it, or
// why a region at scale uses a key service with hardware behind it.
//
// A stolen disk without the root key file reveals nothing: every other file
// holds random bytes, ciphertext and counters.
package local
