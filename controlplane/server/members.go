package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/members"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// invitationLifetime of an invitation that asks for none.
const invitationLifetime = time.Hour

// settlePatience is how long an answer waits for Raft to follow the state. What
// takes longer is finished by the steward of whoever leads.
const settlePatience = 5 * time.Second

type memberService struct {
	controlv1.UnimplementedMemberServiceServer
	*core
}

// ListMembers implements controlv1.MemberServiceServer.
func (s memberService) ListMembers(_ context.Context, req *controlv1.ListMembersRequest) (*controlv1.ListMembersResponse, error) {
	v := s.steward.View()
	list, next, err := cut(s.memberList(v), (*controlv1.Member).GetName, req)
	return &controlv1.ListMembersResponse{Members: list, NextPageToken: next, Version: uint32(v.Members.Version()), Floor: uint32(v.Rules.Floor)}, err
}

// memberList shows rows, and servers that Raft has and nobody has heard of.
func (s memberService) memberList(v members.View) []*controlv1.Member {
	var out []*controlv1.Member
	for _, m := range v.Members.Present() {
		out = append(out, s.memberOf(v, m))
	}
	for _, x := range v.Config.Servers {
		if _, known := v.Members.Find(store.MemberName(x.Name)); !known {
			out = append(out, s.memberOf(v, store.Member{Name: store.MemberName(x.Name), RaftAddress: x.Address, Wants: store.Voter}))
		}
	}
	return out
}

func (s memberService) memberOf(v members.View, m store.Member) *controlv1.Member {
	name := string(m.Name)
	out := &controlv1.Member{Name: name, Node: string(m.Node), RaftAddress: m.RaftAddress, GrpcAddress: m.GRPCAddress, Region: string(m.Region),
		Boundary: s.boundaryOf(m.Region), Suffrage: "joining", Wants: string(m.Wants), Leader: name == v.Self, Version: uint32(m.Version), Health: string(v.Health(name)), Operation: m.Operation}
	out.JudgedInSeconds = uint32((v.JudgedIn(name) + time.Second - 1) / time.Second)
	if m.JoinedAt.Unix() > 0 {
		out.JoinedAt = timestamppb.New(m.JoinedAt)
	}
	if x, in := v.Config.Has(name); in {
		out.Suffrage = string(store.NonVoter)
		if x.Votes {
			out.Suffrage = string(store.Voter)
		}
	}
	h, ok := v.Heard[name]
	if !ok {
		return out
	}
	out.LastContact, out.Release, out.Revision, out.Trouble = timestamppb.New(h.At), h.Release, h.Revision, h.Trouble
	out.DiskFree, out.DiskSize = h.DiskFree, h.DiskSize
	if ours := s.replica.Applied(); ours > h.Applied {
		out.Behind = ours - h.Applied
	}
	if h.CertificateExpires.Unix() > 0 {
		out.CertificateExpiresAt = timestamppb.New(h.CertificateExpires)
	}
	return out
}

// boundaryOf a region; "" when that is not known.
func (c *core) boundaryOf(id policy.RegionID) string {
	if id == "" {
		return ""
	}
	if r, ok := c.store.Topology().Region(id); ok {
		return string(r.Boundary)
	}
	return ""
}

// InviteMember implements controlv1.MemberServiceServer. The token is "dj_" and
// 64 hex digits; only its SHA-256 is stored.
func (s memberService) InviteMember(ctx context.Context, req *controlv1.InviteMemberRequest) (*controlv1.Invitation, error) {
	var whole string
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		drawn, err := secret()
		if err != nil {
			return nil, err
		}
		whole = "dj_" + drawn
		operation, err := draw(policy.KindOperation)
		if err != nil {
			return nil, err
		}
		x := store.Invitation{SHA256: tokenHash(whole), Operation: operation, Name: store.MemberName(req.GetName()), Wants: store.Voter,
			Region: policy.RegionID(req.GetRegion()), ExpiresAt: time.Now().UTC().Add(invitationLifetime)}
		if req.GetSuffrage() != "" {
			x.Wants = store.Suffrage(req.GetSuffrage())
		}
		if n := req.GetLifetime(); n > 0 {
			x.ExpiresAt = time.Now().UTC().Add(time.Duration(n) * time.Second)
		}
		if _, in := s.replica.Configuration().Has(req.GetName()); in {
			return nil, policy.Errorf(policy.AlreadyExists, "a member of that name is present: choose another name, or remove that one first")
		}
		return store.Invite{ClusterID: s.cluster, Invitation: x}, nil
	})
	if err != nil {
		return nil, err
	}
	var x store.Invitation
	if err := res.Decode(&x); err != nil {
		return nil, err
	}
	out := &controlv1.Invitation{Name: string(x.Name), Suffrage: string(x.Wants), Region: string(x.Region), ExpiresAt: timestamppb.New(x.ExpiresAt), Operation: x.Operation}
	if !res.Replayed {
		out.Token = whole
	}
	return out, created(ctx)
}

func tokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// RemoveMember implements controlv1.MemberServiceServer.
func (s memberService) RemoveMember(ctx context.Context, req *controlv1.RemoveMemberRequest) (*controlv1.Member, error) {
	return s.change(ctx, req, req.GetMember(), func(v members.View, m store.Member) (store.Payload, error) {
		if err := v.MayRemove(req.GetMember()); err != nil {
			return nil, err
		}
		if err := s.standDown(ctx, v, req.GetMember()); err != nil {
			return nil, err
		}
		id, err := draw(policy.KindOperation)
		return store.RemoveMember{ClusterID: s.cluster, Name: m.Name, Node: m.Node, Operation: id}, err
	}, func() bool { _, in := s.replica.Configuration().Has(req.GetMember()); return !in })
}

