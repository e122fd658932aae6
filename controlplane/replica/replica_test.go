package replica

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

func mkdir(dir string) error { return os.MkdirAll(dir, 0o700) }

func TestSingleVoter(t *testing.T) {
	c := startCluster(t, 1, nil)
	c.tenant(1)
	c.kill("cp1")
	c.start("cp1", nil)
	c.tenant(2)
	if _, err := c.leader().store.Tenant(tenantID(1)); err != nil {
		t.Fatal(err)
	}
}

func TestINV32_LeaderLossAndRestartLeaveEqualState(t *testing.T) {
	c := startCluster(t, 3, nil)
	for n := 1; n <= 5; n++ {
		c.tenant(n)
	}
	c.equal()
	lost := c.leader().o.Name
	c.kill(lost)
	for n := 6; n <= 10; n++ {
		c.tenant(n)
	}
	c.start(lost, nil)
	c.tenant(11)
	c.equal()
	for name, n := range c.nodes {
		for i := 1; i <= 11; i++ {
			if _, err := n.store.Tenant(tenantID(i)); err != nil {
				t.Errorf("%s: tenant %d: %v", name, i, err)
			}
		}
	}
}

// A follower that was away for longer than the log reaches back gets a snapshot.
func TestLaggingFollowerInstallsASnapshot(t *testing.T) {
	c := startCluster(t, 3, func(o *Options) {
		o.SnapshotThreshold, o.TrailingLogs, o.SnapshotInterval = 64, 16, 20*time.Millisecond
	})
	leader := c.leader().o.Name
	lagging := "cp1"
	if leader == lagging {
		lagging = "cp2"
	}
	c.tenant(1)
	c.equal()
	c.kill(lagging)
	for n := 2; n <= 200; n++ {
		c.tenant(n)
	}
	eventually(t, "a snapshot on the leader", func() bool { return c.leader().Status().LastSnapshot > 100 })
	back := c.start(lagging, nil)
	c.tenant(201)
	c.equal()
	if at := back.Status().LastSnapshot; at < 100 { // the witness: the log alone did not bring it up to date
		t.Errorf("the follower's last snapshot is at %d", at)
	}
	c.kill(lagging)
	c.start(lagging, nil)
	c.tenant(202)
	c.equal()
}

func TestINV31_RetryAfterLeaderLossHasOneEffect(t *testing.T) {
	c := startCluster(t, 3, nil)
	stamp := store.Stamp{Now: time.Now(), Actor: actor, IdempotencyKey: "00000000-0000-4000-8000-0000000000ff", RequestHash: hash("r")}
	first, err := c.propose(stamp, tenantPayload(1))
	check(t, err)
	c.kill(c.leader().o.Name)
	again, err := c.propose(stamp, tenantPayload(2))
	check(t, err)
	if !again.Replayed || again.Revision != first.Revision || string(again.Body) != string(first.Body) {
		t.Errorf("first %+v, again %+v", first, again)
	}
}

func TestFollowerRefusesAndNamesTheLeader(t *testing.T) {
	c := startCluster(t, 3, nil)
	leader := c.leader().o.Name
	for name, n := range c.nodes {
		if name == leader {
			continue
		}
		eventually(t, "a known leader", func() bool { got, ok := n.Leader(); return ok && got == leader })
		_, err := n.Propose(t.Context(), store.Command{Stamp: store.Stamp{Now: time.Now(), Actor: actor}, Payload: store.Nop{}})
		var e *policy.Error
		if !errors.As(err, &e) || e.Reason != policy.NotReady || e.Metadata["leader"] != leader {
			t.Errorf("%s: propose: %v", name, err)
		}
		if err := n.VerifyLeader(t.Context()); !errors.As(err, &e) || e.Metadata["leader"] != leader {
			t.Errorf("%s: verify: %v", name, err)
		}
	}
}

