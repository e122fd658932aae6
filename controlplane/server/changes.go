package server

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

type changeService struct {
	controlv1.UnimplementedChangeServiceServer
	*core
}

// ListChanges implements controlv1.ChangeServiceServer. What a tenant's principal
// pages through is its own: the token of a page names its last element. For a
// region's, changes of tenants elsewhere are passed over.
func (s changeService) ListChanges(ctx context.Context, req *controlv1.ListChangesRequest) (*controlv1.ListChangesResponse, error) {
	after, limit, err := page(req.GetPageToken(), req.GetPageSize(), policy.KindChange)
	if err != nil {
		return nil, err
	}
	list, err := s.store.Changes(after, limit+1, store.ChangeState(req.GetState()), callOf(ctx).tenant)
	if err != nil {
		return nil, err
	}
	out := &controlv1.ListChangesResponse{}
	if len(list) > limit {
		list = list[:limit]
		out.NextPageToken = pageToken(list[limit-1].ID)
	}
	for _, ch := range list {
		if sees, err := s.seesTenant(ctx, ch.Tenant); err != nil {
			return nil, err
		} else if sees {
			out.Changes = append(out.Changes, changeOf(ch))
		}
	}
	return out, nil
}

// GetChange implements controlv1.ChangeServiceServer.
func (s changeService) GetChange(ctx context.Context, req *controlv1.GetChangeRequest) (*controlv1.Change, error) {
	ch, err := s.change(ctx, req.GetChange())
	if err != nil {
		return nil, err
	}
	return changeOf(ch), tagged(ctx, ch.ETag)
}

func (s changeService) change(ctx context.Context, id string) (store.Change, error) {
	ch, err := s.store.Change(id)
	sees := false
	if err == nil {
		sees, err = s.seesTenant(ctx, ch.Tenant)
	}
	if isReason(err, policy.NotFound) || (err == nil && !sees) {
		return store.Change{}, notFound("change")
	}
	return ch, err
}

// ApproveChange implements controlv1.ChangeServiceServer.
func (s changeService) ApproveChange(ctx context.Context, req *controlv1.ApproveChangeRequest) (*controlv1.Change, error) {
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		ch, err := s.change(ctx, req.GetChange())
		if err != nil {
			return nil, err
		}
		p := store.Approve{ID: ch.ID}
		for _, sig := range req.GetSignatures() {
			p.Signatures = append(p.Signatures, control.SignatureFrom(sig))
		}
		return p, nil
	})
	if err != nil {
		return nil, err
	}
	var ch store.Change
	if err := res.Decode(&ch); err != nil {
		return nil, err
	}
	return changeOf(ch), tagged(ctx, ch.ETag)
}

// RejectChange implements controlv1.ChangeServiceServer.
func (s changeService) RejectChange(ctx context.Context, req *controlv1.RejectChangeRequest) (*controlv1.Change, error) {
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		ch, err := s.change(ctx, req.GetChange())
		if err != nil {
			return nil, err
		}
		tag, err := optionalIfMatch(ctx)
		return store.RejectChange{ID: ch.ID, IfMatch: tag}, err
	})
	if err != nil {
		return nil, err
	}
	var ch store.Change
	if err := res.Decode(&ch); err != nil {
		return nil, err
	}
	return changeOf(ch), tagged(ctx, ch.ETag)
}

func changeOf(ch store.Change) *controlv1.Change {
	out := &controlv1.Change{Id: ch.ID, Tenant: string(ch.Tenant), State: string(ch.State), Hash: ch.Hash,
		CreateTime: timestamppb.New(ch.CreatedAt), Proposed: control.RulesOf(&ch.Proposed), Etag: ch.ETag, Sequence: ch.Sequence,
		BillingCountry: ch.BillingCountry, ContractingEntity: ch.Proposed.ContractingEntity}
	for _, sig := range ch.Signatures {
		out.Signatures = append(out.Signatures, control.SignatureOf(sig))
	}
	for _, f := range ch.Fields {
		out.Fields = append(out.Fields, &controlv1.FieldChange{Field: f.Field, Effect: f.Kind.String(), From: f.From, To: f.To})
	}
	return out
}
