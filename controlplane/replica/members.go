package replica

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/domicile-io/domicile/policy"
)

// Server is a member of Raft's configuration.
type Server struct {
	Name    string
	Address string // of its Raft listener, as the configuration has it
	Votes   bool
}

// Configuration is Raft's latest configuration, committed or not.
type Configuration struct {
	Index   uint64 // of its entry; a change names it, so that no change is made to what has changed
	Servers []Server
}

// Configuration is what Raft takes for its members now.
func (r *Replica) Configuration() Configuration {
	f := r.raft.GetConfiguration()
	if f.Error() != nil {
		return Configuration{}
	}
	c := Configuration{Index: f.Index()}
	for _, x := range f.Configuration().Servers {
		c.Servers = append(c.Servers, Server{Name: string(x.ID), Address: string(x.Address), Votes: x.Suffrage == raft.Voter})
	}
	return c
}

// Has reports whether a member of that name is in the configuration, and which.
func (c Configuration) Has(name string) (Server, bool) {
	for _, s := range c.Servers {
		if s.Name == name {
			return s, true
		}
	}
	return Server{}, false
}

// Voters counts the servers that vote.
func (c Configuration) Voters() (n int) {
	for _, s := range c.Servers {
		if s.Votes {
			n++
		}
	}
	return n
}

// SetServer adds a server, or gives it another address or suffrage. Raft makes
// one change at a time. Errors: UNAVAILABLE (not leader, or the configuration is
// not that of index any more: look again), OUTCOME_UNKNOWN.
func (r *Replica) SetServer(ctx context.Context, s Server, index uint64) error {
	id, address := raft.ServerID(s.Name), raft.ServerAddress(s.Address)
	if s.Votes {
		return r.reconfigure(ctx, r.raft.AddVoter(id, address, index, enqueueTimeout))
	}
	if have, ok := r.Configuration().Has(s.Name); ok && have.Votes {
		return r.reconfigure(ctx, r.raft.DemoteVoter(id, index, enqueueTimeout))
	}
	return r.reconfigure(ctx, r.raft.AddNonvoter(id, address, index, enqueueTimeout))
}

// RemoveServer takes a server out of the configuration. Errors as with SetServer.
func (r *Replica) RemoveServer(ctx context.Context, name string, index uint64) error {
	return r.reconfigure(ctx, r.raft.RemoveServer(raft.ServerID(name), index, enqueueTimeout))
}

func (r *Replica) reconfigure(ctx context.Context, f raft.IndexFuture) error {
	ctx, cancel := context.WithTimeout(ctx, r.o.ProposeTimeout)
	defer cancel()
	err := await(ctx, f)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return r.notLeader(err)
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrRaftShutdown), ctx.Err() != nil:
		return unknown(err)
	}
	return &policy.Error{Reason: policy.NotReady, Message: "the membership is being changed by somebody else: look again and repeat", Cause: err}
}

// TransferTo hands leadership to a voter. UNAVAILABLE when we do not lead, or it
// did not take over.
func (r *Replica) TransferTo(ctx context.Context, name string) error {
	if r.raft.State() != raft.Leader {
		return r.notLeader(nil)
	}
	s, ok := r.Configuration().Has(name)
	if !ok || !s.Votes {
		return policy.Errorf(policy.NotFound, "no such voter: `domicile members list` shows who votes")
	}
	if name == r.o.Name {
		return nil
	}
	if err := await(ctx, r.raft.LeadershipTransferToServer(raft.ServerID(name), raft.ServerAddress(s.Address))); err != nil {
		return &policy.Error{Reason: policy.NotReady, Message: fmt.Sprintf("%s did not take over leadership: it may be behind or unreachable; look at `domicile members list`", name), Cause: err}
	}
	return nil
}

// Silent reports whether our heartbeats to a member fail. On the leader only;
// false when nothing is known.
func (r *Replica) Silent(name string) bool {
	r.silentMu.Lock()
	defer r.silentMu.Unlock()
	return r.silent[name]
}

// observe notes what Raft reports of its heartbeats.
func (r *Replica) observe(o raft.Observation) {
	r.silentMu.Lock()
	defer r.silentMu.Unlock()
	switch data := o.Data.(type) {
	case raft.FailedHeartbeatObservation:
		r.silent[string(data.PeerID)] = true
	case raft.ResumedHeartbeatObservation:
		delete(r.silent, string(data.PeerID))
	case raft.LeaderObservation: // what a former term has seen says nothing of this one
		clear(r.silent)
	}
}

// Readdress gives a server another address. A voter keeps its vote.
func (r *Replica) Readdress(ctx context.Context, s Server, index uint64) error {
	id, address := raft.ServerID(s.Name), raft.ServerAddress(s.Address)
	if s.Votes {
		return r.reconfigure(ctx, r.raft.AddVoter(id, address, index, enqueueTimeout))
	}
	return r.reconfigure(ctx, r.raft.AddNonvoter(id, address, index, enqueueTimeout))
}

// Term is Raft's current term.
func (r *Replica) Term() uint64 { return r.raft.CurrentTerm() }

// Applied is the index of the last command that our state holds. On the leader it
// is what the others should have come to; Raft's commit index is not, as it counts
// the barriers of reads, which no state holds.
func (r *Replica) Applied() uint64 { return r.applied.Load() }
