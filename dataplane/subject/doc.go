// Package subject is what a region does for one person: it finds the subjects
// that a number stood for and when, hands out everything that is attributed to
// one as an archive ([Service.Export]), and forgets one for good
// ([Service.Erase]), with a certificate. Legal holds stand against forgetting.
//
// A subject is a random id, given at ingest; only the index at home leads from
// a number to it. A number that changes hands ([Service.Reassign]) has several
// owners one after the other, each with a subject of its own, and a call
// belongs to whoever owned the number when the call began.
//
// An erasure is a job of steps that can each be repeated ([step]); its journal
// is a sealed document of the store, so that any node that has the store can go
// on with it after a crash. Before anything is destroyed the intent is written
// into the ledger ([Ledger]), which lies outside the record store and is not
// put back with it: a restored store is behind the ledger, and serves nobody
// until what it lacks has been applied again (invariant 22).
//
// What is kept of a call whose one party is erased, and what is not, is in
// [Redaction] and docs/adr/0043.
package subject
