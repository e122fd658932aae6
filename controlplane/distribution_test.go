package controlplane_test

import (
	"context"
	"path/filepath"
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

// dial connects to a voter with a fresh certificate of a region and role.
func (c *cluster) dial(voter int, region policy.RegionID, role mtls.Role) *grpc.ClientConn {
	c.t.Helper()
	m, err := mtls.Load(c.issue(filepath.Join(c.t.TempDir(), "peer"), region, role))
	if err != nil {
		c.t.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///"+c.configs[voter].GRPCAddress,
		grpc.WithTransportCredentials(credentials.NewTLS(m.Client(mtls.Peer{Roles: []mtls.Role{mtls.ControlPlane}}))))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// node is a stand-in for a data plane's feed: it applies, verifies and acknowledges.
type node struct {
	c        *cluster
	region   policy.RegionID
	stream   grpc.BidiStreamingClient[controlv1.NodeMessage, controlv1.Push]
	rows     map[string][]byte
	state    bundle.State
	revision uint64
	fresh    time.Time
	kinds    []string // of the pushes, in order
}

func (c *cluster) subscribe(voter int, region policy.RegionID, last uint64, hash string) *node {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	c.t.Cleanup(cancel)
	stream, err := controlv1.NewDistributionServiceClient(c.dial(voter, region, mtls.DataPlane)).Subscribe(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	n := &node{c: c, region: region, stream: stream, rows: map[string][]byte{}}
	n.say(&controlv1.NodeMessage{Message: &controlv1.NodeMessage_Hello{Hello: &controlv1.Hello{LastRevision: last, StateHash: hash}}})
	return n
}

func (n *node) say(m *controlv1.NodeMessage) {
	n.c.t.Helper()
	if err := n.stream.Send(m); err != nil {
		n.c.t.Fatal(err)
	}
}

// next applies one push and acknowledges it; the seal must fit what is held.
func (n *node) next() *controlv1.Push {
	n.c.t.Helper()
	p, err := n.stream.Recv()
	if err != nil {
		n.c.t.Fatalf("receive a push: %v", err)
	}
	switch {
	case p.GetWait() != nil:
		return n.next()
	case p.GetPart() != nil:
		n.kinds = append(n.kinds, "snapshot")
		if p.GetPart().GetNumber() == 0 {
			n.rows, n.state = map[string][]byte{}, bundle.State{}
		}
		for _, k := range p.GetPart().GetRemoved() {
			delete(n.rows, k)
			n.state.Remove(k)
		}
		n.put(p.GetPart().GetRows())
	case p.GetDelta() != nil:
		n.kinds = append(n.kinds, "delta")
		if p.GetDelta().GetFromRevision() != n.revision {
			n.c.t.Fatalf("a gap: delta from %d, node at %d", p.GetDelta().GetFromRevision(), n.revision)
		}
		n.put(p.GetDelta().GetRows())
		for _, k := range p.GetDelta().GetRemoved() {
			delete(n.rows, k)
			n.state.Remove(k)
		}
	default:
		n.kinds = append(n.kinds, "renewal")
	}
	if p.GetSeal() == nil {
		return p
	}
	st, err := bundle.Verify(p, bundle.Expect{Cluster: n.c.id, Region: n.region, Root: n.c.root})
	if err != nil {
		n.c.t.Fatalf("seal: %v", err)
	}
	if st.StateHash != n.state.Hash() {
		n.c.t.Fatalf("state hash at revision %d differs after %v", p.GetRevision(), n.kinds)
	}
	n.revision, n.fresh = p.GetRevision(), st.FreshUntil
	n.say(&controlv1.NodeMessage{Message: &controlv1.NodeMessage_Ack{Ack: &controlv1.Ack{Revision: p.GetRevision(), Nonce: p.GetNonce()}}})
	return p
}

func (n *node) put(rows [][]byte) {
	n.c.t.Helper()
	for _, b := range rows {
		r, err := bundle.Decode(b)
		if err != nil {
			n.c.t.Fatal(err)
		}
		n.rows[r.RowKey()] = b
		n.state.Put(r.RowKey(), b)
	}
}

// until takes pushes until the row is held, or gone.
func (n *node) until(key string, held bool) {
	n.c.t.Helper()
	for {
		if _, ok := n.rows[key]; ok == held {
			return
		}
		n.next()
	}
}

func TestARegionGetsItsTenantsAndNobodyElses(t *testing.T) {
	c := newCluster(t, 1)
	irish, american := c.tenant("irish", "ie1"), c.tenant("american", "us1")
	n := c.subscribe(0, "ie1", 0, "")
	n.until("t/"+irish.str("id"), true)
	if n.kinds[0] != "snapshot" {
		t.Errorf("a new node got %v first", n.kinds)
	}
	second := c.tenant("second", "ie1")
	n.until("t/"+second.str("id"), true)
	if _, leaked := n.rows["t/"+american.str("id")]; leaked {
		t.Error("TestINV10: a region's bundle holds a tenant of another region")
	}
	if _, ok := n.rows["r/us1"]; !ok {
		t.Error("the bundle has no topology")
	}
	at, hash := n.revision, sprintf("%x", n.state.Hash())

	c.tenant("abroad", "us1") // nothing of ie1
	same := c.subscribe(0, "ie1", at, hash)
	same.rows, same.state, same.revision = n.rows, *n.state.Clone(), at
	for same.next().GetSeal() == nil {
	}
	if same.kinds[0] == "snapshot" {
		t.Errorf("a node that was up to date got %v", same.kinds)
	}
	late := c.subscribe(0, "ie1", at+1000, hash)
	if late.next(); late.kinds[0] != "snapshot" {
		t.Errorf("a node ahead of us got %v", late.kinds)
	}
}

func TestKeysAreDistributedBeforeTheAnswer(t *testing.T) {
	c := newCluster(t, 3)
	leader := c.leader()
	a := c.tenant("acme", "ie1")
	n := c.subscribe(leader, "ie1", 0, "")
	go func() {
		for {
			p, err := n.stream.Recv()
			if err != nil {
				return
			}
			if p.GetSeal() != nil {
				_ = n.stream.Send(&controlv1.NodeMessage{Message: &controlv1.NodeMessage_Ack{Ack: &controlv1.Ack{Revision: p.GetRevision(), Nonce: p.GetNonce()}}})
			}
		}
	}()
	eventually(t, func() error {
		list := c.do(leader, "GET", "/v1/nodes", nil, nil)
		if nodes := list.Body["nodes"].([]any); len(nodes) == 1 && nodes[0].(map[string]any)["acked_revision"] != float64(0) {
			return nil
		}
		return errStatus(0)
	}, "the node is not listed")
	for i := range c.planes { // a follower forwards, and the leader waits
		k := c.want(c.do(i, "POST", "/v1/tenants/"+a.str("id")+"/keys", map[string]any{"region": "ie1", "role": "ingest"}, nil), 201, "")
		if k.Body["distributed"] != true {
			t.Errorf("asked at voter %d: not distributed", i+1)
		}
	}
}

func TestRenewalsExtendFreshness(t *testing.T) {
	c := newCluster(t, 1)
	n := c.subscribe(0, "ie1", 0, "")
	for n.next().GetSeal() == nil {
	}
	first := n.fresh
	if ahead := time.Until(first); ahead > fast.FreshFor || ahead < fast.FreshFor-10*time.Second {
		t.Errorf("fresh for %v", ahead)
	}
	for n.fresh.Equal(first) {
		n.next()
	}
	if n.fresh.Before(first) {
		t.Error("freshness went back")
	}
}

func TestSubscribeRefusals(t *testing.T) {
	c := newCluster(t, 3)
	leader, follower := c.leader(), c.follower()
	refused := func(voter int, region policy.RegionID, role mtls.Role, hello *controlv1.NodeMessage, reason policy.Reason) *policy.Error {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		s, err := controlv1.NewDistributionServiceClient(c.dial(voter, region, role)).Subscribe(ctx)
		if err != nil {
			t.Fatal(err)
		}
		_ = s.Send(hello) // the answer to it is what counts
		_, err = s.Recv()
		e := api.AsError(api.FromGRPC(err))
		if e.Reason != reason {
			t.Errorf("%s %s: %v, want %s", region, role, err, reason)
		}
		return e
	}
	hello := &controlv1.NodeMessage{Message: &controlv1.NodeMessage_Hello{Hello: &controlv1.Hello{}}}
	refused(leader, mtls.ControlRegion, mtls.Gateway, hello, policy.PermissionDenied)
	refused(leader, mtls.ControlRegion, mtls.ControlPlane, hello, policy.PermissionDenied)
	refused(leader, "zz9", mtls.DataPlane, hello, policy.PermissionDenied)
	refused(leader, "ie1", mtls.DataPlane, &controlv1.NodeMessage{Message: &controlv1.NodeMessage_Ack{Ack: &controlv1.Ack{}}}, policy.InvalidArgument)
	refused(leader, "ie1", mtls.DataPlane, &controlv1.NodeMessage{Message: &controlv1.NodeMessage_Hello{Hello: &controlv1.Hello{StateHash: "x"}}}, policy.InvalidArgument)
	e := refused(follower, "ie1", mtls.DataPlane, hello, policy.NotReady)
	if e.Metadata["leader"] != c.configs[leader].GRPCAddress {
		t.Errorf("a follower names %q as leader, want %q", e.Metadata["leader"], c.configs[leader].GRPCAddress)
	}
	// A data plane's certificate can do nothing else, even with an operator's token.
	ctx := withToken(operatorToken)
	_, err := controlv1.NewTenantServiceClient(c.dial(leader, "ie1", mtls.DataPlane)).ListTenants(ctx, &controlv1.ListTenantsRequest{})
	if r := api.AsError(api.FromGRPC(err)).Reason; r != policy.PermissionDenied {
		t.Errorf("a data plane listed tenants: %v", err)
	}
	_, err = controlv1.NewTenantServiceClient(c.dial(leader, mtls.ControlRegion, mtls.Gateway)).ListTenants(context.Background(), &controlv1.ListTenantsRequest{})
	if r := api.AsError(api.FromGRPC(err)).Reason; r != policy.Unauthenticated {
		t.Errorf("a gateway without a token: %v", err)
	}
}

func TestANackOpensAViolationAndResyncs(t *testing.T) {
	c := newCluster(t, 1)
	n := c.subscribe(0, "ie1", 0, "")
	first := n.next()
	n.say(&controlv1.NodeMessage{Message: &controlv1.NodeMessage_Nack{Nack: &controlv1.Nack{LastGood: 1, Nonce: first.GetNonce(), Reason: "STATE_HASH"}}})
	for n.next().GetPart() == nil {
	}
	c.violation(0, "STATE_HASH", "resolved") // by what the node took afterwards
}
