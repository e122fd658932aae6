package admission

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// node is a machine that serves in simulated time: its processors share whatever
// is worked on, and a refusal costs them something too.
type node struct {
	t       *testing.T
	rnd     *rand.Rand
	m       *machine
	now     time.Duration
	id      uint64
	work    map[uint64]time.Duration // what is left of each request
	working []uint64                 // in the order in which they began
	came    map[uint64]time.Duration
	late    []uint64 // in the order in which they came, those that may still wait
	owed    time.Duration
	of      map[uint64]int
	done    map[int]int // by source
	refused map[int]int
	longest time.Duration // that a refusal took
	waited  time.Duration // the longest, of those that were taken up
	spare   time.Duration // of each tick, what all processors together give; 0: all of it
}

const (
	tick        = 100 * time.Microsecond
	processors  = 2
	refusalCost = 60 * time.Microsecond
)

// source is a tenant that sends whether or not it is answered.
type source struct {
	tenant int
	lane   Lane
	weight int64
	cost   time.Duration
	rate   float64 // a second
}

func newNode(t *testing.T, seed uint64, l Limits) *node {
	return &node{t: t, rnd: rand.New(rand.NewPCG(seed, 2)), m: newMachine(l), work: map[uint64]time.Duration{}, came: map[uint64]time.Duration{},
		of: map[uint64]int{}, done: map[int]int{}, refused: map[int]int{}}
}

// run lets sources send for a time.
func (n *node) run(d time.Duration, sources []source) {
	for end := n.now + d; n.now < end; n.now += tick {
		for i, s := range sources {
			for p := s.rate * tick.Seconds(); p > 0; p-- {
				if n.rnd.Float64() < p {
					n.come(i, s)
				}
			}
		}
		for len(n.late) > 0 && (n.came[n.late[0]] == 0 || n.now-n.came[n.late[0]] >= queueLimit) {
			id := n.late[0]
			n.late = n.late[1:]
			if n.came[id] != 0 {
				n.take(event{kind: expire, id: id})
			}
		}
		n.serve()
	}
}

func (n *node) come(i int, s source) {
	n.id++
	n.of[n.id], n.came[n.id], n.work[n.id] = i, n.now+1, s.cost
	if s.lane != Erase {
		n.late = append(n.late, n.id)
	}
	n.take(event{kind: arrive, id: n.id, ask: Ask{Tenant: tenant(s.tenant), Lane: s.lane, Weight: s.weight, Memory: 1 << 20}})
}

func (n *node) take(e event) {
	for _, x := range slices.Clone(n.m.step(n.now, e)) {
		switch x.kind {
		case granted:
			n.working = append(n.working, x.id)
			n.waited = max(n.waited, n.now-n.came[x.id])
		case refused:
			n.refused[n.of[x.id]]++
			n.longest = max(n.longest, n.now-n.came[x.id])
			n.owed += refusalCost
			n.forget(x.id)
		}
	}
}

func (n *node) forget(id uint64) {
	delete(n.work, id)
	delete(n.came, id)
	delete(n.of, id)
}

// serve spends one tick's processor time: refusals first, the rest in equal parts.
func (n *node) serve() {
	have := cmp.Or(n.spare, time.Duration(processors*int64(tick)))
	paid := min(n.owed, have)
	n.owed -= paid
	if len(n.working) == 0 {
		return
	}
	each := min((have-paid)/time.Duration(len(n.working)), tick) // nobody runs on two processors
	ended := []uint64{}
	for _, id := range n.working {
		if n.work[id] -= each; n.work[id] <= 0 {
			ended = append(ended, id)
		}
	}
	for _, id := range ended {
		n.done[n.of[id]]++
		n.working = slices.DeleteFunc(n.working, func(w uint64) bool { return w == id })
		n.forget(id)
		n.take(event{kind: leave, id: id})
	}
}

func batches(tenant int, rate float64) source {
	return source{tenant: tenant, lane: Ingest, weight: MaxWeight, cost: 4 * time.Millisecond, rate: rate}
}

// capacity is what processors of the simulation can do, in batches a second.
const capacity = float64(processors) * 250

