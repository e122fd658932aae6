package sealed

import (
	"bytes"
	"cmp"
	"slices"
)

// rowBuffer gathers a group's index rows and gives them to the engine in key order.
// Tags are random, so rows come in random order; in key order each insertion
// into the memtable begins where the last one ended instead of at the top.
type rowBuffer struct {
	arena []byte
	rows  []bufferedRow
}

// bufferedRow is where a row's key and value stand in the arena.
type bufferedRow struct{ key, value, end int }

func (b *rowBuffer) set(key, value []byte) {
	at := len(b.arena)
	b.arena = append(append(b.arena, key...), value...)
	b.rows = append(b.rows, bufferedRow{at, at + len(key), len(b.arena)})
}

// moveTo writes every row into a batch. Of rows with the same key the one that
// was set last comes last, and holds.
func (b *rowBuffer) moveTo(batch Batch) error {
	slices.SortFunc(b.rows, func(x, y bufferedRow) int {
		if c := bytes.Compare(b.arena[x.key:x.value], b.arena[y.key:y.value]); c != 0 {
			return c
		}
		return cmp.Compare(x.key, y.key)
	})
	for _, r := range b.rows {
		if err := batch.Set(b.arena[r.key:r.value], b.arena[r.value:r.end]); err != nil {
			return err
		}
	}
	return nil
}
