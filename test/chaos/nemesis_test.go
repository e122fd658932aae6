package chaos

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/chaos"
)

// fault breaks something, holds it, and mends it. It returns what shows that it
// took effect; without that it does not count.
type fault struct {
	kind string
	// absent says why it cannot be made here; "" when it can.
	absent func(*world) string
	run    func(*nemesis) (witness string, err error)
}

// nemesis makes faults one after the other, drawn by seed.
type nemesis struct {
	t    *testing.T
	ctx  context.Context
	w    *world
	c    *clients
	draw *rand.Rand

	byKind  map[string]int
	void    map[string]int // faults that showed no effect
	broken  time.Duration  // how long something was broken
	ackedIn int64          // operations acknowledged meanwhile
	slowest time.Duration  // from healing to the first write
	behind  time.Duration  // from healing until every voter had what the leader had

	way      int // that the next change of membership is made
	watchers []*watcher
	outages  outages // what still worked, by kind
}

// available are the faults that can be made here; the others are named loudly.
func available(t *testing.T, w *world) []fault {
	var out []fault
	only := strings.Split(*onlyFlag, ",")
	for _, f := range slices.Concat(networkFaults, processFaults, diskFaults, clockFaults, memberFaults) {
		if *onlyFlag != "" && !slices.Contains(only, f.kind) {
			continue
		}
		if f.absent != nil {
			if why := f.absent(w); why != "" {
				t.Logf("SKIPPED FAULT %s: %s", f.kind, why)
				continue
			}
		}
		out = append(out, f)
	}
	return out
}

// one makes one fault and waits until the cluster is whole again.
func (n *nemesis) one(f fault) {
	n.t.Helper()
	begin, acked := time.Now(), n.c.acked.Load()
	during := n.observe()
	witness, err := f.run(n)
	took := time.Since(begin)
	if witness != "" {
		n.outages.add(f.kind, took, during())
	}
	n.broken += took
	n.ackedIn += n.c.acked.Load() - acked
	if err != nil {
		n.t.Errorf("fault %s: %v", f.kind, err)
	}
	if witness == "" {
		n.void[f.kind]++
	} else {
		n.byKind[f.kind]++
	}
	n.recover(f.kind)
	if testing.Verbose() {
		n.t.Logf("%-22s %5.1f s  %s", f.kind, took.Seconds(), witness)
	}
}

// recover checks invariant 42 after a fault has healed: a write soon, and every
// voter with what the leader had.
func (n *nemesis) recover(kind string) {
	n.t.Helper()
	n.w.mesh.Heal()
	for _, v := range n.w.voters {
		n.revive(kind, v)
	}
	begin := time.Now()
	ctx, cancel := context.WithTimeout(n.ctx, 30*time.Second)
	defer cancel()
	revision, err := n.probe(ctx)
	if err != nil {
		n.t.Errorf("INV42: after %s: no write within 30 s: %v", kind, err)
		return
	}
	n.slowest = max(n.slowest, time.Since(begin))
	n.outages.healed(kind, time.Since(begin))
	for _, v := range n.w.voters {
		for {
			if st := n.w.status(ctx, v); st != nil && st.GetRevision() >= revision {
				break
			}
			if ctx.Err() != nil {
				n.t.Errorf("INV42: after %s: %s has not reached revision %d within 30 s", kind, v, revision)
				return
			}
			<-time.After(10 * time.Millisecond)
		}
	}
	n.behind = max(n.behind, time.Since(begin))
}

// probe writes something and gives the revision at which it stands.
func (n *nemesis) probe(ctx context.Context) (uint64, error) {
	for i := 0; ; i++ {
		slug := n.c.objects.slug("p", int(n.c.objects.slugs.Add(1)))
		v := n.w.voters[i%len(n.w.voters)]
		one, cancel := context.WithTimeout(ctx, time.Second)
		t, err := controlv1.NewTenantServiceClient(n.w.conns[v]).CreateTenant(n.w.authorized(one),
			&controlv1.CreateTenantRequest{Slug: slug, HomeRegion: "us1", BillingCountry: "US"})
		cancel()
		if err == nil {
			return revisionOf(t.GetEtag())
		}
		if ctx.Err() != nil {
			return 0, err
		}
		<-time.After(5 * time.Millisecond)
	}
}

func revisionOf(etag string) (r uint64, err error) {
	_, err = fmt.Sscanf(etag, "%x", &r)
	return r, err
}

// revive starts a voter that has ended though the fault was to leave it running.
func (n *nemesis) revive(kind, voter string) {
	p := n.w.Process(voter)
	if p.Running() {
		if state, err := chaos.StateOf(p.PID()); err == nil && state != 'Z' {
			return
		}
		how, err := p.WaitEnd(n.ctx)
		n.t.Errorf("%s: %s ended by itself: %v %v; its log is %s", kind, voter, how, err, p.Log())
	}
	if err := n.start(voter); err != nil {
		n.t.Errorf("%s: start %s again: %v", kind, voter, err)
	}
}

// start starts a voter and waits until it knows a leader.
func (n *nemesis) start(voter string) error {
	p := n.w.Process(voter)
	if err := p.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(n.ctx, 30*time.Second)
	defer cancel()
	return p.WaitReady(ctx)
}

// hold lets a fault last, for a drawn time.
func (n *nemesis) hold(least, most time.Duration) {
	select {
	case <-time.After(least + time.Duration(n.draw.Int64N(int64(most-least)+1))):
	case <-n.ctx.Done():
	}
}

func (n *nemesis) anyVoter() string { return n.w.voters[n.draw.IntN(len(n.w.voters))] }

// target draws the leader half of the time, because that hurts most.
func (n *nemesis) target() (string, error) {
	if n.draw.IntN(2) == 0 {
		return n.w.leader(n.ctx)
	}
	return n.anyVoter(), nil
}

// changed waits for another leader than the one that was, as the other voters see it.
func (n *nemesis) changed(was string, limit time.Duration) string {
	end := time.Now().Add(limit)
	for time.Now().Before(end) {
		for _, v := range n.w.others(was) {
			if st := n.w.status(n.ctx, v); st != nil && st.GetLeader() != was && st.GetLeader() != "" {
				return st.GetLeader()
			}
		}
		<-time.After(10 * time.Millisecond)
	}
	return ""
}

func (n *nemesis) total() (total int) {
	for _, count := range n.byKind {
		total += count
	}
	return total
}

func (n *nemesis) report() {
	n.t.Helper()
	for _, kind := range slices.Sorted(maps.Keys(n.byKind)) {
		n.t.Logf("  %-22s %3d witnessed, %d without effect", kind, n.byKind[kind], n.void[kind])
	}
	for kind, count := range n.void {
		if n.byKind[kind] == 0 {
			n.t.Errorf("fault %s was made %d times and never took effect", kind, count)
		}
	}
}
