package policy

import (
	"encoding/binary"
	"hash/maphash"
	"iter"
	"math/bits"
	"slices"
)

// tableShards is how many parts a table has. An edit copies the parts that it
// touches, and one pointer for each of the others: of a million entries about
// 250, and 32 KB.
const tableShards = 4096

// Table is an immutable map by the bits of an id, made for a bundle of millions
// of tenants of which a few change: a look-up allocates nothing and touches
// three cache lines, an entry costs its own size and about 20 bytes, and tables
// share what did not change. The zero Table is empty and ready.
type Table[E any] struct {
	shards *[tableShards]*shard[E] // nil: empty
	count  int
}

// shard is open addressing over a dense list, so that empty slots cost two bytes.
type shard[E any] struct {
	slots   []uint16 // a power of two; 1 + index into entries, 0 empty
	entries []tableEntry[E]
}

type tableEntry[E any] struct {
	id Bits
	e  E
}

// hashSeed differs in each process: whoever chooses ids cannot choose where they stand.
var hashSeed = func() [2]uint64 {
	s := maphash.MakeSeed()
	return [2]uint64{maphash.String(s, "high"), maphash.String(s, "low")}
}()

// spread gives 64 bits: the upper 12 choose the shard, the lower the slot.
func spread(id Bits) uint64 {
	high, low := bits.Mul64(binary.LittleEndian.Uint64(id[:8])^hashSeed[0], binary.LittleEndian.Uint64(id[8:])^hashSeed[1])
	return high ^ low
}

func shardOf(hash uint64) uint64 { return hash >> 52 }

// Len counts entries.
func (t Table[E]) Len() int { return t.count }

// Get finds an entry, which must not be changed; nil when there is none.
func (t Table[E]) Get(id Bits) *E {
	if t.shards == nil {
		return nil
	}
	hash := spread(id)
	s := t.shards[shardOf(hash)]
	if s == nil {
		return nil
	}
	if i := s.find(id, hash); i >= 0 {
		return &s.entries[i].e
	}
	return nil
}

// find gives an entry's index; -1 without one.
func (s *shard[E]) find(id Bits, hash uint64) int {
	mask := uint64(len(s.slots) - 1)
	for at := hash & mask; ; at = (at + 1) & mask { // ends: a quarter of the slots is empty
		i := int(s.slots[at]) - 1
		if i < 0 || s.entries[i].id == id {
			return i
		}
	}
}

// All yields every entry, in no order.
func (t Table[E]) All() iter.Seq2[Bits, *E] {
	return func(yield func(Bits, *E) bool) {
		if t.shards == nil {
			return
		}
		for _, s := range t.shards {
			if s == nil {
				continue
			}
			for i := range s.entries {
				if !yield(s.entries[i].id, &s.entries[i].e) {
					return
				}
			}
		}
	}
}

// TableEdit changes a copy of a table. It is not safe for concurrent use.
type TableEdit[E any] struct {
	shards *[tableShards]*shard[E]
	own    [tableShards]bool // the shard is this edit's alone
	count  int
}

// Edit begins a copy.
func (t Table[E]) Edit() *TableEdit[E] {
	x := &TableEdit[E]{shards: new([tableShards]*shard[E]), count: t.count}
	if t.shards != nil {
		*x.shards = *t.shards
	}
	return x
}

// Get finds an entry as edited so far, good until the next change; nil when there is none.
func (x *TableEdit[E]) Get(id Bits) *E { return Table[E]{shards: x.shards}.Get(id) }

// Put adds or replaces an entry.
func (x *TableEdit[E]) Put(id Bits, e E) {
	hash := spread(id)
	s := x.edit(shardOf(hash))
	if i := s.find(id, hash); i >= 0 {
		s.entries[i].e = e
		return
	}
	s.entries = append(s.entries, tableEntry[E]{id, e})
	x.count++
	if 4*len(s.entries) > 3*len(s.slots) {
		s.index()
		return
	}
	s.enter(len(s.entries)-1, hash)
}

// Delete takes an entry out; an absent one is no error.
func (x *TableEdit[E]) Delete(id Bits) {
	if x.Get(id) == nil {
		return
	}
	hash := spread(id)
	s := x.edit(shardOf(hash))
	i, last := s.find(id, hash), len(s.entries)-1
	s.entries[i] = s.entries[last]
	s.entries[last] = tableEntry[E]{} // what it points to may go
	s.entries = s.entries[:last]
	s.index()
	x.count--
}

// Table ends the edit, which must not be used again.
func (x *TableEdit[E]) Table() Table[E] {
	for i, mine := range x.own {
		if mine {
			x.shards[i].entries = slices.Clip(fit(x.shards[i].entries))
		}
	}
	return Table[E]{shards: x.shards, count: x.count}
}

// fit copies what has much room to spare, because a table lives long.
func fit[T any](list []T) []T {
	if cap(list)-len(list) <= len(list)/8 {
		return list
	}
	return append(make([]T, 0, len(list)), list...)
}

// edit gives a shard that this edit alone holds.
func (x *TableEdit[E]) edit(i uint64) *shard[E] {
	if x.own[i] {
		return x.shards[i]
	}
	s := &shard[E]{}
	if old := x.shards[i]; old != nil {
		s.entries = append(make([]tableEntry[E], 0, len(old.entries)+1), old.entries...)
		s.slots = slices.Clone(old.slots)
	} else {
		s.index()
	}
	x.shards[i], x.own[i] = s, true
	return s
}

// index makes the slots anew.
func (s *shard[E]) index() {
	size := 4
	for 4*len(s.entries) > 3*size {
		size *= 2
	}
	s.slots = make([]uint16, size)
	for i := range s.entries {
		s.enter(i, spread(s.entries[i].id))
	}
}

// enter notes where an entry stands. A shard holds at most 65,535: a table that
// fills one has more than 200 million entries.
func (s *shard[E]) enter(i int, hash uint64) {
	mask := uint64(len(s.slots) - 1)
	at := hash & mask
	for s.slots[at] != 0 {
		at = (at + 1) & mask
	}
	s.slots[at] = uint16(i + 1)
}
