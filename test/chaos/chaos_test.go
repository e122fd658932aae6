package chaos

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// TestINV30_Chaos is the suite: see the package comment.
func TestINV30_Chaos(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	w := openWorld(t, seed)
	c, err := startClients(t.Context(), w, seed)
	check(t, err)
	watchers, stopWatching := startWatchers(t, w, c)

	n := &nemesis{t: t, ctx: t.Context(), w: w, c: c, draw: rand.New(rand.NewPCG(seed, 2)), byKind: map[string]int{}, void: map[string]int{}, way: int(seed % 4), watchers: watchers, outages: outages{}}
	begin := time.Now()
	torment(n, available(t, w))
	lasted := time.Since(begin)
	c.end()

	draw := rand.New(rand.NewPCG(seed, 4))
	c.objects.readAll(t.Context(), draw)
	last, err := n.probe(t.Context())
	check(t, err)
	touchRegions(t, c, draw, watchers, last)
	check(t, w.quiesce(t.Context()))
	stopWatching()
	w.equal(t, watchers)
	linearizable(t, c.h, time.Minute)
	c.report(t)
	summary(t, n, c, seed, lasted)
	n.outages.write(t, seed, n.total(), lasted)
}

// torment makes faults: a round of every kind in drawn order, again and again.
func torment(n *nemesis, faults []fault) {
	end := time.Now().Add(shortRun)
	for {
		n.draw.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
		for _, f := range faults {
			switch {
			case n.ctx.Err() != nil:
				return
			case *faultsFlag > 0 && n.total() >= *faultsFlag:
				return
			case *faultsFlag == 0 && time.Now().After(end):
				return
			}
			n.one(f)
		}
	}
}

func startWatchers(t *testing.T, w *world, c *clients) ([]*watcher, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	agreed := &agreement{hashes: map[string][32]byte{}}
	var all sync.WaitGroup
	var watchers []*watcher
	for _, r := range []policy.RegionID{"ie1", "ie1", "us1"} {
		x, err := openWatcher(w, r, agreed, c.complain)
		check(t, err)
		watchers = append(watchers, x)
		all.Go(func() { x.run(ctx) })
	}
	stop := func() { cancel(); all.Wait() }
	t.Cleanup(stop)
	return watchers, stop
}

// touchRegions changes a row that every bundle holds, and waits until every
// watcher has it: so all have seen all there is.
func touchRegions(t *testing.T, c *clients, draw *rand.Rand, watchers []*watcher, after uint64) {
	t.Helper()
	x := c.objects.regions[0]
	c.objects.readRegion(t.Context(), -1, draw, x)
	c.objects.swapRegion(t.Context(), -1, draw, x)
	_, etag := x.last()
	want, err := revisionOf(etag)
	check(t, err)
	if want <= after {
		t.Errorf("the last change is at revision %d, before %d", want, after)
	}
	for _, x := range watchers {
		end := time.Now().Add(30 * time.Second)
		for at, _ := x.at(); at < want; at, _ = x.at() {
			if time.Now().After(end) {
				t.Errorf("INV42: a watcher of %s is at revision %d and does not reach %d", x.region, at, want)
				break
			}
			<-time.After(20 * time.Millisecond)
		}
	}
}

func summary(t *testing.T, n *nemesis, c *clients, seed uint64, lasted time.Duration) {
	t.Helper()
	gate := *gateFlag
	rate := float64(n.ackedIn) / n.broken.Seconds()
	t.Logf("seed %d: %d faults in %.0f s", seed, n.total(), lasted.Seconds())
	n.report()
	t.Logf("%d clients, %d operations recorded: %d acknowledged, %d refused, %d unknown, %d definitely not done, %d not offered; %d sent again",
		clientCount, c.h.len(), c.acked.Load(), c.refusals.Load(), c.unknowns.Load(), c.failed.Load(), c.notSent.Load(), c.repeats.Load())
	t.Logf("%.0f acknowledged operations/s during faults (gate %.0f), %.0f over all", rate, gate, float64(c.acked.Load())/lasted.Seconds())
	t.Logf("after healing: first write within %.2f s, all voters equal within %.2f s", n.slowest.Seconds(), n.behind.Seconds())
	if rate < gate {
		t.Errorf("VOID: %.0f acknowledged operations/s during faults, want %.0f: the run shows nothing", rate, gate)
	}
}
