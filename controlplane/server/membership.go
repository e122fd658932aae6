package server

import (
	"context"
	"time"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/members"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// membershipService is what members say to the leader. Who speaks is the
// connection's certificate: what a request says of itself is bound to it.
type membershipService struct {
	controlv1.UnimplementedMembershipServiceServer
	*core
}

// Join implements controlv1.MembershipServiceServer.
func (s membershipService) Join(ctx context.Context, req *controlv1.JoinRequest) (*controlv1.JoinResponse, error) {
	if !s.replica.IsLeader() {
		_, address := s.leaderSeen()
		if address == "" {
			return nil, s.noLeader("")
		}
		return &controlv1.JoinResponse{LeaderAddress: address}, nil
	}
	who := callOf(ctx).node
	err := s.propose(ctx, who.Node, store.Join{TokenSHA256: tokenHash(req.GetToken()), Name: store.MemberName(req.GetName()), Node: who.Node,
		RaftAddress: req.GetRaftAddress(), GRPCAddress: req.GetGrpcAddress(), Version: int(req.GetVersion())})
	if err != nil {
		return nil, err
	}
	s.steward.Poke()
	return &controlv1.JoinResponse{Joined: true}, nil
}

// Announce implements controlv1.MembershipServiceServer.
func (s membershipService) Announce(ctx context.Context, req *controlv1.AnnounceRequest) (*controlv1.AnnounceResponse, error) {
	if !s.replica.IsLeader() {
		leader, address := s.leaderSeen()
		return &controlv1.AnnounceResponse{State: controlv1.AnnounceResponse_STATE_NOT_LEADER, Leader: leader, LeaderAddress: address}, nil
	}
	if err := s.Ready(); err != nil {
		return nil, policy.Errorf(policy.NotReady, "the cluster is being initialised: announce again")
	}
	who := callOf(ctx).node
	m, known := s.store.Members().Find(store.MemberName(req.GetName()))
	server, in := s.replica.Configuration().Has(req.GetName())
	switch {
	case !known && !in, known && m.RemovedAt != nil:
		return s.dismiss(ctx, req, who.Node)
	case known && m.Node != who.Node:
		return nil, policy.Errorf(policy.PermissionDenied, "member %s has another certificate: issue its certificate again with node id %s, or remove the member and invite it anew", m.Name, m.Node)
	case !known:
		m = store.Member{Name: store.MemberName(req.GetName()), Node: who.Node, Wants: store.NonVoter}
		if server.Votes {
			m.Wants, m.Votes = store.Voter, true
		}
	}
	next := m.Put()
	next.RaftAddress, next.GRPCAddress, next.Version = req.GetRaftAddress(), req.GetGrpcAddress(), int(req.GetVersion())
	if req.GetRegion() != "" {
		next.Region = policy.RegionID(req.GetRegion())
	}
	if !known || next != m.Put() {
		if err := s.propose(ctx, who.Node, next); err != nil {
			return nil, err
		}
		s.steward.Poke()
	}
	s.roll.Hear(req.GetName(), factsOf(req), s.replica.Applied(), time.Now())
	return &controlv1.AnnounceResponse{State: controlv1.AnnounceResponse_STATE_MEMBER}, nil
}

// dismiss tells one that does not belong here so; as a deposed leader may not
// know of a newcomer, it must be known that we lead.
func (s membershipService) dismiss(ctx context.Context, req *controlv1.AnnounceRequest, node policy.NodeID) (*controlv1.AnnounceResponse, error) {
	if err := s.replica.VerifyLeader(ctx); err != nil {
		return nil, err
	}
	m, known := s.store.Members().Find(store.MemberName(req.GetName()))
	_, in := s.replica.Configuration().Has(req.GetName())
	out := &controlv1.AnnounceResponse{State: controlv1.AnnounceResponse_STATE_UNKNOWN}
	switch {
	case known && m.RemovedAt == nil, !known && in:
		return nil, policy.Errorf(policy.NotReady, "the membership has changed meanwhile: announce again")
	case known && (m.Node == node || m.Node == ""):
		out.State = controlv1.AnnounceResponse_STATE_REMOVED
	}
	return out, nil
}

// leaderSeen names the leader and where it says that it is; "" when unknown.
func (c *core) leaderSeen() (name, address string) {
	name, ok := c.replica.Leader()
	if !ok || name == c.name {
		return "", ""
	}
	a, _ := c.directory.Announced(name)
	return name, a.GRPC
}

// propose commits what a member says; a refusal is an error.
func (c *core) propose(ctx context.Context, actor policy.NodeID, p store.Payload) error {
	res, err := c.replica.Propose(ctx, store.Command{Stamp: store.Stamp{Now: time.Now().UTC(), Actor: string(actor)}, Payload: p})
	if err == nil && res.Err != nil {
		return res.Err
	}
	return err
}

func factsOf(req *controlv1.AnnounceRequest) members.Facts {
	return members.Facts{Version: int(req.GetVersion()), Release: req.GetRelease(), Applied: req.GetAppliedIndex(), Revision: req.GetRevision(),
		ContactAge: time.Duration(min(req.GetContactAge(), 1<<40)) * time.Millisecond, DiskFree: req.GetDiskFree(), DiskSize: req.GetDiskSize(),
		CertificateExpires: time.Unix(req.GetCertificateExpires(), 0), Trouble: req.GetTrouble()}
}
