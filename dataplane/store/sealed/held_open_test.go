package sealed

import (
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Keys and opened frames end though nobody asks for them again: another node may have
// destroyed what they are of, or the key service is gone.
func TestINV21_WhatIsHeldOpenEnds(t *testing.T) {
	now := time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	s := &Store{aeads: newAEADCache(clock), frames: newFrameCache(1<<20, clock)}
	hold := func(n byte) {
		aead, err := newAEAD([32]byte{n})
		if err != nil {
			t.Fatal(err)
		}
		s.aeads.Add(store.KeyID{Index: uint64(n)}, aead)
		id := frameID{chunk: int64(n)}
		_, since, _ := s.frames.find(id)
		s.frames.add(id, opened{frame: &frame{size: 100}}, since)
	}
	held := func() (keys, frames, size int) { return s.aeads.aeads.Len(), s.frames.order.Len(), s.frames.size }
	hold(1)
	now = now.Add(policy.KeysFor - 1)
	hold(2)
	s.ForgetOld()
	if k, f, _ := held(); k != 2 || f != 2 {
		t.Errorf("too early: %d keys and %d frames are left", k, f)
	}
	now = now.Add(1)
	s.ForgetOld()
	if k, f, size := held(); k != 1 || f != 1 || size != 100 {
		t.Errorf("%d keys and %d frames (%d bytes) are left, want the younger ones", k, f, size)
	}
	now = now.Add(-time.Hour) // a clock that was set back makes nothing younger
	s.ForgetOld()
	if k, f, _ := held(); k != 0 || f != 0 {
		t.Errorf("a clock that was set back: %d keys and %d frames are left", k, f)
	}
}
