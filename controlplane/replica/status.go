package replica

import (
	"strconv"

	"github.com/hashicorp/raft"
)

// Status of a replica, as it sees itself.
type Status struct {
	Name   string
	Leader string // "" while none is known
	State  string // Follower, Candidate, Leader, Shutdown

	Term         uint64
	Applied      uint64 // index up to which the store holds every command
	Commit       uint64
	LastLog      uint64
	LastSnapshot uint64

	Voters []Voter
}

// Status of this replica as it sees itself.
func (r *Replica) Status() Status {
	leader, _ := r.Leader()
	s := Status{Name: r.o.Name, Leader: leader, State: r.raft.State().String(), Term: r.raft.CurrentTerm(),
		Applied: r.applied.Load(), Commit: r.raft.CommitIndex(), LastLog: r.raft.LastIndex()}
	if at, err := strconv.ParseUint(r.raft.Stats()["last_snapshot_index"], 10, 64); err == nil {
		s.LastSnapshot = at
	}
	f := r.raft.GetConfiguration()
	if f.Error() == nil {
		for _, x := range f.Configuration().Servers {
			if x.Suffrage == raft.Voter {
				s.Voters = append(s.Voters, Voter{Name: string(x.ID), Address: string(x.Address)})
			}
		}
	}
	return s
}
