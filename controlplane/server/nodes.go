package server

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

type nodeService struct {
	controlv1.UnimplementedNodeServiceServer
	*core
}

// ListNodes implements controlv1.NodeServiceServer: every node that was ever
// seen, and what this leader sees of its stream.
func (s nodeService) ListNodes(ctx context.Context, req *controlv1.ListNodesRequest) (*controlv1.ListNodesResponse, error) {
	all, err := s.store.Nodes()
	if err != nil {
		return nil, err
	}
	var list []*controlv1.Node
	for _, n := range all {
		if callOf(ctx).seesRegion(n.Region) && (req.GetRegion() == "" || req.GetRegion() == string(n.Region)) && (req.GetState() == "" || req.GetState() == string(n.State)) {
			list = append(list, s.nodeOf(n))
		}
	}
	list, next, err := cut(list, (*controlv1.Node).GetId, req)
	return &controlv1.ListNodesResponse{Nodes: list, NextPageToken: next}, err
}

// GetNode implements controlv1.NodeServiceServer.
func (s nodeService) GetNode(ctx context.Context, req *controlv1.GetNodeRequest) (*controlv1.Node, error) {
	n, err := s.node(ctx, req.GetNode())
	if err != nil {
		return nil, err
	}
	return s.nodeOf(n), tagged(ctx, n.ETag)
}

func (c *core) node(ctx context.Context, id string) (store.Node, error) {
	n, err := c.store.Node(policy.NodeID(id))
	if isReason(err, policy.NotFound) || (err == nil && !callOf(ctx).seesRegion(n.Region)) {
		return store.Node{}, notFound("node")
	}
	return n, err
}

// AdmitNode implements controlv1.NodeServiceServer. What the root did not sign
// would be believed by no node, so it is refused here.
func (s nodeService) AdmitNode(ctx context.Context, req *controlv1.AdmitNodeRequest) (*controlv1.Node, error) {
	return s.settle(ctx, req, func() (store.Payload, error) {
		p := store.AdmitNode{ID: policy.NodeID(req.GetNode()), Region: policy.RegionID(req.GetRegion())}
		n, err := s.node(ctx, req.GetNode())
		switch {
		case err == nil && p.Region == "":
			p.Region = n.Region
		case isReason(err, policy.NotFound) && p.Region == "" && callOf(ctx).region != "":
			return nil, err // absent, or another region's
		case isReason(err, policy.NotFound) && p.Region == "":
			return nil, policy.Errorf(policy.RegionRequired, "the node has not come yet, so its region must be given")
		case err != nil && !isReason(err, policy.NotFound):
			return nil, err
		}
		if !callOf(ctx).seesRegion(p.Region) {
			return nil, notFound("region")
		}
		if _, elsewhere := s.store.Node(p.ID); err != nil && elsewhere == nil {
			return nil, err // it is another region's, which does not exist for the caller
		}
		if a := req.GetAdmission(); a != nil {
			if p.Admission, err = s.admissionFrom(p, a); err != nil {
				return nil, err
			}
		}
		p.IfMatch, err = optionalIfMatch(ctx)
		return p, err
	})
}

func (c *core) admissionFrom(p store.AdmitNode, a *controlv1.Admission) (*policy.NodeAdmission, error) {
	out := &policy.NodeAdmission{Node: p.ID, Region: p.Region, KeySHA256: a.GetKeySha256(), IssuedAt: a.GetIssueTime().GetSeconds(),
		NotAfter: a.GetExpireTime().GetSeconds(), Signature: control.SignatureFrom(a.GetSignature())}
	if err := out.Level.UnmarshalText([]byte(a.GetLevel())); err != nil {
		return nil, fieldError("admission.level", "must be operator_signed")
	}
	if err := out.Verify(c.cluster, c.root); err != nil {
		return nil, fieldError("admission.signature", "must be the operator root's over this node, region, key and time, for this cluster: make it with domicile trust admit-node")
	}
	if time.Now().Unix() >= out.NotAfter {
		return nil, fieldError("admission.expire_time", "is past: let the root sign again")
	}
	return out, nil
}

