package verify

import "fmt"

// Kind says in which way a log is not what it should be.
type Kind string

// The kinds of findings.
const (
	BadSignature Kind = "BAD_SIGNATURE" // the checkpoint is not signed by the expected key, or the key not certified
	BadNote      Kind = "BAD_NOTE"      // not a checkpoint at all
	BadRecord    Kind = "BAD_RECORD"    // a record is not of the closed form
	OutOfOrder   Kind = "OUT_OF_ORDER"  // a record stands where another must: removed, added or moved
	Missing      Kind = "MISSING"       // a change has no record: its revision was passed over
	Altered      Kind = "ALTERED"       // the records do not have the root that was signed
	Truncated    Kind = "TRUNCATED"     // there are fewer records than were signed
	Unsigned     Kind = "UNSIGNED"      // there are more records than the newest checkpoint covers
	Fork         Kind = "FORK"          // two signed checkpoints cannot be of one log
	BadProof     Kind = "BAD_PROOF"     // a proof does not prove what it is for
)

// Finding is one failure of a check. It quotes nothing of what was checked.
type Finding struct {
	Kind  Kind
	Index uint64 // of the record where it is first seen, or the size of the log concerned
	Why   string
}

// Error implements error.
func (f *Finding) Error() string { return fmt.Sprintf("%s at %d: %s", f.Kind, f.Index, f.Why) }

func found(kind Kind, index uint64, format string, args ...any) *Finding {
	return &Finding{Kind: kind, Index: index, Why: fmt.Sprintf(format, args...)}
}