// PromoteMember implements controlv1.MemberServiceServer.
func (s memberService) PromoteMember(ctx context.Context, req *controlv1.PromoteMemberRequest) (*controlv1.Member, error) {
	return s.change(ctx, req, req.GetMember(), func(_ members.View, m store.Member) (store.Payload, error) {
		if err := introduced(m); err != nil {
			return nil, err
		}
		p := m.Put()
		p.Wants = store.Voter
		if m.Wants == store.Voter { // it has its vote, or is about to
			return p, nil
		}
		var err error
		p.Operation, err = draw(policy.KindOperation)
		return p, err
	}, func() bool { return true })
}

// DemoteMember implements controlv1.MemberServiceServer.
func (s memberService) DemoteMember(ctx context.Context, req *controlv1.DemoteMemberRequest) (*controlv1.Member, error) {
	return s.change(ctx, req, req.GetMember(), func(v members.View, m store.Member) (store.Payload, error) {
		if err := v.MayRemove(req.GetMember()); err != nil {
			return nil, err
		}
		if err := introduced(m); err != nil {
			return nil, err
		}
		if err := s.standDown(ctx, v, req.GetMember()); err != nil {
			return nil, err
		}
		p := m.Put()
		p.Wants, p.Votes = store.NonVoter, false
		if m.Wants == store.NonVoter {
			return p, nil
		}
		var err error
		p.Operation, err = draw(policy.KindOperation)
		return p, err
	}, func() bool { x, _ := s.replica.Configuration().Has(req.GetMember()); return !x.Votes })
}

// introduced refuses a change of the row of a voter that has none: nothing is
// known of its address and certificate until it has announced itself once.
func introduced(m store.Member) error {
	if m.Node == "" {
		return policy.Errorf(policy.NotReady, "%s has not been heard of since the cluster began: start it and repeat, or remove it (domicile members remove %s)", m.Name, m.Name)
	}
	return nil
}

// standDown hands leadership over when the change is about ourselves: whoever
// leads next makes it.
func (s memberService) standDown(ctx context.Context, v members.View, name string) error {
	if name != s.name {
		return nil
	}
	next := v.Successor()
	if next == "" {
		return policy.Errorf(policy.NotReady, "this member leads and no other voter is fit to: wait until one has caught up (domicile members list)")
	}
	if err := s.replica.TransferTo(ctx, next); err != nil {
		return err
	}
	return policy.Errorf(policy.NotReady, "this member led and has handed leadership to %s: send the request again", next)
}

// change writes what is meant to be, and waits shortly until it is.
func (s memberService) change(ctx context.Context, req proto.Message, name string, plan func(members.View, store.Member) (store.Payload, error), settled func() bool) (*controlv1.Member, error) {
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		v := s.steward.View()
		m, known := v.Members.Find(store.MemberName(name))
		_, in := v.Config.Has(name)
		if m.RemovedAt != nil || !known && !in {
			return nil, notFound("member")
		}
		if !known {
			m = store.Member{Name: store.MemberName(name)}
		}
		return plan(v, m)
	})
	if err != nil {
		return nil, err
	}
	s.steward.Poke()
	s.await(ctx, settled)
	var m store.Member
	if err := res.Decode(&m); err != nil {
		return nil, err
	}
	return s.memberOf(s.steward.View(), m), nil
}

// await waits for what the steward does, at most settlePatience.
func (s memberService) await(ctx context.Context, settled func() bool) {
	ctx, cancel := context.WithTimeout(ctx, settlePatience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !settled() && s.replica.IsLeader() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// ReaddressMember implements controlv1.MemberServiceServer. One that is heard says
// itself where it is, a moment later: to point Raft elsewhere until then would only
// take a vote away.
func (s memberService) ReaddressMember(ctx context.Context, req *controlv1.ReaddressMemberRequest) (*controlv1.Member, error) {
	name := req.GetMember()
	return s.change(ctx, req, name, func(v members.View, m store.Member) (store.Payload, error) {
		if err := introduced(m); err != nil {
			return nil, err
		}
		p := m.Put()
		p.RaftAddress, p.GRPCAddress = req.GetRaftAddress(), req.GetGrpcAddress()
		if p == m.Put() {
			return p, nil
		}
		if h := v.Health(name); h == members.OK || h == members.Behind {
			return nil, policy.Errorf(policy.QuorumAtRisk, "%s runs and announces its own addresses: change raft_address and grpc_address, or advertise, in its configuration and start it again", name)
		}
		for _, x := range v.Members.Present() {
			if x.Name != m.Name && (x.RaftAddress == p.RaftAddress || x.GRPCAddress == p.GRPCAddress) {
				return nil, policy.Errorf(policy.AlreadyExists, "member %s announces one of these addresses: give %s its own", x.Name, name)
			}
		}
		return p, nil
	}, func() bool {
		x, _ := s.replica.Configuration().Has(name)
		return x.Address == req.GetRaftAddress()
	})
}

// TransferLeadership implements controlv1.MemberServiceServer.
func (s memberService) TransferLeadership(ctx context.Context, req *controlv1.TransferLeadershipRequest) (*controlv1.Member, error) {
	if err := s.replica.TransferTo(ctx, req.GetMember()); err != nil {
		return nil, err
	}
	v := s.steward.View()
	m, _ := v.Members.Find(store.MemberName(req.GetMember()))
	v.Self = req.GetMember()
	return s.memberOf(v, m), nil
}