// A leader that lost its quorum must not answer as one.
func TestINV30_LeaderWithoutQuorumServesNoLinearizableRead(t *testing.T) {
	c := startCluster(t, 3, nil)
	leader := c.leader()
	check(t, leader.VerifyLeader(t.Context()))
	for name := range c.nodes {
		if name != leader.o.Name {
			c.kill(name)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := leader.VerifyLeader(ctx); !errors.Is(err, &policy.Error{Reason: policy.NotReady}) {
		t.Errorf("verify: %v", err)
	}
	_, err := leader.Propose(ctx, store.Command{Stamp: store.Stamp{Now: time.Now(), Actor: actor}, Payload: tenantPayload(1)})
	if !errors.Is(err, &policy.Error{Reason: policy.NotReady}) && !errors.Is(err, &policy.Error{Reason: policy.OutcomeUnknown}) {
		t.Errorf("propose: %v", err)
	}
}

func TestWaitRevision(t *testing.T) {
	c := startCluster(t, 3, nil)
	r := c.tenant(1)
	for name, n := range c.nodes {
		check(t, n.WaitRevision(t.Context(), r.Revision))
		if _, err := n.store.Tenant(tenantID(1)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.leader().WaitRevision(soon, r.Revision+1); !errors.Is(err, &policy.Error{Reason: policy.PolicyStale}) {
		t.Errorf("a revision of the future: %v", err)
	}
}

func TestShutdownHandsOver(t *testing.T) {
	c := startCluster(t, 3, nil)
	leader := c.leader()
	check(t, leader.Shutdown(t.Context()))
	check(t, leader.store.Close())
	delete(c.nodes, leader.o.Name)
	c.tenant(1)
}

// Only a control-plane certificate of our cluster and our authority reaches Raft.
func TestINV06_RaftPortRefusesOthers(t *testing.T) {
	c := startCluster(t, 1, nil)
	stranger, err := mtls.OpenAuthority(filepath.Join(t.TempDir(), "ca"))
	check(t, err)
	node := mtls.Identity{Cluster: clusterID, Region: mtls.ControlRegion, Role: mtls.ControlPlane, Node: "ND000000000000000000000000000000aa"}
	region := mtls.Identity{Cluster: clusterID, Region: "ie1", Role: mtls.DataPlane, Node: node.Node}
	other := node
	other.Cluster = "CL00000000000000000000000000000002"
	gateway := node
	gateway.Role = mtls.Gateway
	for _, x := range []struct {
		name string
		m    *mtls.Material
		ok   bool
	}{
		{"a voter", issue(t, c.ca, node), true}, // the control: the others fail for what they are
		{"a data plane", issue(t, c.ca, region), false},
		{"a gateway", issue(t, c.ca, gateway), false},
		{"another cluster", issue(t, c.ca, other), false},
		{"another authority", issue(t, stranger, node), false},
		{"no certificate", nil, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			if err := ask(t, c.voters[0].Address, x.m); (err == nil) != x.ok {
				t.Errorf("got %v, want accepted = %v", err, x.ok)
			}
		})
	}
	if err := dialAs(t, c, region); err == nil {
		t.Error("a voter dialled a data-plane node as its peer")
	}
}

// ask shows a certificate and waits for what the voter makes of it. TLS 1.3
// tells a client of its refusal only when it reads.
func ask(t *testing.T, address string, m *mtls.Material) error {
	conf := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}
	if m != nil {
		conf.Certificates = []tls.Certificate{m.Certificate()}
	}
	conn, err := tls.Dial("tcp", address, conf)
	if err != nil {
		return err
	}
	defer conn.Close()
	check(t, conn.SetReadDeadline(time.Now().Add(300*time.Millisecond)))
	_, err = conn.Read(make([]byte, 1))
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return nil // let in: the voter waits for our first request
	}
	return err
}

// dialAs lets a voter dial a server that shows another identity.
func dialAs(t *testing.T, c *cluster, who mtls.Identity) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	server := tls.NewListener(l, issue(t, c.ca, who).Server(mtls.Peer{Roles: []mtls.Role{mtls.ControlPlane}}))
	defer server.Close()
	go func() {
		if conn, err := server.Accept(); err == nil {
			_ = conn.(*tls.Conn).Handshake()
		}
	}()
	s, err := newStreamLayer(&Options{TLS: c.material(clusterID, mtls.ControlPlane, 77), Listener: l})
	check(t, err)
	conn, err := s.Dial(raft.ServerAddress(l.Addr().String()), 2*time.Second)
	if err == nil {
		_ = conn.Close()
	}
	return err
}

