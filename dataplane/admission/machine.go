package admission

import (
	"time"

	"github.com/domicile-io/domicile/policy"
)

// Ask is what a request needs.
type Ask struct {
	Tenant policy.TenantID
	Lane   Lane
	Weight int64 // of the lane's capacity while it is worked on
	Memory int64 // bytes that it may hold at once
	Idle   int64 // of them, those that it holds while it rests
}

// Cause is why a request was refused: a closed set, fit for a label.
type Cause string

// The causes. The first four are the tenant's own doing.
const (
	RateOfRequests Cause = "requests_per_second"
	RateOfRecords  Cause = "records_per_second"
	RateOfBytes    Cause = "bytes_per_second"
	Concurrent     Cause = "concurrent_requests"
	Places         Cause = "places" // the node's requests in flight
	Memory         Cause = "memory" // the node's budget
	Delay          Cause = "delay"  // the tenant's queue stands
)

// Causes are all causes.
var Causes = []Cause{RateOfRequests, RateOfRecords, RateOfBytes, Concurrent, Places, Memory, Delay}

// event is what happens to a request.
type event struct {
	kind    eventKind
	id      uint64
	ask     Ask   // arrive
	records int64 // spend
	bytes   int64 // spend
}

type eventKind uint8

const (
	arrive eventKind = iota // with an ask: a new request
	expire                  // it has waited as long as anybody may
	leave                   // it is over, or its client went away
	away                    // it waits for its client
	rest                    // it waits for its client, and holds next to nothing meanwhile
	back                    // it no longer does
	spend                   // it has brought so many records and bytes
)

// effect is what the machine decides.
type effect struct {
	kind  effectKind
	id    uint64
	cause Cause         // refused
	after time.Duration // refused: when to come again; slowed: how long to wait
}

type effectKind uint8

const (
	granted effectKind = iota // has a turn
	refused                   // is gone
	slowed                    // goes on after a pause
)

// request is one that is in flight.
type request struct {
	id     uint64
	of     *account
	ask    Ask
	state  state
	holds  int64         // of the node's memory
	since  time.Duration // of waiting
	turned time.Duration // when its latest turn began
	waited bool          // for its client, ever
}

type state uint8

const (
	waiting   state = iota // to be taken up
	working                // has a turn
	absent                 // waits for its client
	returning              // waits for a turn again
)

// account is what is known of one tenant. It is forgotten when it is as good as new.
type account struct {
	id     policy.TenantID
	quota  Quota
	places int
	memory int64
	lanes  [numLanes]share

	requests, records, bytes bucket
}

// machine is the whole of the rules: the same events at the same times have the
// same effects. It takes no lock.
type machine struct {
	limits   Limits
	lanes    [numLanes]lane
	accounts map[policy.TenantID]*account
	requests map[uint64]*request
	places   int // of the lanes Ingest and Read
	memory   int64
	arrived  uint64
	out      []effect
}

func newMachine(l Limits) *machine {
	l = l.WithDefaults()
	m := &machine{limits: l, accounts: map[policy.TenantID]*account{}, requests: map[uint64]*request{}}
	for i, capacity := range [numLanes]int64{l.Ingest, l.Read, l.Erase} {
		m.lanes[i] = lane{number: Lane(i), capacity: capacity, most: max(1, capacity*3/4), room: capacity}
	}
	return m
}

// step takes one event at a time that never goes back, counted from any moment.
// The effects are valid until the next step.
func (m *machine) step(now time.Duration, e event) []effect {
	m.out = m.out[:0]
	r := m.requests[e.id]
	if r == nil && e.kind != arrive {
		return nil // over already
	}
	switch e.kind {
	case arrive:
		m.arrive(now, e)
	case expire:
		if r.state == waiting {
			m.refuse(now, r, Delay, time.Second)
		}
	case leave:
		m.end(now, r)
	case away:
		if r.state == working {
			r.state, r.waited = absent, true
			m.lanes[r.ask.Lane].giveBack(r)
		}
	case rest:
		if r.state == working {
			m.lanes[r.ask.Lane].giveBack(r)
		}
		if r.state == working || r.state == absent {
			r.state, r.waited = absent, true
			m.hold(r, min(r.holds, r.ask.Idle))
		}
	case back:
		if r.state == absent {
			r.state, r.since = returning, now
			m.lanes[r.ask.Lane].push(r)
		}
	case spend:
		m.spend(now, r, e)
	}
	m.settle(now)
	return m.out
}

// settle gives turns until nobody can have one; memory is one for all lanes.
func (m *machine) settle(now time.Duration) {
	for before := -1; before != len(m.out); {
		before = len(m.out)
		for lane := range Lane(numLanes) {
			m.dispatch(now, lane)
		}
	}
}

