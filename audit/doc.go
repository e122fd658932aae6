// Package audit is an append-only log that cannot be changed unseen: a Merkle
// tree over records, with RFC 6962 hashing, C2SP checkpoints
// (https://c2sp.org/tlog-checkpoint) and C2SP signed notes
// (https://c2sp.org/signed-note).
//
// The package keeps nothing. [Append], [Root], [Inclusion] and [Consistency]
// work on a numbered list of hashes that the caller keeps, in the same
// transaction as the change that the record is about: then there is a change
// if and only if there is a record, at every moment at which a machine can
// stop. An append reads and writes two hashes on average, a proof reads a
// number that grows with the logarithm of the size.
//
// A [Leaf] is the control plane's record: who did what to which object at
// which revision. It holds opaque ids and codes of closed forms, and never
// text that a person wrote.
//
// Whoever doubts a log reads package audit/verify, which shares no code with
// this one.
package audit
