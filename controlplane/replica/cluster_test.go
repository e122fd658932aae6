package replica

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/loopback"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

const (
	clusterID = "CL00000000000000000000000000000001"
	actor     = "PR0000000000000000000000000000000a"
	patience  = 30 * time.Second // for conditions that take milliseconds on an idle machine
)

// cluster is voters in this process: real listeners, TLS, files and fsync.
type cluster struct {
	t      testing.TB
	dir    string
	tune   func(*Options)
	gather time.Duration // of the stores
	voters []Voter
	nodes  map[string]*node
	ca     *mtls.Authority
}

type node struct {
	*Replica
	store *store.Store
}

// startCluster starts n voters and sets the cluster up.
func startCluster(t testing.TB, n int, tune func(*Options)) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), tune: tune, nodes: map[string]*node{}}
	ca, err := mtls.OpenAuthority(filepath.Join(c.dir, "ca"))
	check(t, err)
	c.ca = ca
	listeners := make([]net.Listener, n)
	for i := range listeners {
		port, err := loopback.Port() // a voter that is killed wants it again
		check(t, err)
		listeners[i], err = net.Listen("tcp", loopback.Address(port))
		check(t, err)
		c.voters = append(c.voters, Voter{Name: fmt.Sprintf("cp%d", i+1), Address: listeners[i].Addr().String()})
	}
	for i, v := range c.voters {
		c.start(v.Name, listeners[i])
	}
	t.Cleanup(func() {
		for name := range c.nodes {
			c.kill(name)
		}
	})
	_, err = c.propose(store.Stamp{Now: time.Now(), Actor: "bootstrap"}, seed())
	check(t, err)
	return c
}

func (c *cluster) material(cluster string, role mtls.Role, n int) *mtls.Material {
	c.t.Helper()
	return issue(c.t, c.ca, mtls.Identity{Cluster: cluster, Region: mtls.ControlRegion, Role: role,
		Node: policy.NodeID(fmt.Sprintf("ND%032x", n))})
}

func issue(t testing.TB, ca *mtls.Authority, who mtls.Identity) *mtls.Material {
	t.Helper()
	files, err := ca.Issue(t.TempDir(), who, "127.0.0.1")
	check(t, err)
	m, err := mtls.Load(files)
	check(t, err)
	return m
}

// start opens a voter on its folder; l may be nil, to bind its address again.
func (c *cluster) start(name string, l net.Listener) *node {
	c.t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	dir := filepath.Join(c.dir, name)
	check(c.t, mkdir(dir))
	s, err := store.Open(store.Options{Path: filepath.Join(dir, "state.db"), Logger: log, Gather: c.gather})
	check(c.t, err)
	o := Options{Name: name, Dir: filepath.Join(dir, "raft"), Voters: c.voters, Store: s, Bootstrap: true, Listener: l,
		TLS: c.material(clusterID, mtls.ControlPlane, len(c.nodes)+1), Logger: log, Heartbeat: 300 * time.Millisecond,
		Fatal: func(err error) { c.t.Errorf("%s: fatal: %v", name, err) }}
	if c.tune != nil {
		c.tune(&o)
	}
	r, err := Open(o)
	check(c.t, err)
	c.nodes[name] = &node{Replica: r, store: s}
	return c.nodes[name]
}

// kill stops a voter without handing over.
func (c *cluster) kill(name string) {
	c.t.Helper()
	n := c.nodes[name]
	if n == nil {
		return
	}
	delete(c.nodes, name)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	check(c.t, n.Shutdown(gone))
	check(c.t, n.store.Close())
}

// leader waits for a node that may serve as leader.
func (c *cluster) leader() *node {
	c.t.Helper()
	var found *node
	eventually(c.t, "a leader", func() bool {
		for _, n := range c.nodes {
			if n.IsLeader() {
				found = n
				return true
			}
		}
		return false
	})
	return found
}

// propose proposes on whoever leads until it is definitely done.
func (c *cluster) propose(s store.Stamp, p store.Payload) (store.Result, error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		r, err := c.leader().Propose(ctx, store.Command{Stamp: s, Payload: p})
		again := errors.Is(err, &policy.Error{Reason: policy.NotReady}) || s.IdempotencyKey != "" && errors.Is(err, &policy.Error{Reason: policy.OutcomeUnknown})
		if !again || ctx.Err() != nil {
			return r, err
		}
	}
}

// tenant creates the n-th tenant.
func (c *cluster) tenant(n int) store.Result {
	c.t.Helper()
	s := store.Stamp{Now: time.Now(), Actor: actor, IdempotencyKey: fmt.Sprintf("00000000-0000-4000-8000-%012x", n), RequestHash: hash(fmt.Sprint(n))}
	r, err := c.propose(s, tenantPayload(n))
	check(c.t, err)
	if r.Err != nil {
		c.t.Fatalf("tenant %d: %v", n, r.Err)
	}
	return r
}

func tenantPayload(n int) store.CreateTenant {
	return store.CreateTenant{ID: tenantID(n), Slug: policy.Slug(fmt.Sprintf("t-%c%c%c%c", 'a'+n/17576%26, 'a'+n/676%26, 'a'+n/26%26, 'a'+n%26)), Home: "ie1", BillingCountry: "IE"}
}

func tenantID(n int) policy.TenantID { return policy.TenantID(fmt.Sprintf("TN%032x", n)) }

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func seed() store.InitCluster {
	return store.InitCluster{ClusterID: clusterID,
		Regions:  []policy.Region{{ID: "ie1", Boundary: "eu", Country: "IE", Cloud: "aws-eu-west-1", BackupRegion: "none", Lifecycle: policy.Active}},
		Entities: entities(), Bases: []store.Basis{{TransferBasis: policy.TransferBasis{ID: "NONE", State: "active"}}}}
}

// countries all have one contracting entity.
var countries = []string{"IE", "FR", "DE", "ES", "IT", "NL", "BE", "PT"}

func entities() (out []store.Entity) {
	for _, c := range countries {
		out = append(out, store.Entity{Country: c, Code: "DOM-IE", SuggestedRegion: "ie1"})
	}
	return out
}

// equal waits until all running voters stand at one index, and compares their state.
func (c *cluster) equal() {
	c.t.Helper()
	eventually(c.t, "equal state on every voter", func() bool {
		hashes := map[string]bool{}
		for _, n := range c.nodes {
			h, index, err := n.store.StateHash()
			check(c.t, err)
			hashes[fmt.Sprint(h, index)] = true
		}
		return len(hashes) == 1
	})
}

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	end := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond) // between looks at the condition, not instead of one
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