// EvictNode implements controlv1.NodeServiceServer.
func (s nodeService) EvictNode(ctx context.Context, req *controlv1.EvictNodeRequest) (*controlv1.Node, error) {
	return s.settle(ctx, req, func() (store.Payload, error) {
		if _, err := s.node(ctx, req.GetNode()); err != nil {
			return nil, err
		}
		tag, err := optionalIfMatch(ctx)
		return store.EvictNode{ID: policy.NodeID(req.GetNode()), Reason: req.GetReasonCode(), IfMatch: tag}, err
	})
}

func (s nodeService) settle(ctx context.Context, req interface {
	GetNode() string
	proto.Message
}, plan func() (store.Payload, error)) (*controlv1.Node, error) {
	res, err := s.write(ctx, req, plan)
	if err != nil {
		return nil, err
	}
	var n store.Node
	if err := res.Decode(&n); err != nil {
		return nil, err
	}
	return s.nodeOf(n), tagged(ctx, n.ETag)
}

// GetNodeAdmission implements controlv1.NodeServiceServer.
func (s nodeService) GetNodeAdmission(ctx context.Context, req *controlv1.GetNodeAdmissionRequest) (*controlv1.NodeAdmission, error) {
	r, err := s.region(ctx, req.GetRegion())
	if err != nil {
		return nil, err
	}
	a, err := s.store.NodeAdmission(r.ID)
	if err != nil {
		return nil, err
	}
	return admissionModeOf(ctx, a)
}

// PutNodeAdmission implements controlv1.NodeServiceServer.
func (s nodeService) PutNodeAdmission(ctx context.Context, req *controlv1.PutNodeAdmissionRequest) (*controlv1.NodeAdmission, error) {
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		if !callOf(ctx).seesRegion(policy.RegionID(req.GetRegion())) {
			return nil, notFound("region")
		}
		tag, err := optionalIfMatch(ctx)
		return store.PutNodeAdmission{Region: policy.RegionID(req.GetRegion()), Mode: store.AdmissionMode(req.GetMode()), IfMatch: tag}, err
	})
	if err != nil {
		return nil, err
	}
	var a store.NodeAdmission
	if err := res.Decode(&a); err != nil {
		return nil, err
	}
	return admissionModeOf(ctx, a)
}

// admissionModeOf carries no etag while nothing was ever set.
func admissionModeOf(ctx context.Context, a store.NodeAdmission) (*controlv1.NodeAdmission, error) {
	out := &controlv1.NodeAdmission{Region: string(a.Region), Mode: string(a.Mode), Etag: a.ETag}
	if a.ETag == "" {
		return out, nil
	}
	return out, tagged(ctx, a.ETag)
}

// levelNow is the level that was proved last, unless the root's word has ended.
func levelNow(n store.Node) policy.Attestation {
	if n.Level == policy.OperatorSigned && n.Admission != nil && time.Now().Unix() >= n.Admission.NotAfter {
		return policy.Declared
	}
	return n.Level
}

// nodeOf adds what is seen of the node's stream to what is known of it.
func (s nodeService) nodeOf(n store.Node) *controlv1.Node {
	out := &controlv1.Node{Id: string(n.ID), Region: string(n.Region), State: string(n.State), Attestation: levelNow(n).String(), Instance: n.Instance, Account: n.Account,
		FirstSeen: timestamppb.New(n.SeenAt), ReasonCode: n.Reason, ChangedBy: n.By, Etag: n.ETag}
	if n.AdmittedAt != nil {
		out.AdmitTime = timestamppb.New(*n.AdmittedAt)
	}
	if n.EvictedAt != nil {
		out.EvictTime = timestamppb.New(*n.EvictedAt)
	}
	if a := n.Admission; a != nil {
		out.Admission = &controlv1.Admission{Level: a.Level.String(), KeySha256: a.KeySHA256, IssueTime: &timestamppb.Timestamp{Seconds: a.IssuedAt},
			ExpireTime: &timestamppb.Timestamp{Seconds: a.NotAfter}, Signature: control.SignatureOf(a.Signature)}
	}
	s.hub.describe(out)
	return out
}
