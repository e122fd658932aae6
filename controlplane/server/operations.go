package server

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

type operationsService struct {
	controlv1.UnimplementedOperationsServiceServer
	*core
	peers *peers
}

// What is said of a voter's being reached.
const (
	isSelf     = "self"
	isReached  = "yes"
	isNotReach = "no"
)

// GetClusterStatus implements controlv1.OperationsServiceServer. The voter that
// is asked answers for itself, so that it works while nobody leads.
func (s operationsService) GetClusterStatus(ctx context.Context, _ *controlv1.GetClusterStatusRequest) (*controlv1.ClusterStatus, error) {
	st := s.replica.Status()
	out := &controlv1.ClusterStatus{ClusterId: s.cluster, Leader: st.Leader, Revision: s.store.Revision(), AppliedIndex: st.Applied, Term: st.Term, AnsweredBy: s.name}
	for _, v := range st.Members {
		if v.Votes {
			out.Voters = append(out.Voters, &controlv1.Voter{Id: v.Name, RaftAddress: v.Address, Leader: v.Name == st.Leader})
		}
	}
	if out.GetLeader() == "" {
		s.reach(ctx, out.GetVoters())
	}
	return out, nil
}

// reach finds out which voters answer us, all at once and for a second at most:
// with their certificate, at the port at which they take calls.
func (s operationsService) reach(ctx context.Context, voters []*controlv1.Voter) {
	var all sync.WaitGroup
	for _, v := range voters {
		if v.GetId() == s.name {
			v.Reached = isSelf
			continue
		}
		all.Go(func() {
			v.Reached = isNotReach
			if conn, err := s.peers.to(v.GetId()); err == nil && answers(ctx, conn) {
				v.Reached = isReached
			}
		})
	}
	all.Wait()
}

// answers reports whether a call comes back, whatever its answer: a connection may
// look well for seconds after the other side has stopped.
func answers(ctx context.Context, conn *grpc.ClientConn) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if !connected(ctx, conn) {
		return false
	}
	_, err := controlv1.NewLoginServiceClient(conn).GetLogin(ctx, &controlv1.GetLoginRequest{})
	code := status.Code(err)
	return code != codes.Unavailable && code != codes.DeadlineExceeded && code != codes.Canceled
}
