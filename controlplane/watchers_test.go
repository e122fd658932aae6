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
	// A handshake that takes longer than the lobby waits is begun anew, as nodes do.
	stream, err := controlv1.NewDistributionServiceClient(conn).Subscribe(ctx, grpc.WaitForReady(true))
	if err != nil {
		return nil, err
	}
	return &watcher{stream: stream}, stream.Send(&controlv1.NodeMessage{Message: &controlv1.NodeMessage_Hello{Hello: &controlv1.Hello{}}})
}

// arrivals remembers when each watcher came to which revision.
type arrivals struct {
	mu    sync.Mutex
	seen  [][]arrival // by watcher, in order
	moved chan struct{}
	took  []time.Duration
}

type arrival struct {
	revision uint64
	at       time.Time
}

func (a *arrivals) note(watcher int, revision uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen[watcher] = append(a.seen[watcher], arrival{revision, time.Now()})
	select {
	case a.moved <- struct{}{}:
	default:
	}
}

// of gives when each watcher came to a revision or past it; those that have not
// are left out.
func (a *arrivals) of(revision uint64) (at []time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, seen := range a.seen {
		if i := slices.IndexFunc(seen, func(x arrival) bool { return x.revision >= revision }); i >= 0 {
			at = append(at, seen[i].at)
		}
	}
	return at
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
	a := &arrivals{seen: make([][]arrival, n), moved: make(chan struct{}, 1)}
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
				a.note(i, revision)
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

// changes makes changes one after another; each must reach everybody. Other
// changes, such as a member's announcement, may come between.
func (c *cluster) changes(a *arrivals, n int) {
	c.t.Helper()
	for i := range n {
		began := time.Now()
		made := c.want(c.do(0, "POST", "/v1/tenants", map[string]any{"slug": "watched-" + string(rune('a'+i/26)) + string(rune('a'+i%26)), "home_region": "ie1", "billing_country": "IE"}, nil), 201, "")
		revision, err := api.ParsePolicyToken(made.Header.Get("X-Policy-Token"))
		if err != nil {
			c.t.Fatal(err)
		}
		late := time.After(patience)
		at := a.of(revision)
		for len(at) < len(a.seen) {
			select {
			case <-a.moved:
			case <-late:
				c.t.Fatalf("change %d reached %d of %d watchers", revision, len(at), len(a.seen))
			}
			at = a.of(revision)
		}
		for _, t := range at {
			a.took = append(a.took, t.Sub(began))
		}
	}
}