// arrive takes a request up, lets it wait, or refuses it.
func (m *machine) arrive(now time.Duration, e event) {
	if m.arrived++; m.arrived%sweepEvery == 0 {
		m.sweep(now)
	}
	a := m.account(now, e.ask.Tenant)
	l := &m.lanes[e.ask.Lane]
	e.ask.Weight = min(max(e.ask.Weight, 1), l.most)
	r := &request{id: e.id, of: a, ask: e.ask, since: now}
	if cause, after := m.judge(now, a, e.ask); cause != "" {
		m.out = append(m.out, effect{kind: refused, id: e.id, cause: cause, after: after})
		return
	}
	m.requests[e.id] = r
	m.take(now, r)
	after, stands := l.stands(a, now, m.limits.QueueDelay)
	l.push(r)
	m.settle(now)
	if r.state == waiting && e.ask.Lane != Erase && stands {
		m.refuse(now, r, Delay, after)
	}
}

// judge says why a request may not even wait, and when it may come again.
func (m *machine) judge(now time.Duration, a *account, ask Ask) (Cause, time.Duration) {
	if ask.Lane == Erase {
		if a.lanes[Erase].places >= maxErasures {
			return Concurrent, time.Second
		}
		return "", 0
	}
	if after := a.requests.until(now, 1); after > 0 {
		return RateOfRequests, after
	}
	if ask.Lane == Ingest {
		if after := a.records.until(now, 0); after > 0 {
			return RateOfRecords, after
		}
		if after := a.bytes.until(now, 0); after > 0 {
			return RateOfBytes, after
		}
	}
	switch {
	case a.places >= a.quota.Concurrent:
		return Concurrent, time.Second
	case a.places >= m.limits.Requests-m.places: // no more than stay free
		return Places, time.Second
	case !m.room(a, ask.Memory):
		return Memory, time.Second
	}
	return "", 0
}

// room reports whether a tenant may hold so much more: no more than stays free.
func (m *machine) room(a *account, more int64) bool {
	return a.memory+more <= m.limits.Memory-m.memory-more
}

// fits reports whether a waiting request would find its memory. One that returns
// has it already, unless it has rested.
func (m *machine) fits(r *request) bool {
	return r.ask.Lane == Erase || r.holds >= r.ask.Memory || m.room(r.of, r.ask.Memory-r.holds)
}

// hold counts what a request has of the node's memory from now on.
func (m *machine) hold(r *request, bytes int64) {
	if r.ask.Lane != Erase {
		r.of.memory += bytes - r.holds
		m.memory += bytes - r.holds
		r.holds = bytes
	}
}

// take counts a request that is in flight from now on.
func (m *machine) take(now time.Duration, r *request) {
	a := r.of
	a.lanes[r.ask.Lane].places++
	if r.ask.Lane == Erase {
		return
	}
	a.places++
	m.places++
	a.requests.take(now, 1)
}

// end takes everything back that a request has.
func (m *machine) end(now time.Duration, r *request) {
	delete(m.requests, r.id)
	a, l := r.of, &m.lanes[r.ask.Lane]
	a.lanes[r.ask.Lane].places--
	if r.ask.Lane != Erase {
		a.places--
		m.places--
	}
	switch r.state {
	case waiting, returning:
		l.remove(r)
	case working:
		l.giveBack(r)
		if !r.waited && r.ask.Lane != Erase {
			l.learn(r, now)
		}
	}
	m.hold(r, 0)
	if a.idle(now) {
		delete(m.accounts, a.id)
	}
}

func (m *machine) refuse(now time.Duration, r *request, cause Cause, after time.Duration) {
	m.out = append(m.out, effect{kind: refused, id: r.id, cause: cause, after: after})
	m.end(now, r)
}

// dispatch gives turns to those whose turn it is.
func (m *machine) dispatch(now time.Duration, which Lane) {
	l := &m.lanes[which]
	for {
		r := l.next(m.fits)
		if r == nil {
			return
		}
		m.hold(r, r.ask.Memory)
		l.grant(r, now)
		r.state = working
		m.out = append(m.out, effect{kind: granted, id: r.id})
	}
}

// spend charges what a request has brought. A tenant in debt is slowed, at most
// longestPause at a time, and its next request is refused.
func (m *machine) spend(now time.Duration, r *request, e event) {
	a := r.of
	a.records.take(now, e.records)
	a.bytes.take(now, e.bytes)
	if pause := max(a.records.until(now, 0), a.bytes.until(now, 0)); pause > 0 {
		m.out = append(m.out, effect{kind: slowed, id: r.id, after: min(pause, longestPause)})
	}
}

const (
	sweepEvery   = 4096
	longestPause = 5 * time.Second
)

// sweep forgets tenants that have been silent for long enough.
func (m *machine) sweep(now time.Duration) {
	for id, a := range m.accounts {
		if a.idle(now) {
			delete(m.accounts, id)
		}
	}
}

func (m *machine) account(now time.Duration, id policy.TenantID) *account {
	a := m.accounts[id]
	if a == nil {
		q := m.limits.of(id)
		a = &account{id: id, quota: q, requests: newBucket(q.Requests, now), records: newBucket(q.Records, now), bytes: newBucket(q.Bytes, now)}
		m.accounts[id] = a
	}
	return a
}

// idle reports whether nothing would be lost with the account.
func (a *account) idle(now time.Duration) bool {
	for i := range a.lanes {
		if a.lanes[i].places > 0 {
			return false
		}
	}
	return a.requests.full(now) && a.records.full(now) && a.bytes.full(now)
}
