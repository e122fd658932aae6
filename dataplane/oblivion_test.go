package dataplane

import (
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// After an erasure what was let go is overwritten with the next look, and once more
// when everything that may have been held at its time has ended; not in between, and
// not for ever.
func TestINV21_MemoryIsOverwrittenAfterAnErasure(t *testing.T) {
	now, forgot, wiped := time.Hour, 0, 0
	o := &oblivion{forget: func() { forgot++ }, wipe: func() { wiped++ }, now: func() time.Duration { return now }}
	for i, at := range []struct {
		pass   time.Duration
		erased bool
		wiped  int
	}{
		{0, false, 0},
		{0, true, 1},
		{oblivionEvery, false, 1},
		{policy.KeysFor, false, 1}, // a connection may stand for a minute more
		{0, true, 2},
		{heldAtMost - 1, false, 2},
		{1, false, 3},
		{oblivionEvery, false, 3},
		{24 * time.Hour, false, 3},
	} {
		now += at.pass
		if at.erased {
			o.someone()
		}
		if o.look(); wiped != at.wiped || forgot != i+1 {
			t.Errorf("look %d: overwritten %d times, want %d; looked for what is too old %d times", i, wiped, at.wiped, forgot)
		}
	}
}

// Somebody is erased all the time, and overwriting takes long: a node rests in between,
// and what came meanwhile is overwritten after that.
func TestINV21_OverwritingLeavesANodeTimeForItsWork(t *testing.T) {
	now, wiped, takes := time.Hour, 0, 3*time.Second
	o := &oblivion{forget: func() {}, wipe: func() { wiped++; now += takes }, now: func() time.Duration { return now }}
	o.someone()
	o.look()
	until := now + restAfter*takes
	o.someone()
	for ; now < until; now += time.Second {
		if o.look(); wiped != 1 {
			t.Fatalf("overwritten again %s after it took %s", now+restAfter*takes-until, takes)
		}
	}
	if o.look(); wiped != 2 {
		t.Errorf("overwritten %d times: what was due while the node rested is forgotten", wiped)
	}
}
