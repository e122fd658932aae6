package sealed

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"sync"
)

// rowBuffer gathers a group's index rows and gives them to the engine in key order.
// Tags are random, so rows come in random order; in key order each insertion
// into the memtable begins where the last one ended instead of at the top.
type rowBuffer struct {
	*rowSpace // nil until the first row, and after moveTo
}

// rowSpace is what a buffer takes up; it is used again by the next.
type rowSpace struct {
	arena []byte
	rows  []bufferedRow
}

var rowSpaces = sync.Pool{New: func() any { return &rowSpace{} }}

// maxRowSpace is how much of an arena is kept: a group of the usual size.
const maxRowSpace = 4 << 20

// bufferedRow is where a row's key and value stand in the arena.
type bufferedRow struct {
	order           uint64 // rankOf its key
	key, value, end uint32 // a group is of 8 MiB and its rows of less
}

// rankOf orders most keys of one tenant without reading them again: a key's kind, and
// what follows the tenant, up to eight bytes in all. Keys of the same rank are compared
// as a whole; a shorter key than that has rank 0 in what it lacks, as it comes first.
func rankOf(key []byte) uint64 {
	const tenant = 1 + len(tenantRaw{})
	var tail [8]byte
	copy(tail[1:], key[min(tenant, len(key)):])
	tail[0] = key[0]
	return binary.BigEndian.Uint64(tail[:])
}

// set buffers a row of the group's tenant.
func (b *rowBuffer) set(key, value []byte) {
	if b.rowSpace == nil {
		b.rowSpace, _ = rowSpaces.Get().(*rowSpace)
	}
	at := uint32(len(b.arena))
	b.arena = append(append(b.arena, key...), value...)
	b.rows = append(b.rows, bufferedRow{rankOf(key), at, at + uint32(len(key)), uint32(len(b.arena))})
}

// moveTo writes every row into a batch. Of rows with the same key the one that
// was set last comes last, and holds.
func (b *rowBuffer) moveTo(batch Batch) error {
	if b.rowSpace == nil {
		return nil
	}
	defer b.release()
	slices.SortFunc(b.rows, func(x, y bufferedRow) int {
		if x.order != y.order {
			return cmp.Compare(x.order, y.order)
		}
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

func (b *rowBuffer) release() {
	if cap(b.arena) <= maxRowSpace {
		b.arena, b.rows = b.arena[:0], b.rows[:0]
		rowSpaces.Put(b.rowSpace)
	}
	b.rowSpace = nil
}
