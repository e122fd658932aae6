// Package replica is one voter: it keeps a store.Store equal to its peers' by
// hashicorp/raft over mutually authenticated TLS.
package replica

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/mtls"
)

// Voter is one member of the cluster.
type Voter struct {
	Name    string
	Address string // of its Raft listener, host:port
}

// Options of a replica.
type Options struct {
	Name        string         // our name among Voters
	Dir         string         // Raft log and snapshots; made when missing
	RaftAddress string         // host:port that we listen on; "" is our address in Voters
	Voters      []Voter        // the members of a new cluster, ourselves included
	TLS         *mtls.Material // role cp; peers must be cp of the same cluster
	Store       *store.Store   // owned by the caller, who closes it after Shutdown
	Bootstrap   bool           // start a new cluster of Voters; harmless when one exists
	Logger      *slog.Logger   // nil: slog.Default()
	Fatal       func(error)    // called once when the node must stop; nil: panic

	Heartbeat         time.Duration // election and heartbeat timeout; 0: 1 s
	SnapshotThreshold uint64        // entries between snapshots; 0: 8192
	SnapshotInterval  time.Duration // how often the threshold is looked at; 0: 2 min
	TrailingLogs      uint64        // entries kept behind a snapshot; 0: 10,240
	ApplyTimeout      time.Duration // of a proposal without a deadline; 0: 10 s
}

// Replica is one running voter. Methods are safe for concurrent use.
type Replica struct{}

var errStub = errors.New("not built yet")

// Open starts a voter. It returns before there is a leader.
func Open(o Options) (*Replica, error) { return nil, errStub }

// Propose commits and applies a command. A refusal of the domain is
// Result.Err, and not the error. Errors: UNAVAILABLE (not leader: definitely not
// done; metadata "leader" names the leader when one is known), OUTCOME_UNKNOWN
// (leadership lost or time over after it was enqueued: retry with the same
// idempotency key).
func (r *Replica) Propose(ctx context.Context, c store.Command) (store.Result, error) {
	return store.Result{}, errStub
}

// Leader names the leader; ok is false while none is known.
func (r *Replica) Leader() (name string, ok bool) { return "", false }

// IsLeader reports whether we believe to lead and have applied everything that
// was committed before our term (Ready).
func (r *Replica) IsLeader() bool { return false }

// LeaderChanged is closed when the leader, or our readiness to lead, next
// changes; ask again for the following change.
func (r *Replica) LeaderChanged() <-chan struct{} { return nil }

// Ready reports whether this node knows a leader and, as leader, has passed its barrier.
func (r *Replica) Ready() bool { return false }

// VerifyLeader makes reads of the local store after it linearizable. On the
// leader only; else UNAVAILABLE with metadata "leader".
func (r *Replica) VerifyLeader(ctx context.Context) error { return errStub }

// WaitRevision returns once the local store is at rev or later. POLICY_STALE
// when ctx ends first.
func (r *Replica) WaitRevision(ctx context.Context, rev uint64) error { return errStub }

// Changed is closed when the store's revision next grows; read the store, then
// ask again. It carries no payload.
func (r *Replica) Changed() <-chan struct{} { return nil }

// TransferLeadership hands leadership to another voter. Nothing to do when we do not lead.
func (r *Replica) TransferLeadership(ctx context.Context) error { return errStub }

// Status of a replica.
type Status struct {
	Name, Leader          string
	Term, Applied, Commit uint64
	LastLog, LastSnapshot uint64
	State                 string // Follower, Candidate, Leader, Shutdown
	Voters                []Voter
}

// Status of this replica as it sees itself.
func (r *Replica) Status() Status { return Status{} }

// Shutdown stops the voter; a leader hands over first, as long as ctx allows.
func (r *Replica) Shutdown(ctx context.Context) error { return errStub }
