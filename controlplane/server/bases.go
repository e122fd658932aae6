package server

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

type basisService struct {
	controlv1.UnimplementedBasisServiceServer
	*core
}

// PutBasis implements controlv1.BasisServiceServer. Apply judges what loosens;
// the grant is verified here by the root, which Apply does not know.
func (s basisService) PutBasis(ctx context.Context, req *controlv1.PutBasisRequest) (*controlv1.Basis, error) {
	var added bool
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		old, err := s.store.Basis(req.GetBasis())
		added = isReason(err, policy.NotFound)
		if err != nil && !added {
			return nil, err
		}
		spec := req.GetSpec()
		p := store.PutBasis{ID: req.GetBasis(), State: policy.BasisState(spec.GetState()), ExpiresAt: timeFrom(spec.GetExpiresAt())}
		if p.IfMatch, err = optionalIfMatch(ctx); err != nil {
			return nil, err
		}
		if g := spec.GetGrant(); g != nil {
			p.Grant = &policy.BasisGrant{Until: timeFrom(g.GetUntil()), Sequence: g.GetSequence(), Signature: policy.Signature{KeyID: g.GetKeyId(), Value: g.GetSignature()}}
			if err := p.Grant.Verify(s.cluster, p.ID, s.root); err != nil {
				return nil, fieldError("spec.grant", "is not signed by the operator's root for this basis, end and sequence; make it with `domicile bases grant`")
			}
			if p.Grant.Sequence != old.NextGrant() && (old.Grant == nil || p.Grant.Signature != old.Grant.Signature) {
				return nil, fieldError("spec.grant.sequence", "is not the next one; read the basis again and sign a new grant")
			}
		}
		return p, nil
	})
	if err != nil {
		return nil, err
	}
	b, err := s.basis(ctx, res)
	if err != nil {
		return nil, err
	}
	return b, createdIf(ctx, added, b.GetEtag())
}

func (s basisService) basis(ctx context.Context, res store.Result) (*controlv1.Basis, error) {
	var b store.Basis
	if err := res.Decode(&b); err != nil {
		return nil, err
	}
	return basisOf(b), tagged(ctx, b.ETag)
}

// RevokeBasis implements controlv1.BasisServiceServer. A revocation needs no
// If-Match: whoever stops everything must not lose a race to do so.
func (s basisService) RevokeBasis(ctx context.Context, req *controlv1.RevokeBasisRequest) (*controlv1.RevokeBasisResponse, error) {
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		b, err := s.store.Basis(req.GetBasis())
		if isReason(err, policy.NotFound) {
			return nil, notFound("basis")
		}
		if err != nil || !req.GetEnforce() {
			return store.DrillBasis{ID: req.GetBasis()}, err
		}
		return store.PutBasis{ID: b.ID, State: policy.BasisRevoked, ExpiresAt: b.ExpiresAt, IfMatch: b.ETag}, nil
	})
	if err != nil {
		return nil, err
	}
	out := &controlv1.RevokeBasisResponse{Enforced: req.GetEnforce()}
	if out.Basis, err = s.basis(ctx, res); err != nil {
		return nil, err
	}
	all := 0
	if out.Flows, out.NextPageToken, all, err = s.flows(req.GetBasis(), "", defaultPage); err != nil {
		return nil, err
	}
	out.Tenants = int32(all)
	if !req.GetEnforce() {
		return out, nil
	}
	return out, s.everywhere(ctx, out)
}

// ListBasisFlows implements controlv1.BasisServiceServer.
func (s basisService) ListBasisFlows(_ context.Context, req *controlv1.ListBasisFlowsRequest) (*controlv1.ListBasisFlowsResponse, error) {
	if _, err := s.store.Basis(req.GetBasis()); err != nil {
		return nil, notFound("basis")
	}
	after, limit, err := page(req.GetPageToken(), req.GetPageSize(), policy.KindTenant)
	if err != nil {
		return nil, err
	}
	out := &controlv1.ListBasisFlowsResponse{}
	out.Flows, out.NextPageToken, _, err = s.flows(req.GetBasis(), policy.TenantID(after), limit)
	return out, err
}

// flows of at most limit tenants after one, and how many tenants there are in all.
func (s basisService) flows(basis string, after policy.TenantID, limit int) (flows []*controlv1.BasisFlow, next string, all int, err error) {
	list, all, err := s.store.OnBasis(basis, after, limit+1)
	if err != nil {
		return nil, "", 0, err
	}
	if len(list) > limit {
		list = list[:limit]
		next = pageToken(string(list[limit-1].Tenant))
	}
	for _, p := range list {
		for _, f := range p.FlowsOn(basis) {
			flows = append(flows, &controlv1.BasisFlow{Tenant: string(p.Tenant), FromRegion: string(p.HomeRegion), EgressClass: f.Egress.String(),
				Recipient: string(f.Recipient), ToRegion: string(f.To), Purpose: f.Purpose})
		}
	}
	return flows, next, all, nil
}

func basisOf(b store.Basis) *controlv1.Basis {
	out := &controlv1.Basis{Id: b.ID, State: string(b.State), ExpiresAt: timeOf(b.ExpiresAt), DrillTime: timeOf(b.DrilledAt), Etag: b.ETag}
	if g := b.Grant; g != nil {
		out.Grant = &controlv1.BasisGrant{Until: timeOf(g.Until), Sequence: g.Sequence, KeyId: g.Signature.KeyID, Signature: g.Signature.Value}
	}
	return out
}

func timeOf(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}

// timeFrom reads a time in whole seconds, as grants sign them.
func timeFrom(t *timestamppb.Timestamp) *time.Time {
	if t == nil {
		return nil
	}
	at := t.AsTime().Truncate(time.Second)
	return &at
}
