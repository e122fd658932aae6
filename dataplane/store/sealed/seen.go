package sealed

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// seen knows which fold and subject tags are certainly not in the store, so
// that a new call, the common case, costs no look-up in the engine: three of them
// were a third of the cost of ingest. It is a blocked Bloom filter in memory,
// filled in the background from the store's own keys at each start; until it is
// whole, and once it has reached its bound, it knows nothing and the engine is
// asked. Tags are HMACs, so their own bits serve as hashes. It only ever grows:
// a tag that is erased later stays as a false alarm until the next start.
type seen struct {
	ready  atomic.Bool
	layers atomic.Pointer[[]*seenLayer]

	mu   sync.Mutex // growing
	stop chan struct{}
	done chan struct{}
}

const (
	seenBlock = 8 // words of a block: one cache line
	seenBits  = 6 // bits of a tag in its block
	// seenPerKey is how many bits a layer has for each tag that it is made for:
	// about 1 false alarm in 100 when it is full.
	seenPerKey    = 12
	seenFirst     = 1 << 19 // tags of the first layer: 768 KiB; each further layer is twice as large
	seenMaxLayers = 7       // 66 million tags, 95 MiB
)

// seenLayer is one filter of a fixed size.
type seenLayer struct {
	words []atomic.Uint64
	room  atomic.Int64 // tags that may still be added
}

func newSeenLayer(tags int) *seenLayer {
	l := &seenLayer{words: make([]atomic.Uint64, tags*seenPerKey/64/seenBlock*seenBlock)}
	l.room.Store(int64(tags))
	return l
}

// place finds a tag's block, and its bits in the block, 9 each.
func (l *seenLayer) place(tag [16]byte) (block []atomic.Uint64, bits uint64) {
	n := int(binary.BigEndian.Uint32(tag[:])) % (len(l.words) / seenBlock)
	return l.words[n*seenBlock : (n+1)*seenBlock], binary.BigEndian.Uint64(tag[4:]) // tagSize bytes in all
}

func (l *seenLayer) has(tag [16]byte) bool {
	block, bits := l.place(tag)
	for range seenBits {
		if block[bits>>6&7].Load()&(1<<(bits&63)) == 0 {
			return false
		}
		bits >>= 9
	}
	return true
}

func (l *seenLayer) add(tag [16]byte) {
	block, bits := l.place(tag)
	for range seenBits {
		block[bits>>6&7].Or(1 << (bits & 63))
		bits >>= 9
	}
}

func newSeen() *seen {
	s := &seen{stop: make(chan struct{}), done: make(chan struct{})}
	s.layers.Store(&[]*seenLayer{newSeenLayer(seenFirst)})
	return s
}

// absent reports that a tag is certainly not in the store.
func (s *seen) absent(tag [16]byte) bool {
	if s == nil || !s.ready.Load() {
		return false
	}
	for _, l := range *s.layers.Load() {
		if l.has(tag) {
			return false
		}
	}
	return true
}

// warmed is for how many records the filter is read before their turn.
const warmed = 64

// warm reads the places of records' tags, so that absent finds them in the processor's
// cache: here it waits for many of them at once, there for one after the other.
func (s *seen) warm(tags []recordTags) {
	if s == nil || !s.ready.Load() {
		return
	}
	for _, l := range *s.layers.Load() {
		for i := range tags {
			for _, tag := range [...]*[16]byte{&tags[i].fold, &tags[i].from, &tags[i].to} {
				block, _ := l.place(*tag)
				block[0].Load()
			}
		}
	}
}

// add remembers a tag. It must be called before the tag can be looked up again.
func (s *seen) add(tag [16]byte) {
	if s == nil {
		return
	}
	layers := *s.layers.Load()
	last := layers[len(layers)-1]
	if last.room.Add(-1) < 0 {
		last = s.grow(last)
	}
	last.add(tag)
}

// grow adds a layer when the last one is full. At the bound it gives up: a
// filter that is overfull would alarm always and help nobody.
func (s *seen) grow(full *seenLayer) *seenLayer {
	s.mu.Lock()
	defer s.mu.Unlock()
	layers := *s.layers.Load()
	last := layers[len(layers)-1]
	if last != full {
		return last
	}
	if len(layers) == seenMaxLayers {
		s.ready.Store(false)
		last.room.Store(1 << 62)
		return last
	}
	next := newSeenLayer(seenFirst << len(layers))
	grown := append(append([]*seenLayer(nil), layers...), next)
	s.layers.Store(&grown)
	return next
}

// full reports that the bound was reached: the filter stays silent.
func (s *seen) full() bool { return len(*s.layers.Load()) == seenMaxLayers && !s.ready.Load() }

// fill adds every tag that the store held when it was opened; tags that come
// later are added as they come. A read error leaves the filter silent.
func (s *seen) fill(rows Engine) {
	defer close(s.done)
	for _, k := range []kind{kindFold, kindSubject, 'F', 'S'} {
		if !s.fillFrom(rows, k) {
			return
		}
	}
	s.ready.Store(!s.full())
}

func (s *seen) fillFrom(rows Engine, k kind) bool {
	it, err := rows.Rows([]byte{byte(k)}, []byte{byte(k) + 1})
	if err != nil {
		return false
	}
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if key := it.Key(); len(key) == 17+tagSize {
			s.add(tagIn(key))
		}
		if n++; n%4096 == 0 {
			select {
			case <-s.stop:
				_ = it.Close()
				return false
			default:
			}
		}
	}
	return it.Close() == nil
}

// close ends a fill that is under way.
func (s *seen) close() {
	close(s.stop)
	<-s.done
}
