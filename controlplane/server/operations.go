package server

import (
	"context"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

type operationsService struct {
	controlv1.UnimplementedOperationsServiceServer
	*core
}

// GetClusterStatus implements controlv1.OperationsServiceServer. The voter that
// is asked answers for itself, so that it works while nobody leads.
func (s operationsService) GetClusterStatus(context.Context, *controlv1.GetClusterStatusRequest) (*controlv1.ClusterStatus, error) {
	st := s.replica.Status()
	out := &controlv1.ClusterStatus{ClusterId: s.cluster, Leader: st.Leader, Revision: s.store.Revision(), AppliedIndex: st.Applied, Term: st.Term, AnsweredBy: s.name}
	for _, v := range st.Members {
		if v.Votes {
			out.Voters = append(out.Voters, &controlv1.Voter{Id: v.Name, RaftAddress: v.Address, Leader: v.Name == st.Leader})
		}
	}
	return out, nil
}
