package controlplane_test

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/feed"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

var followerCount = flag.Int("followers", 100, "feeds that follow a leader which hands over, and then is gone")

// crowd is many nodes of one region: each with the feed that a region's node runs,
// a certificate, a cache and connections of its own. One door counts their dials.
type crowd struct {
	c     *cluster
	door  *egress.Door
	feeds []*feed.Feed
	seen  []steps // by feed
	done  chan struct{}
	notes sync.WaitGroup
}

// steps are the revisions that one feed has published, in order.
type steps struct {
	mu        sync.Mutex
	revisions []uint64
	back      bool // one was not past the one before it
}

func (s *steps) add(revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.revisions); n > 0 && revision <= s.revisions[n-1] {
		s.back = true
	}
	s.revisions = append(s.revisions, revision)
}

// crowd starts n feeds that know all voters. They begin one after another, so that
// what is shown is how they come again, and not how they came.
func (c *cluster) crowd(n int) *crowd {
	c.t.Helper()
	dir := c.t.TempDir()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	keys, err := local.OpenKeyring(local.Options{Dir: filepath.Join(dir, "keys"), Region: "ie1"})
	c.must(err)
	c.t.Cleanup(func() { _ = keys.Close() })
	door, err := egress.New(egress.Options{Region: "ie1", Dir: filepath.Join(dir, "ledger"), Logger: quiet})
	c.must(err)
	c.t.Cleanup(func() { _ = door.Close() })
	w := &crowd{c: c, door: door, seen: make([]steps, n), done: make(chan struct{})}
	c.t.Cleanup(w.close)
	var voters []string
	for _, x := range c.configs {
		voters = append(voters, x.GRPCAddress)
	}
	for i := range n {
		node := policy.NodeID(mustID(c.t, policy.KindNode))
		files, err := c.ca.Issue(filepath.Join(dir, "tls", string(node)), mtls.Identity{Cluster: c.id, Region: "ie1", Role: mtls.DataPlane, Node: node}, "127.0.0.1")
		c.must(err)
		m, err := mtls.Load(files)
		c.must(err)
		f, err := feed.Open(feed.Options{Region: "ie1", Material: m, ControlPlane: voters, RootPublicKey: c.root,
			Dir: filepath.Join(dir, "feeds", string(node)), Keys: keys, Door: door, Logger: quiet})
		c.must(err)
		w.feeds = append(w.feeds, f)
		f.Start()
		w.notes.Go(func() { w.note(f, &w.seen[i]) })
		if i%16 == 15 || i == n-1 { // so many handshakes at once
			w.arrive(1, "of the first bundle")
		}
	}
	return w
}

// note writes down each revision that a feed publishes, until the end.
func (w *crowd) note(f *feed.Feed, s *steps) {
	for last := uint64(0); f.Wait(w.c.t.Context(), last+1) == nil; {
		last = f.Current().Revision
		s.add(last)
	}
}

func (w *crowd) close() {
	close(w.done)
	var all sync.WaitGroup
	for _, f := range w.feeds {
		all.Go(func() { _ = f.Close() })
	}
	all.Wait()
	w.notes.Wait()
}

// arrive waits until every feed has a revision or a later one.
func (w *crowd) arrive(revision uint64, what string) {
	w.c.t.Helper()
	late := 0
	eventually(w.c.t, func() error {
		for ; late < len(w.feeds); late++ {
			if v := w.feeds[late].Current(); v == nil || v.Revision < revision {
				return fmt.Errorf("feed %d of %d is at %+v", late, len(w.feeds), w.feeds[late].Status())
			}
		}
		return nil
	}, "some have not heard %s", what)
}

// dials counts the connections that were opened or tried, and what came over them.
func (w *crowd) dials() (opened, failed, bytes int64) {
	for _, e := range w.door.Entries() {
		opened, failed, bytes = opened+e.Connections, failed+e.Failed, bytes+e.BytesIn
	}
	return opened, failed, bytes
}

// write makes one change at whatever voter runs, and gives its revision.
func (w *crowd) write(voter, n int) uint64 {
	w.c.t.Helper()
	a := w.c.want(w.c.do(voter, "POST", "/v1/tenants", map[string]any{"slug": fmt.Sprintf("changed-%d", n), "home_region": "ie1", "billing_country": "IE"}, nil), 201, "")
	revision, err := api.ParsePolicyToken(a.Header.Get("X-Policy-Token"))
	w.c.must(err)
	return revision
}

