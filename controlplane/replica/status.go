package replica

import (
	"strconv"
	"time"
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

	LastContact time.Time // with the leader; zero: never; of no meaning on the leader itself
	Members     []Server
}

// Status of this replica as it sees itself.
func (r *Replica) Status() Status {
	leader, _ := r.Leader()
	s := Status{Name: r.o.Name, Leader: leader, State: r.raft.State().String(), Term: r.raft.CurrentTerm(),
		Applied: r.applied.Load(), Commit: r.raft.CommitIndex(), LastLog: r.raft.LastIndex()}
	if at, err := strconv.ParseUint(r.raft.Stats()["last_snapshot_index"], 10, 64); err == nil {
		s.LastSnapshot = at
	}
	s.LastContact, s.Members = r.raft.LastContact(), r.Configuration().Servers
	return s
}

// Writing is for how long the write of the Raft log that is under way has taken;
// 0 when none is.
func (r *Replica) Writing() time.Duration { return r.disk.watch.Longest() }
