package lease

import "time"

// phase is where a contender stands.
type phase byte

const (
	idle     phase = iota // has it not, and asks at next
	asking                // a question for it is under way
	holding               // has it, and renews it at next
	renewing              // has it, and a renewal is under way
)

// contender is the state of one contender for one lease. All times are of its own
// clock, which need not be right and must not jump.
type contender struct {
	phase phase
	fence uint64
	until time.Duration // of a holder: from then on nothing may be written under the lease
	next  time.Duration // when to ask again
	asked time.Duration // when the question under way was asked
}

// input is what a contender is told: the time, and what the database answered to
// its last question, if it has.
type input struct {
	now    time.Duration
	answer *answer
}

// answer is the database's answer, or that there was none.
type answer struct {
	granted bool
	fence   uint64 // when granted
	failed  bool   // no answer came: the lease may have been given, or not
}

// action is what a contender does next.
type action byte

const (
	rest    action = iota // until next
	acquire               // ask for the lease
	renew                 // ask for more time
)

// timing of a lease, from its length, and how soon one that another has is asked
// for again; 0: as often as a holder renews.
type timing struct{ ttl, poll time.Duration }

// every is the time between two questions.
func (t timing) every() time.Duration { return t.ttl / 3 }

// margin is how much earlier a holder stops than the database would let another
// in: it covers clocks that run at speeds up to a fifth apart, and the last step of
// what is being done.
func (t timing) margin() time.Duration { return t.ttl / 5 }

// holds reports whether a contender may work at now.
func (c contender) holds(now time.Duration) bool {
	return (c.phase == holding || c.phase == renewing) && now < c.until
}

// step is what a contender does with what it is told. It asks one question at a
// time. A holder whose time is over has lost the lease, whatever comes later: the
// answer to a renewal that comes too late is not believed.
func (t timing) step(c contender, in input) (contender, action) {
	if (c.phase == holding || c.phase == renewing) && in.now >= c.until {
		c = contender{phase: idle, next: in.now}
	}
	if a := in.answer; a != nil {
		c = t.answered(c, in.now, *a)
	}
	if in.now < c.next {
		return c, rest
	}
	switch c.phase {
	case idle:
		c.phase, c.asked, c.next = asking, in.now, in.now+t.every()
		return c, acquire
	case holding:
		c.phase, c.asked, c.next = renewing, in.now, in.now+t.every()
		return c, renew
	}
	return c, rest
}

func (t timing) answered(c contender, now time.Duration, a answer) contender {
	next := c.asked + t.every()
	switch {
	case c.phase == asking && a.granted && now < c.asked+t.ttl-t.margin():
		return contender{phase: holding, fence: a.fence, until: c.asked + t.ttl - t.margin(), next: next}
	case c.phase == renewing && a.granted:
		return contender{phase: holding, fence: c.fence, until: c.asked + t.ttl - t.margin(), next: next}
	case c.phase == renewing && a.failed: // what it has is its own until its time is over
		return contender{phase: holding, fence: c.fence, until: c.until, next: min(next, now+t.every()/4)}
	}
	if t.poll > 0 && !a.failed {
		next = now + t.poll
	}
	return contender{phase: idle, next: next}
}