func TestForeignRaftLogIsRefused(t *testing.T) {
	c := startCluster(t, 1, nil)
	c.tenant(1)
	c.kill("cp1")
	check(t, os.RemoveAll(filepath.Join(c.dir, "cp1", "raft")))
	s, err := store.Open(store.Options{Path: filepath.Join(c.dir, "cp1", "state.db")})
	check(t, err)
	defer s.Close()
	if r, err := Open(Options{Name: "cp1", Dir: filepath.Join(c.dir, "cp1", "raft"), Voters: c.voters, Store: s, Bootstrap: true,
		TLS: c.material(clusterID, mtls.ControlPlane, 9)}); err == nil {
		_ = r.Shutdown(t.Context())
		t.Error("a state without its log was accepted")
	}
}

// Lost state is rebuilt from snapshot and log.
func TestLostStateIsRebuilt(t *testing.T) {
	c := startCluster(t, 3, func(o *Options) {
		o.SnapshotThreshold, o.TrailingLogs, o.SnapshotInterval = 64, 16, 20*time.Millisecond
	})
	for n := 1; n <= 120; n++ {
		c.tenant(n)
	}
	lost := c.leader().o.Name
	eventually(t, "a snapshot", func() bool { return c.nodes[lost].Status().LastSnapshot > 0 })
	c.kill(lost)
	check(t, os.Remove(filepath.Join(c.dir, lost, "state.db")))
	c.start(lost, nil)
	c.tenant(121)
	c.equal()
}

func BenchmarkCreateTenant64Clients(b *testing.B) {
	c := startCluster(b, 3, func(o *Options) { o.Heartbeat = time.Second })
	leader := c.leader()
	var next sync.Mutex
	n := 0
	b.SetParallelism(32) // times GOMAXPROCS
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			next.Lock()
			n++
			p := tenantPayload(n)
			next.Unlock()
			s := store.Stamp{Now: time.Now(), Actor: actor}
			if r, err := leader.Propose(context.Background(), store.Command{Stamp: s, Payload: p}); err != nil || r.Err != nil {
				b.Errorf("%v %v", r.Err, err)
				return
			}
		}
	})
}

// What a crash in the middle of a snapshot leaves is removed at the next start.
func TestUnfinishedSnapshotsAreRemoved(t *testing.T) {
	c := startCluster(t, 1, nil)
	c.tenant(1)
	c.kill("cp1")
	left := filepath.Join(c.dir, "cp1", "raft", "snapshots", "2-7-1700000000000.tmp")
	check(t, os.MkdirAll(left, 0o700))
	check(t, os.WriteFile(filepath.Join(left, "state.bin"), []byte("half"), 0o600))
	c.start("cp1", nil)
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("an unfinished snapshot was left: %v", err)
	}
	c.tenant(2)
}

// A power cut may tear every voter's state at once; the logs and snapshots alone
// bring everything back that was acknowledged.
func TestINV32_APowerCutOfAllVotersLosesNothing(t *testing.T) {
	for _, snapshots := range []string{"without a snapshot", "with snapshots"} {
		t.Run(snapshots, func(t *testing.T) {
			c := startCluster(t, 3, func(o *Options) {
				if snapshots == "with snapshots" {
					o.SnapshotThreshold, o.TrailingLogs, o.SnapshotInterval = 16, 8, 20*time.Millisecond
				}
			})
			for n := 1; n <= 60; n++ {
				c.tenant(n)
			}
			for name := range c.nodes {
				eventually(t, "a snapshot", func() bool { return snapshots != "with snapshots" || c.nodes[name].Status().LastSnapshot > 20 })
			}
			for _, v := range c.voters {
				c.kill(v.Name)
				state := filepath.Join(c.dir, v.Name, "state.db")
				check(t, os.WriteFile(state+".open", []byte("another boot"), 0o600))
				check(t, os.Truncate(state, 20_000))
			}
			for _, v := range c.voters {
				c.start(v.Name, nil)
			}
			c.tenant(61)
			c.equal()
			for n := 1; n <= 61; n++ {
				if _, err := c.leader().store.Tenant(tenantID(n)); err != nil {
					t.Errorf("tenant %d: %v", n, err)
				}
			}
		})
	}
}
