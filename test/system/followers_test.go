package system

import (
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/feed"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/internal/testcluster"
	"github.com/domicile-io/domicile/policy"
)

var followerCount = flag.Int("followers", 50, "feeds of nodes that follow voters whose leader is killed")

// following is many nodes of ie1, each with the feed that a node runs, a
// certificate, a cache and connections of its own, and one door that counts.
type following struct {
	t     *testing.T
	c     *testcluster.Cluster
	door  *egress.Door
	feeds []*feed.Feed
	back  []error // by feed: a revision that was not past the one before it
	notes sync.WaitGroup
	end   context.CancelFunc
}

func follow(t *testing.T, c *testcluster.Cluster, voter controlplane.Config, n int) *following {
	t.Helper()
	dir := t.TempDir()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	ca, err := mtls.OpenAuthority(filepath.Dir(c.Env.CAFile()))
	check(t, err)
	own, err := mtls.Load(voter.TLS)
	check(t, err)
	root, err := hex.DecodeString(voter.RootPublicKey)
	check(t, err)
	keys, err := local.OpenKeyring(local.Options{Dir: filepath.Join(dir, "keys"), Region: "ie1"})
	check(t, err)
	t.Cleanup(func() { _ = keys.Close() })
	ctx, end := context.WithCancel(context.Background())
	f := &following{t: t, c: c, back: make([]error, n), end: end}
	f.door, err = egress.New(egress.Options{Region: "ie1", Dir: filepath.Join(dir, "ledger"), Logger: quiet})
	check(t, err)
	t.Cleanup(func() { _ = f.door.Close() })
	t.Cleanup(f.close)
	var voters []string
	for _, v := range c.Env.Voters() {
		voters = append(voters, c.Env.VoterConfig(v).GRPCAddress)
	}
	for i := range n {
		node := policy.NodeID(fmt.Sprintf("ND%032x", i+1))
		files, err := ca.Issue(filepath.Join(dir, "tls", string(node)), mtls.Identity{Cluster: own.Identity.Cluster, Region: "ie1", Role: mtls.DataPlane, Node: node}, "127.0.0.1")
		check(t, err)
		m, err := mtls.Load(files)
		check(t, err)
		x, err := feed.Open(feed.Options{Region: "ie1", Material: m, ControlPlane: voters, RootPublicKey: root,
			Dir: filepath.Join(dir, "feeds", string(node)), Keys: keys, Door: f.door, Logger: quiet})
		check(t, err)
		f.feeds = append(f.feeds, x)
		x.Start()
		f.notes.Go(func() { f.back[i] = onlyForward(ctx, x) })
		if i%16 == 15 || i == n-1 { // so many handshakes at once
			f.have("")
		}
	}
	return f
}

// onlyForward waits for revision after revision until the feed ends.
func onlyForward(ctx context.Context, x *feed.Feed) error {
	for last := uint64(0); x.Wait(ctx, last+1) == nil; {
		now := x.Current().Revision
		if now <= last {
			return fmt.Errorf("revision %d after %d", now, last)
		}
		last = now
	}
	return nil
}

func (f *following) close() {
	f.end()
	f.notes.Wait()
	var all sync.WaitGroup
	for _, x := range f.feeds {
		all.Go(func() { _ = x.Close() })
	}
	all.Wait()
}

// have waits until every feed serves a tenant; "" waits for a first bundle.
func (f *following) have(id policy.TenantID) {
	f.t.Helper()
	late := 0
	until(f.t, 2*time.Minute, "what changed is with every follower", func() error {
		for ; late < len(f.feeds); late++ {
			v := f.feeds[late].Current()
			if v == nil {
				return fmt.Errorf("follower %d has no bundle", late)
			}
			if _, ok := v.Tenant(id); id != "" && !ok {
				return fmt.Errorf("follower %d of %d is at %+v", late, len(f.feeds), f.feeds[late].Status())
			}
		}
		return nil
	})
}

// bytes that came in, of all followers.
func (f *following) bytes() (n int64) {
	for _, e := range f.door.Entries() {
		n += e.BytesIn
	}
	return n
}

// made makes a tenant by way of a voter, and gives its id.
func made(t *testing.T, control *client.Control, slug string) policy.TenantID {
	t.Helper()
	x, err := control.CreateTenant(t.Context(), &controlv1.CreateTenantRequest{Slug: slug, HomeRegion: "ie1", BillingCountry: "IE"})
	check(t, err)
	return policy.TenantID(x.Id)
}

// The process that leads is killed (SIGKILL) while many follow it: each goes on at
// the next leader from where it was, with every change, none refused, none backwards
// and no whole bundle again; and when the killed one is back, and the next is killed.
func TestINV30_FollowersGoOnWhenTheLeaderIsKilled(t *testing.T) {
	var voter controlplane.Config
	c := start(t, testcluster.Options{Only: testcluster.ControlPlane, EditVoter: func(_ *dev.Environment, v *controlplane.Config) error {
		voter = *v
		return nil
	}})
	for i := range 60 { // a whole bundle is then much more than what any change is
		made(t, c.Control("cp1"), slug(0, i))
	}
	f := follow(t, c, voter, *followerCount)
	f.have(made(t, c.Control("cp1"), slug(1, 0)))
	whole := f.bytes() / int64(len(f.feeds))
	for round := 2; round < 4; round++ {
		st, err := c.Control("cp1").Status(t.Context())
		check(t, err)
		leader, before := st.GetLeader(), f.bytes()
		if !slices.Contains(c.Env.Voters(), leader) {
			t.Fatalf("nobody leads: %v", st)
		}
		check(t, c.Process(leader).Kill())
		control := c.Control(other(c, leader))
		control.Patience = time.Minute
		for i := range 4 { // while they come
			made(t, control, slug(round, i))
		}
		f.have(made(t, control, slug(round, 4)))
		each := (f.bytes() - before) / int64(len(f.feeds))
		t.Logf("%s killed: %d followers have what changed since; %d bytes each, and %d for the first bundle", leader, len(f.feeds), each, whole)
		if each > whole/2 {
			t.Errorf("each was sent %d bytes, as if a good part of the bundle had come again (at first %d)", each, whole)
		}
		check(t, c.Process(leader).Start())
		check(t, c.Process(leader).WaitReady(t.Context()))
	}
	f.end()
	f.notes.Wait()
	for i, x := range f.feeds {
		if s := x.Status(); s.LastNack != "" || f.back[i] != nil {
			t.Errorf("follower %d: refused %q, %v", i, s.LastNack, f.back[i])
		}
	}
}
