package feed

import (
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// hands are two clocks that a test moves.
type hands struct {
	wall    time.Time
	elapsed time.Duration
}

func (h *hands) clock() Clock {
	return Clock{Wall: func() time.Time { return h.wall }, Elapsed: func() time.Duration { return h.elapsed }}
}

func (h *hands) pass(d time.Duration) { h.wall, h.elapsed = h.wall.Add(d), h.elapsed+d }

func newHands() *hands {
	return &hands{wall: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), elapsed: time.Hour}
}

func TestAgeGrowsOnTheMonotonicClock(t *testing.T) {
	h := newHands()
	f := newFreshness(h.clock())
	if f.age() != policy.AgeUnknown {
		t.Fatal("age is known before any contact")
	}
	f.confirm(h.wall.Add(policy.FreshFor))
	h.pass(59 * time.Second)
	if got := f.age(); got != 59*time.Second {
		t.Fatalf("age %v", got)
	}
	h.wall = h.wall.Add(-time.Hour) // a wall clock that is put back makes nothing younger
	if got := f.age(); got != 59*time.Second {
		t.Fatalf("age %v after the wall clock went back", got)
	}
	h.elapsed += 24 * time.Hour
	if got := f.age(); got != 24*time.Hour+59*time.Second {
		t.Fatalf("age %v a day later", got)
	}
}

func TestFreshUntilIsHonoured(t *testing.T) {
	h := newHands()
	f := newFreshness(h.clock())
	if _, ok := f.valid(h.wall); ok {
		t.Fatal("a seal that has run out is contact")
	}
	f.confirm(h.wall.Add(20 * time.Second))
	h.pass(20*time.Second - 1)
	if got := f.age(); got >= policy.FreshFor {
		t.Fatalf("age %v before fresh_until", got)
	}
	h.pass(1)
	if got := f.age(); got < policy.FreshFor {
		t.Fatalf("age %v at fresh_until", got)
	}
}

func TestAgeSurvivesARestartConservatively(t *testing.T) {
	h := newHands()
	at := h.wall
	h.pass(30 * time.Second)
	h.elapsed = 5 * time.Second // a reboot
	f := newFreshness(h.clock())
	f.restore(at, at.Add(policy.FreshFor))
	if got := f.age(); got != 30*time.Second {
		t.Fatalf("age %v", got)
	}
	h.pass(30 * time.Second)
	if got := f.age(); got != 60*time.Second {
		t.Fatalf("age %v", got)
	}
	back := newFreshness(h.clock())
	back.restore(h.wall.Add(time.Second), h.wall.Add(time.Minute))
	if back.age() != policy.AgeUnknown {
		t.Fatal("a contact in the future is believed")
	}
}

func TestAClockJumpIsSuspectUntilResynced(t *testing.T) {
	h := newHands()
	f := newFreshness(h.clock())
	f.confirm(h.wall.Add(policy.FreshFor))
	h.wall = h.wall.Add(5 * time.Second)
	if f.clockSuspect() {
		t.Fatal("5 s is a jump")
	}
	h.wall = h.wall.Add(time.Millisecond)
	if !f.clockSuspect() {
		t.Fatal("more than 5 s is no jump")
	}
	h.wall = h.wall.Add(5 * time.Second)
	right := h.wall.Add(-10*time.Second - time.Millisecond)
	f.confirm(right.Add(policy.FreshFor)) // the control plane's clock did not jump
	if !f.clockSuspect() {
		t.Fatal("contact with another opinion of the time cleared the suspicion")
	}
	f.confirm(h.wall.Add(policy.FreshFor)) // now both agree
	if f.clockSuspect() {
		t.Fatal("re-synced, and still suspect")
	}
	h.wall = h.wall.Add(-time.Minute)
	if !f.clockSuspect() {
		t.Fatal("a jump back is no jump")
	}
	h.wall = h.wall.Add(time.Minute)
	if f.clockSuspect() {
		t.Fatal("put right again, and still suspect")
	}
}

func TestBootTimeGoesOn(t *testing.T) {
	a := bootTime()
	if b := bootTime(); b < a || a <= 0 {
		t.Fatalf("%v then %v", a, b)
	}
}
