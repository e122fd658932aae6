package controlplane_test

import (
	"context"
	"flag"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

var watcherCount = flag.Int("watchers", 1000, "nodes that follow one voter at once")

// watcher is a node's stream over a connection and a certificate of its own. It
// checks that what comes has no gap, verifies each seal of every tenth watcher
// (all share two cores here), acknowledges, and notes when a revision came.
type watcher struct {
	stream   grpc.BidiStreamingClient[controlv1.NodeMessage, controlv1.Push]
	revision uint64
	arrived  func(revision uint64)
	expect   *bundle.Expect
}

func (w *watcher) follow() error {
	for {
		p, err := w.stream.Recv()
		if err != nil {
			return err
		}
		if d := p.GetDelta(); d != nil && d.GetFromRevision() != w.revision {
			return policy.Errorf(policy.Internal, "a gap: from %d, at %d", d.GetFromRevision(), w.revision)
		}
		if p.GetSeal() == nil {
			continue
		}
		if w.revision = p.GetRevision(); w.arrived != nil {
			w.arrived(w.revision)
		}
		if w.expect != nil {
			if _, err := bundle.Verify(p, *w.expect); err != nil {
				return err
			}
		}
		if err := w.stream.Send(&controlv1.NodeMessage{Message: &controlv1.NodeMessage_Ack{Ack: &controlv1.Ack{Revision: w.revision, Nonce: p.GetNonce()}}}); err != nil {
			return err
		}
	}
}

// watch subscribes; the stream ends with ctx.
func (c *cluster) watch(ctx context.Context, dir string) (*watcher, error) {
	files, err := c.ca.Issue(dir, mtls.Identity{Cluster: c.id, Region: "ie1", Role: mtls.DataPlane, Node: policy.NodeID(mustID(c.t, policy.KindNode))}, "127.0.0.1")
	if err != nil {
		return nil, err
	}
	m, err := mtls.Load(files)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("passthrough:///"+c.configs[0].GRPCAddress,
		grpc.WithTransportCredentials(credentials.NewTLS(m.Client(mtls.Peer{Roles: []mtls.Role{mtls.ControlPlane}}))))
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	stream, err := controlv1.NewDistributionServiceClient(conn).Subscribe(ctx)
	if err != nil {
		return nil, err
	}
	return &watcher{stream: stream}, stream.Send(&controlv1.NodeMessage{Message: &controlv1.NodeMessage_Hello{Hello: &controlv1.Hello{}}})
}

// arrivals counts the watchers that have each revision, and how long it took.
type arrivals struct {
	mu    sync.Mutex
	began map[uint64]time.Time
	took  []time.Duration
	at    map[uint64]int
	all   map[uint64]chan struct{}
	want  int
}

func (a *arrivals) note(revision uint64) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at[revision]++
	if began, ok := a.began[revision]; ok {
		a.took = append(a.took, now.Sub(began))
	}
	if done, ok := a.all[revision]; ok && a.at[revision] == a.want {
		close(done)
	}
}

// TestINV30_AThousandWatchersOfOneVoter: real connections, certificates and
// streams. All get every change in order and without a gap, while some that
// never read are among them.
func TestINV30_AThousandWatchersOfOneVoter(t *testing.T) {
	n := *watcherCount
	if testing.Short() {
		n = min(n, 100)
	}
	timing := fast
	fast.Renew = 15 * time.Second // as in production
	t.Cleanup(func() { fast = timing })
	c := newCluster(t, 1)
	c.tenants(20, "ie1")
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	a := &arrivals{began: map[uint64]time.Time{}, at: map[uint64]int{}, all: map[uint64]chan struct{}{}, want: n}
	var wg sync.WaitGroup
	var ready, failed atomic.Int64
	expect := &bundle.Expect{Cluster: c.id, Region: "ie1", Root: c.root}
	dir, connecting := t.TempDir(), make(chan struct{}, 32)
	begin := time.Now()
	for i := range n {
		connecting <- struct{}{}
		wg.Go(func() {
			w, err := c.watch(ctx, filepath.Join(dir, mustID(t, policy.KindNode)))
			if err != nil {
				t.Errorf("watcher %d: %v", i, err)
				failed.Add(1)
				<-connecting
				return
			}
			if i%10 == 0 {
				w.expect = expect
			}
			first := true
			w.arrived = func(revision uint64) {
				if first {
					first = false
					ready.Add(1)
					<-connecting
				}
				a.note(revision)
			}
			if err := w.follow(); ctx.Err() == nil {
				t.Errorf("watcher %d: %v", i, err)
				failed.Add(1)
			}
		})
	}
	for range 5 { // they subscribe and never read
		if _, err := c.watch(ctx, filepath.Join(dir, mustID(t, policy.KindNode))); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() error {
		if ready.Load()+failed.Load() < int64(n) {
			return errStatus(0)
		}
		return nil
	}, "not all watchers have the bundle")
	t.Logf("%d watchers connected and synchronised in %v", n, time.Since(begin).Round(time.Millisecond))
	c.changes(a, 30)
	cancel()
	wg.Wait()
	slices.Sort(a.took)
	if len(a.took) == 0 {
		t.Fatal("no change was measured")
	}
	at := func(p int) time.Duration { return a.took[len(a.took)*p/100].Round(10 * time.Microsecond) }
	t.Logf("from sending a policy write to its arrival at %d watchers, %d arrivals: p50 %v, p90 %v, p99 %v, longest %v",
		n, len(a.took), at(50), at(90), at(99), a.took[len(a.took)-1].Round(10*time.Microsecond))
}

// changes makes changes one after another; each must reach everybody.
func (c *cluster) changes(a *arrivals, n int) {
	c.t.Helper()
	for i := range n {
		done := make(chan struct{})
		a.mu.Lock()
		next := c.revision() + 1
		a.began[next], a.all[next] = time.Now(), done
		a.mu.Unlock()
		c.want(c.do(0, "POST", "/v1/tenants", map[string]any{"slug": "watched-" + string(rune('a'+i/26)) + string(rune('a'+i%26)), "home_region": "ie1", "billing_country": "IE"}, nil), 201, "")
		select {
		case <-done:
		case <-time.After(patience):
			a.mu.Lock()
			c.t.Fatalf("change %d reached %d of %d watchers", next, a.at[next], a.want)
		}
	}
}

// revision of the state, as its reads say.
func (c *cluster) revision() uint64 {
	c.t.Helper()
	r, err := api.ParsePolicyToken(c.do(0, "GET", "/v1/regions", nil, nil).Header.Get("X-Policy-Token"))
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}
