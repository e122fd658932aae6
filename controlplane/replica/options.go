package replica

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"time"

	"github.com/hashicorp/raft"

	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/mtls"
)

// Voter is one voter of a new cluster.
type Voter struct {
	Name    string
	Address string // of its Raft listener, host:port
}

// Options of a replica.
type Options struct {
	Name        string         // ours; Raft knows members by it
	Dir         string         // Raft log and snapshots; made when missing
	RaftAddress string         // host:port that we listen on; "" is Advertise
	Advertise   string         // host:port under which others reach our Raft listener; "" is our address in Voters
	Voters      []Voter        // of a new cluster, ourselves included; with Bootstrap only
	TLS         *mtls.Material // role cp; peers must be cp of the same cluster
	Store       *store.Store   // owned by the caller, who closes it after Shutdown
	Bootstrap   bool           // start a new cluster of Voters: on every voter alike, and harmless when one exists
	Listener    net.Listener   // already bound at RaftAddress, taken over by Open; nil: Open binds
	Logger      *slog.Logger   // nil: slog.Default()
	Fatal       func(error)    // called once when the node must stop; nil: panic

	// Address finds where a member's Raft listener is reached; false leaves it to
	// the address in Raft's own configuration. nil: that of Voters.
	Address func(name string) (string, bool)
	// Admit refuses holders of certificates that are good but not welcome, such as
	// removed members. nil admits every voter's certificate.
	Admit func(mtls.Identity) error

	since   func(store.Kind) int          // nil: store.Since; tests have kinds of tomorrow
	syncing func(sync func() error) error // nil: sync is called; tests hold up a leader's disk

	Heartbeat         time.Duration // election and heartbeat timeout; 0: 1 s
	SnapshotThreshold uint64        // entries between snapshots; more while the state is large: snapshots.go; 0: 32,768
	SnapshotBytes     uint64        // of log between snapshots, if they come first; 0: 64 MiB
	SnapshotInterval  time.Duration // how often it is looked whether one is due, up to twice as long; 0: 10 s
	TrailingLogs      uint64        // entries kept for everybody, a snapshot or not; 0: 10,240. More for whom hold.go says
	ProposeTimeout    time.Duration // of a proposal without a nearer deadline; 0: 10 s
	DiskTimeout       time.Duration // a log write that hangs longer is fatal, so that others can lead; 0: 10 s
}

// Defaults of Options.
const (
	defaultHeartbeat = time.Second
	defaultTimeout   = 10 * time.Second
	commitTimeout    = 20 * time.Millisecond // how late an idle follower learns of a commit
	keepSnapshots    = 2

	defaultSnapshotEntries = 32_768
	defaultSnapshotBytes   = 64 << 20
	logCache               = 512 // entries kept in memory for followers that are a little behind
)

// complete checks the options and fills in defaults.
func (o *Options) complete() error {
	if o.Store == nil || o.TLS == nil || o.Dir == "" {
		return errors.New("replica needs a store, TLS material and a folder")
	}
	if o.TLS.Identity.Role != mtls.ControlPlane {
		return fmt.Errorf("replica's certificate has role %q, want %q", o.TLS.Identity.Role, mtls.ControlPlane)
	}
	own, ok := o.voter(o.Name)
	if o.Bootstrap && !ok {
		return fmt.Errorf("voter %q is not among the voters: name and voters must agree", o.Name)
	}
	o.Advertise = or(o.Advertise, own.Address)
	o.RaftAddress = or(o.RaftAddress, o.Advertise)
	if o.Advertise == "" {
		return errors.New("replica needs the address under which others reach it")
	}
	if o.Address == nil {
		o.Address = func(name string) (string, bool) { v, ok := o.voter(name); return v.Address, ok }
	}
	if o.since == nil {
		o.since = store.Since
	}
	if o.Admit == nil {
		o.Admit = func(mtls.Identity) error { return nil }
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Fatal == nil {
		o.Fatal = func(err error) { panic(err) }
	}
	o.Heartbeat = or(o.Heartbeat, defaultHeartbeat)
	o.ProposeTimeout = or(o.ProposeTimeout, defaultTimeout)
	o.DiskTimeout = or(o.DiskTimeout, defaultTimeout)
	o.SnapshotThreshold = or(o.SnapshotThreshold, defaultSnapshotEntries)
	o.SnapshotBytes = or(o.SnapshotBytes, defaultSnapshotBytes)
	o.SnapshotInterval = or(o.SnapshotInterval, defaultTimeout)
	return nil
}

func (o *Options) voter(name string) (Voter, bool) {
	for _, v := range o.Voters {
		if v.Name == name {
			return v, true
		}
	}
	return Voter{}, false
}

// raftConfig translates the options.
func (o *Options) raftConfig() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(o.Name)
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = o.Heartbeat, o.Heartbeat, o.Heartbeat/2
	c.CommitTimeout = min(commitTimeout, o.Heartbeat/10)
	c.SnapshotThreshold = math.MaxUint64 // snapshots.go takes them
	c.TrailingLogs = or(o.TrailingLogs, c.TrailingLogs)
	c.BatchApplyCh = true
	c.NoLegacyTelemetry = true
	c.ShutdownOnRemove = false // whoever runs us decides what a removed member does
	c.Logger = raftLogger(o.Logger)
	return c
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
