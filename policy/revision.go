package policy

// Revisions and cluster epochs. A restore, or a recovery from a lost quorum,
// takes the control plane's state back; it begins a new cluster epoch, and the
// epoch stands in front of the count of changes in every revision. So revisions
// only grow, whatever is restored: a node's floor, an etag and a policy token
// of the time before never fit what was written afterwards (docs/adr/0016).

// EpochSpan is how many changes one cluster epoch has room for: at 10,000 a
// second, three years.
const EpochSpan uint64 = 1_000_000_000_000

// MaxEpoch keeps every revision exact in a JSON number (below 2^53).
const MaxEpoch uint64 = 9000

// EpochOf is the cluster epoch of a revision, from 1.
func EpochOf(revision uint64) uint64 { return revision/EpochSpan + 1 }

// CountOf is how many changes the state of a revision has seen: the size of
// its audit log.
func CountOf(revision uint64) uint64 { return revision % EpochSpan }

// RevisionOf joins an epoch, from 1, and a count of changes.
func RevisionOf(epoch, count uint64) uint64 { return (epoch-1)*EpochSpan + count }
