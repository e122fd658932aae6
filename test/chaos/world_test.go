package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/internal/chaos"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/internal/testcluster"
)

const (
	raftService chaos.Service = "raft"
	grpcService chaos.Service = "grpc"

	// Small, so that a voter that was away for some seconds needs a snapshot. For one
	// that answers the log is held for as long as it takes (docs/adr/0031).
	snapshotEvery = 300
	trailingLogs  = 800

	heartbeat  = 300 * time.Millisecond
	volumeSize = 768 << 20 // a state, its snapshots, and one that is being received
)

// world is the control plane under test: processes, the network between them,
// and the clients' own connections, which no fault touches.
type world struct {
	t *testing.T
	*testcluster.Cluster
	mesh   *chaos.Mesh
	voters []string
	data   map[string]string // voter → its data folder
	config map[string]controlplane.Config
	volume *chaos.Volume // under cp3; nil where none can be made
	conns  map[string]*grpc.ClientConn
	dir    string
}

// openWorld starts three voters whose every connection to each other goes through
// the mesh.
func openWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	dir := *keepFlag
	if dir == "" {
		dir = t.TempDir()
	}
	check(t, os.MkdirAll(dir, 0o700))
	w := &world{t: t, dir: dir, data: map[string]string{}, config: map[string]controlplane.Config{}, conns: map[string]*grpc.ClientConn{}}
	if os.Geteuid() == 0 {
		v, err := chaos.NewVolume(filepath.Join(dir, "volume.img"), filepath.Join(dir, "volume"), volumeSize)
		if err != nil {
			t.Logf("no volume of its own for a voter, so no disk can be filled: %v", err)
		} else {
			w.volume = v
			t.Cleanup(func() { check(t, v.Close()) })
		}
	}
	c, err := testcluster.Open(t.Context(), testcluster.Options{Dir: dir, Bin: bin, Only: testcluster.ControlPlane,
		EditVoter: func(env *dev.Environment, c *controlplane.Config) error { return w.edit(env, c, seed) }})
	check(t, err)
	w.Cluster, w.voters = c, c.Env.Voters()
	t.Cleanup(func() {
		check(t, errors.Join(c.Close(), w.mesh.Close()))
	})
	check(t, w.dial())
	t.Cleanup(func() {
		for _, cc := range w.conns {
			_ = cc.Close()
		}
	})
	return w
}

// edit points a voter at its peers through the mesh.
func (w *world) edit(env *dev.Environment, c *controlplane.Config, seed uint64) error {
	if w.mesh == nil {
		mesh, err := chaos.NewMesh(env.Voters(), []chaos.Service{raftService, grpcService}, seed, func(member string, s chaos.Service) string {
			if s == raftService {
				return env.VoterConfig(member).RaftAddress
			}
			return env.VoterConfig(member).GRPCAddress
		})
		if err != nil {
			return err
		}
		w.mesh = mesh
	}
	c.Reach = map[string]controlplane.Addresses{}
	for _, v := range c.Voters {
		if v.Name == c.Name {
			continue
		}
		raft, err := w.mesh.Address(c.Name, v.Name, raftService)
		grpc, err2 := w.mesh.Address(c.Name, v.Name, grpcService)
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		c.Reach[v.Name] = controlplane.Addresses{RaftAddress: raft, GRPCAddress: grpc}
	}
	c.Raft = controlplane.Raft{Heartbeat: heartbeat, SnapshotThreshold: snapshotEvery, SnapshotInterval: 200 * time.Millisecond, TrailingLogs: trailingLogs}
	c.Autopilot = autopilot
	if c.Name == "cp3" && w.volume != nil {
		c.DataDir = filepath.Join(w.volume.Dir, "data")
	}
	w.data[c.Name], w.config[c.Name] = c.DataDir, *c
	return nil
}

// dial makes the clients' connections, which go past the mesh.
func (w *world) dial() error {
	own, err := mtls.Load(w.config["cp1"].GatewayTLS)
	if err != nil {
		return err
	}
	for _, v := range w.voters {
		cc, err := grpc.NewClient("passthrough:///"+w.config[v].GRPCAddress,
			grpc.WithTransportCredentials(credentials.NewTLS(own.Client(mtls.Peer{Roles: []mtls.Role{mtls.ControlPlane}}))),
			grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second,
				Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.3, Jitter: 0.2, MaxDelay: 300 * time.Millisecond}}),
			grpc.WithDisableRetry(), grpc.WithNoProxy())
		if err != nil {
			return fmt.Errorf("dial %s: %w", v, err)
		}
		w.conns[v] = cc
	}
	return nil
}

// authorized carries the operator's token and what else a request needs.
func (w *world) authorized(ctx context.Context, pairs ...string) context.Context {
	return metadata.NewOutgoingContext(ctx, metadata.Pairs(append(pairs, "authorization", "Bearer "+w.Env.Token())...))
}

// status is what a voter says of itself; nil when it does not answer.
func (w *world) status(ctx context.Context, voter string) *controlv1.ClusterStatus {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	st, err := controlv1.NewOperationsServiceClient(w.conns[voter]).GetClusterStatus(w.authorized(ctx), &controlv1.GetClusterStatusRequest{})
	if err != nil {
		return nil
	}
	return st
}

// leader names the voter that says of itself that it leads, in the highest term.
func (w *world) leader(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		leader, term := "", int64(-1)
		for _, v := range w.voters {
			if st := w.status(ctx, v); st != nil && st.GetLeader() == v && int64(st.GetTerm()) > term {
				leader, term = v, int64(st.GetTerm())
			}
		}
		if leader != "" {
			return leader, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("nobody leads: %w", context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// others are all voters but one.
func (w *world) others(than string) []string {
	var out []string
	for _, v := range w.voters {
		if v != than {
			out = append(out, v)
		}
	}
	return out
}
