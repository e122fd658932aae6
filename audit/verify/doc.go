// Package verify checks an audit log without trusting whoever keeps it. It is
// written from the specifications alone, with the standard library alone, and
// shares no code with package audit, which writes the log: a mistake there is
// not repeated here.
//
// Who verifies holds two things that the log's keeper cannot change: the
// operator's public root key, and a checkpoint kept from an earlier day. Then
//
//   - [Certified] ties the key that signs checkpoints to the root,
//   - [Open] checks a checkpoint's signature (C2SP signed-note, tlog-checkpoint),
//   - [Log] takes all records and finds any that was changed, removed, added or
//     moved, and a log that was cut or rewritten since the earlier checkpoint,
//   - [Inclusion] and [Consistency] check proofs, for those who do not want all
//     records.
//
// Every failure is a *[Finding]: what is wrong, and where it is first seen.
//
// What it cannot show: that a record tells the truth; that nothing was left out
// after the newest checkpoint; and a log shown differently to two people who
// never compare their checkpoints.
package verify
