package verify

import (
	"cmp"
	"slices"
)

// Log checks all records of a log, one after the other, against signed
// checkpoints. Memory does not grow with the log.
type Log struct {
	tree     tree
	revision uint64 // of the record before
	todo     []Checkpoint
}

// NewLog begins with the checkpoints that the records must fit: the newest,
// and any kept from before. Two that cannot be of one log are a FORK.
func NewLog(checkpoints ...Checkpoint) (*Log, error) {
	l := &Log{todo: slices.Clone(checkpoints)}
	slices.SortFunc(l.todo, func(a, b Checkpoint) int { return cmp.Compare(a.Size, b.Size) })
	for i, c := range l.todo[min(1, len(l.todo)):] {
		before := l.todo[i]
		if c.Origin != before.Origin {
			return nil, found(Fork, c.Size, "the checkpoints are of different logs")
		}
		if c.Size == before.Size && c.Root != before.Root {
			return nil, found(Fork, c.Size, "two checkpoints of this size have different roots")
		}
	}
	return l, l.compare()
}

// Add takes the next record. After an error the log is not to be used further.
func (l *Log) Add(record []byte) error {
	index := l.tree.size
	if len(l.todo) == 0 {
		return found(Unsigned, index, "no checkpoint covers this record")
	}
	leaf, err := ParseLeaf(record)
	if err != nil {
		return found(BadRecord, index, "%s", why(err))
	}
	if leaf.Index != index {
		return found(OutOfOrder, index, "the record here says that it is number %d: records were removed, added or moved", leaf.Index)
	}
	if !follows(leaf, l.revision) {
		return found(Missing, index, "the record is of revision %d after %d: a change has no record, or a record is wrong", leaf.Revision, l.revision)
	}
	l.revision = leaf.Revision
	l.tree.add(RecordHash(record))
	return l.compare()
}

// epochSpan stands between the revisions of two cluster epochs: a revision is
// (epoch - 1) × epochSpan + the number of changes so far.
const epochSpan = 1_000_000_000_000

// follows reports whether a record is of the next revision: one more or, when it
// says that the cluster was restored or recovered, or that a region's log was, one
// more in a later epoch.
func follows(leaf Leaf, before uint64) bool {
	if leaf.Revision == before+1 {
		return true
	}
	begins := leaf.Action == "cluster.restore" || leaf.Action == "cluster.recover" || leaf.Action == "log.restore"
	return begins && leaf.Revision%epochSpan == before%epochSpan+1 && leaf.Revision/epochSpan > before/epochSpan
}

// compare checks the root where a checkpoint says what it must be.
func (l *Log) compare() error {
	for len(l.todo) > 0 && l.todo[0].Size == l.tree.size {
		if l.tree.root() != l.todo[0].Root {
			return found(Altered, l.tree.size, "the first %d records do not have the root that was signed: at least one of them was changed", l.tree.size)
		}
		l.todo = l.todo[1:]
	}
	return nil
}

// Done says whether every checkpoint was reached.
func (l *Log) Done() error {
	if len(l.todo) > 0 {
		return found(Truncated, l.tree.size, "%d records are here and %d were signed", l.tree.size, l.todo[len(l.todo)-1].Size)
	}
	return nil
}

// Size is how many records were taken.
func (l *Log) Size() uint64 { return l.tree.size }

func why(err error) string {
	if f, ok := err.(*Finding); ok {
		return f.Why
	}
	return err.Error()
}
