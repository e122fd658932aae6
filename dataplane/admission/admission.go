package admission

import (
	"context"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/policy"
)

// Options of an Admission. The zero value works.
type Options struct {
	Limits  Limits
	Now     func() time.Duration  // since any fixed moment, never going back; nil: Go's monotonic clock
	Metrics prometheus.Registerer // nil: none
}

// Admission is one node's. Make it with New; it is safe for concurrent use.
type Admission struct {
	now     func() time.Duration
	metrics *metrics

	mu      sync.Mutex
	machine *machine
	told    map[uint64]chan effect // who waits to be told
	last    uint64
}

// New makes an Admission.
func New(o Options) *Admission {
	if o.Now == nil {
		began := time.Now()
		o.Now = func() time.Duration { return time.Since(began) }
	}
	a := &Admission{now: o.Now, machine: newMachine(o.Limits), told: map[uint64]chan effect{}}
	a.metrics = newMetrics(o.Metrics, a)
	return a
}

// Enter takes a request up: it returns when the request has its turn. The error
// is OVERLOADED, at once, or the context's: then there is
// nothing to leave. A request of the lane Erase waits for as long as ctx lives.
func (a *Admission) Enter(ctx context.Context, ask Ask) (*Place, error) {
	began := a.now()
	a.mu.Lock()
	a.last++
	id := a.last
	e, told := a.do(event{kind: arrive, id: id, ask: ask})
	if !told {
		ch := a.listen(id)
		a.mu.Unlock()
		var err error
		if e, err = a.wait(ctx, id, ask.Lane, ch); err != nil {
			a.metrics.left(ask.Lane)
			return nil, err
		}
	} else {
		a.mu.Unlock()
	}
	if e.kind == refused {
		a.metrics.refused(ask.Lane, e.cause)
		return nil, overloaded(e, id)
	}
	a.metrics.taken(ask.Lane, a.now()-began)
	return &Place{a: a, id: id}, nil
}

// wait is until a request that stands in a queue is told what becomes of it.
func (a *Admission) wait(ctx context.Context, id uint64, lane Lane, ch chan effect) (effect, error) {
	var late <-chan time.Time
	if lane != Erase {
		t := time.NewTimer(queueLimit)
		defer t.Stop()
		late = t.C
	}
	select {
	case e := <-ch:
		return e, nil
	case <-late:
		a.step(event{kind: expire, id: id})
		return <-ch, nil // refused, or its turn came at the last moment
	case <-ctx.Done():
		a.step(event{kind: leave, id: id})
		a.mu.Lock()
		delete(a.told, id)
		a.mu.Unlock()
		return effect{}, &policy.Error{Reason: policy.NotReady, Cause: ctx.Err(), Message: "the caller left before the request was taken up"}
	}
}

// step is do for those that expect no answer of their own.
func (a *Admission) step(e event) effect {
	a.mu.Lock()
	defer a.mu.Unlock()
	own, _ := a.do(e)
	return own
}

// do tells the machine, and everybody whom it answers; the answer to e's own
// request is returned unless that one listens. The caller holds mu.
func (a *Admission) do(e event) (own effect, told bool) {
	for _, x := range a.machine.step(a.now(), e) {
		if ch := a.told[x.id]; ch != nil {
			delete(a.told, x.id)
			ch <- x
		} else if x.id == e.id {
			own, told = x, true
		}
	}
	return own, told
}

// listen makes the channel on which a request is told. The caller holds mu.
func (a *Admission) listen(id uint64) chan effect {
	ch := make(chan effect, 1)
	a.told[id] = ch
	return ch
}

// Waiting is how many requests wait for their turn.
func (a *Admission) Waiting() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.told)
}

// InFlight is how many requests have a place.
func (a *Admission) InFlight() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.machine.requests)
}

// words say what to do; a closed set.
var words = map[Cause]string{
	RateOfRequests: "the tenant sends more requests a second than its quota",
	RateOfRecords:  "the tenant sends more records a second than its quota",
	RateOfBytes:    "the tenant sends more bytes a second than its quota",
	Concurrent:     "the tenant has as many requests in flight as its quota",
	Places:         "too many requests are in flight",
	Memory:         "the requests in flight hold as much memory as this node gives them",
	Delay:          "the node is asked for more than it can do",
}

// overloaded is the refusal. Clients that were refused together are told to come
// again one after the other.
func overloaded(e effect, id uint64) error {
	after := int(math.Ceil(e.after.Seconds()))
	if e.cause == Places || e.cause == Memory || e.cause == Delay {
		after += int(id % 3)
	}
	return policy.Errorf(policy.Overloaded, "%s; nothing was stored; wait as Retry-After says and send it again", words[e.cause]).
		With("cause", string(e.cause)).With(api.RetryAfterKey, strconv.Itoa(min(max(after, 1), 60)))
}
