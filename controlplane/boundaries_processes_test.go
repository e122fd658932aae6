package controlplane_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/policy"
)

// writing makes tenants one after the other at the voters that are left, each with
// one idempotency key until it is acknowledged, until stop.
type writing struct {
	acknowledged atomic.Int64
	at           atomic.Int64 // the voter that is asked
	end          chan struct{}
	ended        chan struct{}
}

func (c *cluster) writes(voter int) *writing {
	w := &writing{end: make(chan struct{}), ended: make(chan struct{})}
	w.at.Store(int64(voter))
	go func() {
		defer close(w.ended)
		for n := 0; ; n++ {
			h := headers{"Idempotency-Key": uuid()}
			body := map[string]any{"slug": "through-" + letters(n), "home_region": "ie1", "billing_country": "IE"}
			for {
				select {
				case <-w.end:
					return
				default:
				}
				if a, err := c.try(int(w.at.Load()), "POST", "/v1/tenants", body, h); err == nil && a.Status == 201 {
					break
				}
			}
			w.acknowledged.Add(1)
		}
	}()
	return w
}

// more waits for n writes more.
func (w *writing) more(t *testing.T, n int64, what string) {
	t.Helper()
	begin, before := time.Now(), w.acknowledged.Load()
	first := time.Duration(0)
	eventually(t, func() error {
		now := w.acknowledged.Load() - before
		if now > 0 && first == 0 {
			first = time.Since(begin)
		}
		if now < n {
			return fmt.Errorf("%d writes", now)
		}
		return nil
	}, "writes stop %s", what)
	t.Logf("%s: the first write after %v", what, first.Round(time.Millisecond))
}

// Five voters, processes, stand in three boundaries, two, two and one. The boundary
// that has the leader is lost whole, at once, and writes go on; then another, and
// nothing is written or read but what a voter knows by itself; then both come back.
func TestINV42_FiveProcessesLoseOneBoundaryAndThenTwo(t *testing.T) {
	t.Parallel() // it waits for the most part
	c := prepare(t, 5)
	boundaries := []policy.RegionID{"ie1", "ie1", "us1", "us1", "au1"}
	for i, region := range boundaries {
		c.configs[i].Region = region
		c.configs[i].Autopilot = controlplane.Autopilot{DeadAfter: time.Hour}
	}
	p := c.becomeProcesses()
	if p.leading() == 4 { // the boundary of one has the leader: the first is to
		p.handOver(0)
	}
	w := c.writes(4)
	w.more(t, 10, "with all five")

	leader := p.leading()
	first := []int{leader &^ 1, leader | 1} // both voters of its boundary
	others := []int{2 - leader&^1, 3 - leader&^1}
	for _, i := range first {
		p.kill(i)
	}
	w.more(t, 20, "without the leader's boundary")
	if now := p.leading(); boundaries[now] == boundaries[leader] {
		t.Errorf("cp%d leads, which was killed", now+1)
	}
	seen := c.do(4, "GET", "/v1/tenants/through-aaa", nil, nil).Header.Get("X-Policy-Token")

	for _, i := range others {
		p.kill(i)
	}
	eventually(t, func() error {
		if name, err := p.leader(4); err != nil || name != "" {
			return fmt.Errorf("%q leads: %v", name, err)
		}
		return nil
	}, "the last voter has not noticed that it is alone")
	stood := w.acknowledged.Load()
	for _, a := range []answer{c.once(4, "GET", "/v1/tenants", nil, nil), c.once(4, "POST", "/v1/tenants", tenantBody, nil)} {
		if c.want(a, 503, policy.NotReady); a.Header.Get("Retry-After") == "" {
			t.Errorf("503 without Retry-After: %s", a.Raw)
		}
	}
	c.want(c.once(4, "GET", "/v1/tenants/through-aaa", nil, headers{"X-Consistency": "minimize_latency"}), 200, "")
	c.want(c.once(4, "GET", "/v1/tenants/through-aaa", nil, headers{"X-Consistency": "at_least_as_fresh", "X-Policy-Token": seen}), 200, "")
	c.want(c.once(4, "GET", "/v1/tenants/through-aaa", nil, headers{"X-Consistency": "fully_consistent"}), 503, policy.NotReady)
	if n := w.acknowledged.Load(); n != stood {
		t.Errorf("%d writes were acknowledged by one voter of five", n-stood)
	}

	begin := time.Now()
	for _, i := range append(first, others...) {
		p.start(i)
	}
	w.more(t, 20, "with both back")
	close(w.end)
	<-w.ended
	p.ready()
	p.leading()
	a := c.want(c.do(4, "GET", "/v1/tenants?page_size=1000", nil, nil), 200, "")
	list, _ := a.Body["tenants"].([]any)
	if n := w.acknowledged.Load(); int64(len(list)) != n && int64(len(list)) != n+1 { // the last one may not have heard
		t.Errorf("%d tenants, and %d writes were acknowledged", len(list), n)
	}
	t.Logf("%d writes, all there %v after both came back", len(list), time.Since(begin).Round(time.Millisecond))
	p.unharmed(t)
	eventually(t, func() error { return p.level(t) }, "voters do not come together")
	states := p.states()
	for i, state := range states {
		if state != states[0] {
			t.Errorf("INV32: cp%d holds %s, and cp1 %s", i+1, state, states[0])
		}
	}
}

// level reports whether every voter stands at one revision.
func (p *processes) level(t *testing.T) error {
	t.Helper()
	at := map[any]bool{}
	for i := range p.run {
		at[p.c.once(i, "GET", "/v1/status", nil, nil).Body["revision"]] = true
	}
	if len(at) != 1 {
		return fmt.Errorf("revisions %v", at)
	}
	return nil
}
