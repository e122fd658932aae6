package admission

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

func tenant(n int) policy.TenantID { return policy.TenantID(fmt.Sprintf("TN%032x", n)) }

// check compares what the machine counts with what it holds.
func (m *machine) check(t *testing.T) {
	t.Helper()
	type sums struct {
		places int
		memory int64
		used   [numLanes]int64
	}
	var all sums
	of := map[*account]*sums{}
	for _, r := range m.requests {
		s := of[r.of]
		if s == nil {
			s = &sums{}
			of[r.of] = s
		}
		for _, s := range []*sums{s, &all} {
			if r.ask.Lane != Erase {
				s.places++
				s.memory += r.holds
			}
			if r.state == working {
				s.used[r.ask.Lane] += r.ask.Weight
			}
		}
		if idle := min(r.ask.Memory, r.ask.Idle); r.ask.Lane != Erase &&
			(r.state == waiting && r.holds != 0 || r.state == working && r.holds != r.ask.Memory || r.holds > 0 && r.holds != r.ask.Memory && r.holds != idle) {
			t.Fatalf("request %d in state %d holds %d of %d", r.id, r.state, r.holds, r.ask.Memory)
		}
		queued := slices.Contains(r.of.lanes[r.ask.Lane].queue, r)
		if queued != (r.state == waiting || r.state == returning) {
			t.Fatalf("request %d in state %d stands in a queue: %v", r.id, r.state, queued)
		}
	}
	if all.places != m.places || all.memory != m.memory {
		t.Fatalf("places %d and memory %d, but held are %+v", m.places, m.memory, all)
	}
	if m.places > m.limits.Requests || m.memory > m.limits.Memory {
		t.Fatalf("more than there is: %d places, %d bytes", m.places, m.memory)
	}
	for i := range m.lanes {
		l := &m.lanes[i]
		if l.used != all.used[i] || l.used > l.capacity {
			t.Fatalf("lane %v: %d used of %d, and held are %d", l.number, l.used, l.capacity, all.used[i])
		}
		if r := l.next(m.fits); r != nil {
			t.Fatalf("lane %v: request %d could have a turn and has none", l.number, r.id)
		}
		for _, a := range m.accounts {
			if want := of[a]; want != nil && (a.lanes[i].used != want.used[i] || want.used[i] > l.most) {
				t.Fatalf("lane %v: a tenant has %d of at most %d, counted are %d", l.number, want.used[i], l.most, a.lanes[i].used)
			}
		}
	}
}

// Whatever happens in whatever order, nothing is handed out twice or kept.
func TestINV41_NothingIsHandedOutTwiceOrKept(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		m := newMachine(Limits{Requests: 40, Memory: leastMemory, Ingest: 1 << 20, Read: 8, Erase: 4, Tenant: Quota{Requests: 200, Records: 1000, Bytes: 1 << 20}})
		var live []uint64
		now := time.Duration(0)
		next := uint64(0)
		for range 4000 {
			now += time.Duration(rnd.IntN(3000)) * time.Microsecond
			var e event
			if len(live) == 0 || rnd.IntN(3) == 0 {
				next++
				e = event{kind: arrive, id: next, ask: Ask{Tenant: tenant(rnd.IntN(5)), Lane: Lane(rnd.IntN(numLanes)), Weight: 1 + rnd.Int64N(MaxWeight), Memory: rnd.Int64N(4 << 20), Idle: rnd.Int64N(1 << 20)}}
				live = append(live, next)
			} else {
				i := rnd.IntN(len(live))
				e = event{kind: []eventKind{expire, leave, leave, away, rest, back, spend}[rnd.IntN(7)], id: live[i], records: rnd.Int64N(20), bytes: rnd.Int64N(1 << 14)}
				if e.kind == leave {
					live = slices.Delete(live, i, i+1)
				}
			}
			for _, x := range m.step(now, e) {
				if x.kind == refused && (x.cause == "" || x.after <= 0) {
					t.Fatalf("seed %d: a refusal without a cause or time: %+v", seed, x)
				}
				if x.kind == refused {
					live = slices.DeleteFunc(live, func(id uint64) bool { return id == x.id })
				}
			}
			m.check(t)
		}
		for _, id := range live {
			m.step(now, event{kind: leave, id: id})
		}
		m.check(t)
		m.sweep(now + time.Minute)
		if len(m.requests) != 0 || len(m.accounts) != 0 || m.places != 0 || m.memory != 0 {
			t.Fatalf("seed %d: %d requests and %d tenants are left", seed, len(m.requests), len(m.accounts))
		}
	}
}

func TestQuotaIsRefusedUntilItIsFull(t *testing.T) {
	m := newMachine(Limits{Tenant: Quota{Requests: 10}, Tenants: map[policy.TenantID]Quota{tenant(2): {Requests: 1000}}})
	ask := func(now time.Duration, id uint64, of int) effect {
		out := m.step(now, event{kind: arrive, id: id, ask: Ask{Tenant: tenant(of), Lane: Read, Weight: 1}})
		x := out[0]
		m.step(now, event{kind: leave, id: id})
		return x
	}
	taken := 0
	for i := range uint64(100) {
		switch x := ask(0, i, 1); x.kind {
		case granted:
			taken++
		case refused:
			if x.cause != RateOfRequests || x.after != 100*time.Millisecond {
				t.Fatalf("refused by %s for %v", x.cause, x.after)
			}
		}
	}
	if taken != 20 {
		t.Errorf("a quota of 10 a second took %d at once; want two seconds of it", taken)
	}
	if x := ask(100*time.Millisecond, 200, 1); x.kind != granted {
		t.Errorf("when Retry-After said so: %+v", x)
	}
	if x := ask(100*time.Millisecond, 201, 2); x.kind != granted {
		t.Errorf("another tenant: %+v", x)
	}
}

