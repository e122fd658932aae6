package store

import "github.com/domicile-io/domicile/dataplane/record"

// Fate is what Rewrite does with one call.
type Fate byte

// The fates.
const (
	Keep   Fate = iota // nothing of it changes
	Redact             // it stays, each stored version and view of it changed
	Drop               // nothing of it stays that opens
)

// Rewrite says which calls are to be dropped or redacted, and how.
type Rewrite struct {
	// Calls are ids of the tenant. Unknown and dropped ones are passed over, so
	// that a rewrite that was cut short can be repeated.
	Calls []string

	// Fate decides on a call by its current view; nil drops all. It may be asked
	// more than once about one call, when records arrive meanwhile, and is not
	// asked about one that is damaged: that is dropped.
	Fate func(Call) Fate

	// Redact takes out of a record what must go; needed when Fate answers Redact.
	// It is given every version, event and view of the call, in no particular
	// order, and must treat the same value alike in each: the records of one call
	// must go on having one CallKey, and what it has made already it must leave as
	// it is. A content hash goes with the payload that it
	// was made of.
	Redact func(*record.Record)

	// KeepCounts leaves what dropped calls added to the rollups: what a retention
	// ends was counted rightly. An erasure takes the contributions back.
	KeepCounts bool
}

// Rewritten counts what Rewrite did.
type Rewritten struct {
	Dropped  uint64 // calls
	Redacted uint64 // calls
	Versions uint64 // stored versions and events of both, as ingested
	Chunks   uint64 // sealed anew, or gone as a whole
	Keys     uint64 // destroyed
	Damaged  uint64 // dropped calls with a chunk of which nothing opens, so that nobody knows which key to destroy; said again when the rewrite is repeated
}

// Add sums up.
func (r *Rewritten) Add(o Rewritten) {
	r.Dropped, r.Redacted, r.Versions = r.Dropped+o.Dropped, r.Redacted+o.Redacted, r.Versions+o.Versions
	r.Chunks, r.Keys, r.Damaged = r.Chunks+o.Chunks, r.Keys+o.Keys, r.Damaged+o.Damaged
}
