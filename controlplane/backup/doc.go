// Package backup writes and reads backups of the control plane's state. A
// backup is one file, always encrypted; there is no plain form.
//
//	"domicile backup 1\n"                       what it is, and its format
//	length (4), manifest                        JSON, in plain: what is inside, with the hash of each part
//	length (4), seal                            JSON, in plain: the bundle key's signature over the manifest
//	payload                                     age file of a zstd stream of: SHA-256 of the manifest (32), the state's dump
//	SHA-256 of everything before (32)           so that damage shows without a key
//
// Numbers are big-endian. Encryption alone would not say who wrote a backup,
// because a recipient's key is public: the seal does, by the key that the
// operator's offline root certified for bundles. A payload belongs to one
// manifest, whose hash stands inside it.
//
// Write makes one of a store's snapshot, Open reads what stands in plain, and
// Extract decrypts, checks every hash and makes a state file of it.
package backup
