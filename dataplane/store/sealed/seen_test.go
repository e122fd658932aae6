package sealed

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"
)

func randomTag(r *rand.Rand) (tag [16]byte) {
	binary.BigEndian.PutUint64(tag[:], r.Uint64())
	binary.BigEndian.PutUint32(tag[8:], r.Uint32()) // tagSize bytes: the rest is zero
	return tag
}

// A tag that was added is never said to be absent, by whomever and while the
// filter grows: a miss would store a duplicate as a new call.
func TestINV33_SeenNeverForgets(t *testing.T) {
	s := newSeen()
	s.ready.Store(true)
	const writers, each = 4, seenFirst / 2 // twice what the first layer holds
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			for range each {
				tag := randomTag(r)
				s.add(tag)
				if s.absent(tag) {
					t.Errorf("writer %d: a tag was forgotten at once", w)
					return
				}
			}
		})
	}
	all.Wait()
	for w := range writers {
		r := rand.New(rand.NewPCG(1, uint64(w)))
		for range each {
			if s.absent(randomTag(r)) {
				t.Fatalf("writer %d: a tag was forgotten", w)
			}
		}
	}
	if n := len(*s.layers.Load()); n != 2 {
		t.Errorf("%d layers, want 2", n)
	}
	alarms, r := 0, rand.New(rand.NewPCG(2, 2))
	for range 100_000 {
		if !s.absent(randomTag(r)) {
			alarms++
		}
	}
	if alarms > 3_000 {
		t.Errorf("%d of 100,000 new tags raise a false alarm: the filter spares nothing", alarms)
	}
}

// A filter that is not whole, or that reached its bound, says nothing.
func TestSeenIsSilentWhenItDoesNotKnow(t *testing.T) {
	s := newSeen()
	if s.absent([16]byte{1}) {
		t.Error("a filter that is still being filled calls a tag absent")
	}
	full := make([]*seenLayer, seenMaxLayers)
	for i := range full {
		full[i] = newSeenLayer(64)
	}
	s.layers.Store(&full)
	s.ready.Store(true)
	r := rand.New(rand.NewPCG(3, 3))
	for range 65 {
		s.add(randomTag(r))
	}
	if s.absent(randomTag(r)) || !s.full() {
		t.Error("a filter past its bound calls a tag absent")
	}
}
