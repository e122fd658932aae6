package feed

import (
	"sync"
	"time"

	"github.com/domicile-io/domicile/internal/failpoint"
	"github.com/domicile-io/domicile/internal/kernel"
	"github.com/domicile-io/domicile/policy"
)

const (
	// jump is how far the wall clock may drift from the monotonic one between
	// two contacts before it is suspect (04 §3).
	jump = 5 * time.Second
	// sealLife is how long a control plane's confirmation lasts; a seal that
	// ends about this far ahead shows that both wall clocks agree.
	sealLife = policy.FreshFor
)

// Clock is the two clocks that freshness depends on. The zero Clock is the system's.
type Clock struct {
	Wall    func() time.Time     // nil: time.Now
	Elapsed func() time.Duration // since any fixed moment; goes on in suspend, never jumps; nil: CLOCK_BOOTTIME
}

// BootTime is the clock by which ages are measured: it goes on in suspend and never
// jumps. A node that slept must not think that its bundle is fresh.
func BootTime() time.Duration { return bootTime() }

func bootTime() time.Duration { return kernel.BootTime() + failpoint.Slept() }

// freshness knows when the control plane was last heard. Ages are measured on
// the monotonic clock; the wall clock only carries them over a restart.
type freshness struct {
	clock Clock

	mu      sync.Mutex
	known   bool
	contact time.Duration // Elapsed at the last contact; negative when it was before the start
	left    time.Duration // how long the confirmation lasted from then on
	base    time.Duration // wall minus elapsed at the last contact, or at the start
	suspect bool
}

func newFreshness(c Clock) *freshness {
	if c.Wall == nil {
		c.Wall = func() time.Time { return time.Now().Add(failpoint.Slept()) }
	}
	if c.Elapsed == nil {
		c.Elapsed = bootTime
	}
	f := &freshness{clock: c}
	f.base = f.offset()
	return f
}

// offset is the wall clock against the monotonic one.
func (f *freshness) offset() time.Duration {
	return time.Duration(f.clock.Wall().UnixNano()) - f.clock.Elapsed()
}

// restore takes over the contact of an earlier process. A contact in the future
// means that the wall clock went back, so nothing is known.
func (f *freshness) restore(at, freshUntil time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	age := f.clock.Wall().Sub(at)
	if age < 0 {
		return
	}
	f.known, f.contact, f.left = true, f.clock.Elapsed()-age, freshUntil.Sub(at)
}

// valid reports whether a seal that lasts until freshUntil is contact now, and
// gives now. One that has already run out confirms nothing: its sender has lost
// touch, or one of the two clocks is wrong.
func (f *freshness) valid(freshUntil time.Time) (now time.Time, ok bool) {
	now = f.clock.Wall()
	return now, now.Before(freshUntil)
}

// confirm notes a contact whose seal lasts until freshUntil. A suspect wall
// clock is trusted again only if it agrees with the control plane's, which a
// seal of the full life shows.
func (f *freshness) confirm(freshUntil time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watch()
	left := freshUntil.Sub(f.clock.Wall())
	f.known, f.contact, f.left = true, f.clock.Elapsed(), left
	if agrees := left > sealLife-jump && left <= sealLife+jump; !f.suspect || agrees {
		f.suspect, f.base = false, f.offset()
	}
}

// age is the time since the last contact; at and past the end of its
// confirmation at least policy.FreshFor; policy.AgeUnknown without one.
func (f *freshness) age() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.known {
		return policy.AgeUnknown
	}
	age := max(0, f.clock.Elapsed()-f.contact)
	if age >= f.left {
		return max(age, policy.FreshFor)
	}
	return age
}

// clockSuspect reports a jump that no contact has cleared.
func (f *freshness) clockSuspect() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watch()
	return f.suspect
}

// watch compares the clocks. A wall clock that is put right again, to where it
// was before the jump, is trusted again.
func (f *freshness) watch() {
	f.suspect = (f.offset() - f.base).Abs() > jump
}
