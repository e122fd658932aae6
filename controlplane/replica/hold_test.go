package replica

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/domicile-io/domicile/controlplane/store"
)

// writers are 64 clients that create tenants on a leader until they are stopped.
type writers struct {
	stop chan struct{}
	wait sync.WaitGroup
	done atomic.Int64 // acknowledged
	next atomic.Int64
}

func (c *cluster) write(leader *node) *writers {
	w := &writers{stop: make(chan struct{})}
	for range 64 {
		w.wait.Add(1)
		go func() {
			defer w.wait.Done()
			for {
				select {
				case <-w.stop:
					return
				default:
				}
				n := int(w.next.Add(1))
				s := store.Stamp{Now: time.Now(), Actor: actor, IdempotencyKey: fmt.Sprintf("00000000-0000-4000-8000-%012x", n), RequestHash: hash(fmt.Sprint(n))}
				r, err := leader.Propose(context.Background(), store.Command{Stamp: s, Payload: tenantPayload(n)})
				if err != nil || r.Err != nil {
					c.t.Errorf("tenant %d: %v %v: the leader is given no reason to change", n, r.Err, err)
					return
				}
				w.done.Add(1)
			}
		}()
	}
	return w
}

// whileItGrows is eventually for what thousands of synced writes bring about: a busy
// machine, or the race detector, takes a minute for that, and only one that does
// nothing for as long as eventually waits has failed.
func whileItGrows(t *testing.T, what string, size func() int64, condition func() bool) {
	t.Helper()
	for before := int64(-1); !condition(); {
		eventually(t, what, func() bool { return condition() || size() > before })
		before = size()
	}
}

func (w *writers) end() {
	close(w.stop)
	w.wait.Wait()
}

// A voter that needs a snapshot has it and what was written meanwhile, although
// writes never pause and the log is kept for a moment only.
func TestAVoterThatInstallsASnapshotCatchesUpUnderLoad(t *testing.T) {
	c := startCluster(t, 3, func(o *Options) {
		o.SnapshotThreshold, o.TrailingLogs, o.SnapshotInterval = 64, 16, 10*time.Millisecond
		o.Heartbeat = 2 * time.Second // the machine is busy, and an election is not what is tested
	})
	leader := c.leader()
	lagging := "cp1"
	if leader.o.Name == lagging {
		lagging = "cp2"
	}
	c.kill(lagging)
	file := filepath.Join(c.dir, lagging, "state.db")
	before, err := os.Stat(file)
	check(t, err)
	w := c.write(leader)
	defer w.end()
	whileItGrows(t, "a state of some size, whose log has been cut", w.done.Load, func() bool {
		return w.done.Load() > 6000 && leader.Status().LastSnapshot > 5000
	})
	back, begin, done := c.start(lagging, nil), time.Now(), w.done.Load()
	whileItGrows(t, "the voter to catch up while 64 clients write", func() int64 { return int64(back.Applied()) }, func() bool {
		if more := w.done.Load() - done; more > 100_000 {
			t.Fatalf("the voter is at %d and the leader at %d after %d writes", back.Applied(), leader.Applied(), more)
		}
		return back.Applied()+64 > leader.Applied() && back.Applied() > 6000
	})
	after, err := os.Stat(file)
	check(t, err)
	if os.SameFile(before, after) {
		t.Error("void: the voter came up to date without a snapshot")
	}
	if w.done.Load() == done {
		t.Error("void: nothing was written meanwhile")
	}
	sent := leader.disk.held.count.Load()
	if sent > 2 { // one, and one more if an answer was lost
		t.Errorf("it took %d snapshots", sent)
	}
	t.Logf("caught up after %v, %d writes and %d snapshots", time.Since(begin).Round(time.Millisecond), w.done.Load()-done, sent)
}

// The log is held from the snapshot on, for as long as the voter comes for it.
func TestTheLogIsHeldForWhomItIsFor(t *testing.T) {
	few := func(uint64) uint64 { return 100 }
	for name, c := range map[string]struct {
		do     func(*holds)
		behind func(uint64) uint64
		want   uint64 // that may go, of 5000
	}{
		"nobody":                          {do: func(*holds) {}, want: 4999},
		"being sent":                      {do: func(h *holds) { h.begin("a", 1000) }, want: 999},
		"not arrived":                     {do: func(h *holds) { h.begin("a", 1000); h.sent("a", false) }, want: 4999},
		"arrived":                         {do: func(h *holds) { h.begin("a", 1000); h.sent("a", true) }, want: 999},
		"on its way":                      {do: func(h *holds) { h.begin("a", 1000); h.sent("a", true); h.answered("a", 3000) }, want: 2999},
		"not another's":                   {do: func(h *holds) { h.begin("a", 1000); h.sent("a", true); h.answered("b", 3000) }, want: 999},
		"silent":                          {do: func(h *holds) { h.answered("a", 3000); h.silent("a") }, want: 4999},
		"silent while it is sent":         {do: func(h *holds) { h.begin("a", 1000); h.silent("a") }, want: 999},
		"merely slow":                     {do: func(h *holds) { h.answered("a", 3000) }, want: 2999},
		"back at the start of a pipeline": {do: func(h *holds) { h.answered("a", 3000); h.answered("a", 2000) }, want: 2999},
		"there":                           {do: func(h *holds) { h.begin("a", 1000); h.sent("a", true); h.answered("a", 5001) }, want: 4999},
		"the slower one":                  {do: func(h *holds) { h.begin("a", 1000); h.begin("b", 2000); h.sent("a", true); h.answered("a", 3000) }, want: 1999},
		"too much":                        {do: func(h *holds) { h.begin("a", 1000) }, behind: func(uint64) uint64 { return heldMost + 1 }, want: 4999},
		"takes nothing":                   {do: func(h *holds) { h.begin("a", 1000); h.sent("a", true); h.of["a"].heard = time.Now().Add(-2 * heldIdle) }, want: 4999},
		"takes its time":                  {do: func(h *holds) { h.begin("a", 1000); h.of["a"].heard = time.Now().Add(-2 * heldIdle) }, want: 999},
		"sent another one":                {do: func(h *holds) { h.begin("a", 1000); h.begin("a", 4000) }, want: 3999},
	} {
		h := newHolds(slog.New(slog.DiscardHandler))
		c.do(h)
		if c.behind == nil {
			c.behind = few
		}
		if got := h.cut(5000, c.behind); got != c.want {
			t.Errorf("%s: up to %d may go, want %d", name, got, c.want)
		}
	}
}