// A stream that brings more than the quota is slowed and goes on; the tenant's
// next request is refused, its erasure is not.
func TestDebtSlowsTheStreamAndRefusesTheNext(t *testing.T) {
	m := newMachine(Limits{Tenant: Quota{Records: 100}})
	m.step(0, event{kind: arrive, id: 1, ask: Ask{Tenant: tenant(1), Lane: Ingest, Weight: MaxWeight}})
	out := m.step(0, event{kind: spend, id: 1, records: 500})
	if len(out) != 1 || out[0].kind != slowed || out[0].after != 3*time.Second {
		t.Fatalf("500 records on a quota of 100 with 200 saved: %+v", out)
	}
	if x := m.step(0, event{kind: arrive, id: 2, ask: Ask{Tenant: tenant(1), Lane: Ingest}})[0]; x.kind != refused || x.cause != RateOfRecords || x.after != 3*time.Second {
		t.Errorf("the next: %+v", x)
	}
	for id, lane := range []Lane{Read, Erase} {
		if x := m.step(0, event{kind: arrive, id: uint64(10 + id), ask: Ask{Tenant: tenant(1), Lane: lane}})[0]; x.kind != granted {
			t.Errorf("%v: %+v", lane, x)
		}
	}
	if x := m.step(3*time.Second, event{kind: arrive, id: 3, ask: Ask{Tenant: tenant(1), Lane: Ingest}})[0]; x.kind != granted {
		t.Errorf("after the pause: %+v", x)
	}
}

// Tenants that take all they can still leave places and memory.
func TestNoFewTenantsTakeEverything(t *testing.T) {
	m := newMachine(Limits{Requests: 100, Memory: 100 << 20, Tenant: Quota{Concurrent: 100}})
	id := uint64(0)
	var got []int
	for n := range 5 {
		taken := 0
		for range 100 {
			id++
			out := m.step(0, event{kind: arrive, id: id, ask: Ask{Tenant: tenant(n), Lane: Ingest, Weight: 1, Memory: 1 << 20}})
			if out[0].kind == granted {
				taken++
			}
		}
		got = append(got, taken)
	}
	if got[0] != 50 || got[1] != 25 || got[4] < 3 {
		t.Errorf("five tenants got %v places", got)
	}
	m.check(t)
}

// An idle turn goes to whoever has had least.
func TestTurnsGoToWhoHadLeast(t *testing.T) {
	m := newMachine(Limits{Read: 4})
	id := uint64(0)
	come := func(n int) uint64 {
		id++
		m.step(0, event{kind: arrive, id: id, ask: Ask{Tenant: tenant(n), Lane: Read, Weight: 1}})
		return id
	}
	first := []uint64{come(1), come(1), come(1), come(2)}
	for range 10 {
		come(1)
	}
	come(2)
	late := come(3)
	for _, want := range [][]uint64{{late}, {late - 1}} {
		var got []uint64
		for _, x := range m.step(0, event{kind: leave, id: first[len(first)-1]}) {
			got = append(got, x.id)
		}
		first = first[:len(first)-1]
		if !slices.Equal(got, want) {
			t.Errorf("the turn went to %v, want %v", got, want)
		}
		m.check(t)
	}
}

// Whoever rests leaves its turn and its memory to others, and has both again before
// it goes on.
func TestINV41_WhoRestsHoldsNextToNothing(t *testing.T) {
	m := newMachine(Limits{Memory: leastMemory})
	ask := Ask{Lane: Ingest, Weight: MinWeight, Memory: 8 << 20, Idle: 64 << 10}
	for id := range uint64(100) {
		ask.Tenant = tenant(int(id))
		if got := m.step(0, event{kind: arrive, id: id, ask: ask}); len(got) != 1 || got[0].kind != granted {
			t.Fatalf("stream %d was not taken up beside %d that rest: %+v", id, id, got)
		}
		m.step(0, event{kind: rest, id: id})
		m.check(t)
	}
	if m.memory != 100*ask.Idle || m.lanes[Ingest].used != 0 {
		t.Fatalf("%d bytes and %d of the lane are held by who rests", m.memory, m.lanes[Ingest].used)
	}
	worked := 0
	for id := range uint64(100) {
		worked += len(m.step(0, event{kind: back, id: id}))
		m.check(t)
	}
	if worked == 0 || worked > 4 {
		t.Fatalf("%d work at once, and there is memory for fewer than 4", worked)
	}
	for id := range uint64(100) { // each goes on when one before it has ended
		for _, e := range m.step(0, event{kind: leave, id: id}) {
			if e.kind == granted {
				worked++
			}
		}
		m.check(t)
	}
	if worked < 50 {
		t.Fatalf("only %d went on", worked)
	}
}