func TestINV41_GoodputHoldsUnderOverload(t *testing.T) {
	for seed := range uint64(5) {
		done := map[float64]int{}
		for _, times := range []float64{0.9, 2, 5, 10} {
			n := newNode(t, seed, Limits{})
			n.run(2*time.Second, []source{batches(1, capacity*times)})
			done[times] = n.done[0]
			if n.longest > time.Millisecond || n.waited > 300*time.Millisecond {
				t.Errorf("seed %d: at %v × a refusal took %v, and who was taken up waited for %v", seed, times, n.longest, n.waited)
			}
			n.m.check(t)
		}
		peak := float64(done[0.9])
		if float64(done[5]) < 0.8*peak || float64(done[2]) < 0.9*peak {
			t.Errorf("seed %d: batches done at 0.9, 2, 5, 10 × capacity: %v", seed, done)
		}
	}
}

func TestINV41_OneTenantAtTwentyTimesLeavesTheOthers(t *testing.T) {
	for seed := range uint64(5) {
		n := newNode(t, seed, Limits{})
		const fair = capacity / 5
		sources := []source{batches(0, 20*fair)}
		for i := 1; i < 5; i++ {
			sources = append(sources, batches(i, 0.5*fair))
		}
		sources = append(sources, source{tenant: 9, lane: Read, weight: Heavy, cost: 5 * time.Millisecond, rate: 20},
			source{tenant: 0, lane: Erase, weight: 1, cost: 5 * time.Millisecond, rate: 5})
		n.run(4*time.Second, sources)
		for i := 1; i < len(sources); i++ {
			if all := n.done[i] + n.refused[i]; float64(n.done[i]) < 0.99*float64(all) || all < 10 {
				t.Errorf("seed %d: source %d: %d done, %d refused", seed, i, n.done[i], n.refused[i])
			}
		}
		if n.refused[0] < n.done[0] {
			t.Errorf("seed %d: the tenant at 20 × was refused %d times of %d", seed, n.refused[0], n.done[0])
		}
		n.run(time.Second, nil)
		if len(n.m.requests) > 0 {
			t.Errorf("seed %d: %d requests are left", seed, len(n.m.requests))
		}
	}
}

// When the flood ends, nothing of it stays.
func TestINV41_AfterTheFloodAllIsAsBefore(t *testing.T) {
	n := newNode(t, 1, Limits{})
	n.run(time.Second, []source{batches(1, 10*capacity)})
	n.run(300*time.Millisecond, nil) // what waits is served
	clear(n.refused)
	n.run(2*time.Second, []source{batches(1, 0.6*capacity)})
	if n.refused[0] > 0 {
		t.Errorf("%d requests were refused after the flood", n.refused[0])
	}
}

// A processor that merges take a third of for a second in two, and batches that come in
// clumps: a tenant within its part has now more turns than its part and now fewer.
func TestINV41_ClumpsOfOneWithinItsPartAreTaken(t *testing.T) {
	for seed := range uint64(5) {
		n := newNode(t, seed, Limits{Ingest: 2 << 20})
		const fair = 110.0 / 5 // what one processor does of batches of 9 ms, for each of five
		small := func(tenant int, rate float64) source {
			return source{tenant: tenant, lane: Ingest, weight: 72 << 10, cost: 9 * time.Millisecond, rate: rate}
		}
		sources := []source{small(0, 20*fair)}
		for i := 1; i < 5; i++ {
			sources = append(sources, small(i, 0.5*fair))
		}
		for range 10 {
			n.spare = tick
			n.run(time.Second, sources)
			n.spare = tick * 2 / 3
			n.run(time.Second, sources)
		}
		sent, done := 0, 0
		for i := 1; i < len(sources); i++ {
			sent, done = sent+n.done[i]+n.refused[i], done+n.done[i]
			t.Logf("seed %d: source %d: %d done, %d refused", seed, i, n.done[i], n.refused[i])
		}
		if float64(done) < 0.99*float64(sent) || sent < 500 {
			t.Errorf("seed %d: the others had %d of %d taken", seed, done, sent)
		}
	}
}