func (c *cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// TestINV30_AThousandWatchersFollowTheNextLeader: whether a leader hands over or
// is gone, every watcher follows the next one from where it was, without a gap, a
// repeat or a whole bundle again, and they do not all come at once. The feeds are
// those of a region's node.
func TestINV30_AThousandWatchersFollowTheNextLeader(t *testing.T) {
	n := *followerCount
	c := prepare(t, 3)
	c.timing.Renew = 15 * time.Second // as in production
	c.timing.Heartbeat = time.Second
	c.startAll()
	c.tenants(200, "ie1") // a whole bundle is then much more than what any change is
	begin := time.Now()
	w := c.crowd(n)
	w.arrive(w.write(c.leader(), 0), "the first change")
	_, _, bytes := w.dials()
	whole := bytes / int64(n) // of one node: handshake, bundle, a change
	t.Logf("%d watchers connected and synchronised in %v, %d bytes each", n, time.Since(begin).Round(time.Millisecond), whole)

	for i, how := range []string{"handed over", "gone"} {
		was := c.leader()
		opened, failed, bytes := w.dials()
		came := w.coming(opened+int64(n)/10, opened+int64(n)*9/10)
		begin := time.Now()
		if how == "gone" {
			c.stop(was)
		} else {
			to := c.configs[c.follower()].Name
			eventually(t, func() error {
				if a := c.do(was, "POST", "/v1/members/"+to+":transferLeadership", nil, nil); c.leader() == was {
					return fmt.Errorf("%s", a.Raw)
				}
				return nil
			}, "the leader does not hand over")
		}
		next := c.leader()
		revision := uint64(0)
		for k := range 5 { // while they come
			revision = w.write(next, 100*(i+1)+k)
		}
		w.arrive(revision, "what changed after the leader was "+how)
		took := time.Since(begin)
		spread := <-came
		opened2, failed2, bytes2 := w.dials()
		tried := opened2 + failed2 - opened - failed
		each := (bytes2 - bytes) / int64(n)
		t.Logf("leader %s: all %d follow the next after %v; %.1f dials and %d bytes each; 80 %% of them came in %v",
			how, n, took.Round(time.Millisecond), float64(tried)/float64(n), each, spread.Round(time.Millisecond))
		if each > whole/2 {
			t.Errorf("leader %s: each was sent %d bytes, as if a good part of the bundle had come again (at first %d)", how, each, whole)
		}
		// Elections under load take their time, in which each asks again: ever more seldom.
		if most := 4 + 2*took.Seconds(); float64(tried) > most*float64(n) {
			t.Errorf("leader %s: %d dials of %d watchers in %v", how, tried, n, took)
		}
		if spread < 100*time.Millisecond {
			t.Errorf("leader %s: 80 %% of %d watchers came within %v: a storm", how, n, spread)
		}
	}
	w.whole()
}

// coming tells how long it took from the first to the second count of connections.
func (w *crowd) coming(from, to int64) <-chan time.Duration {
	out := make(chan time.Duration, 1)
	go func() {
		var first time.Time
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			opened, _, _ := w.dials()
			if first.IsZero() && opened >= from {
				first = time.Now()
			}
			if opened >= to {
				out <- time.Since(first)
				return
			}
			select {
			case <-w.done:
				return
			default:
			}
		}
	}()
	return out
}

// whole checks what the feeds were given: in order, nothing refused, and all the same.
func (w *crowd) whole() {
	w.c.t.Helper()
	for i, f := range w.feeds {
		s := &w.seen[i]
		s.mu.Lock()
		if s.back || f.Status().LastNack != "" {
			w.c.t.Errorf("feed %d: revisions %v, refused %q", i, s.revisions, f.Status().LastNack)
		}
		s.mu.Unlock()
		if have, want := f.Current().Set.Len(), w.feeds[0].Current().Set.Len(); have != want {
			w.c.t.Errorf("feed %d has %d tenants, feed 0 has %d", i, have, want)
		}
	}
}
