package server

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

type batchService struct {
	controlv1.UnimplementedBatchServiceServer
	*core
}

// BatchCreateTenants implements controlv1.BatchServiceServer.
func (s batchService) BatchCreateTenants(ctx context.Context, req *controlv1.BatchCreateTenantsRequest) (*controlv1.BatchCreateTenantsResponse, error) {
	out, err := s.batch(ctx, req, len(req.GetRequests()), func(_ context.Context, i int) (store.Payload, string, error) {
		one := req.GetRequests()[i]
		if err := rule(one); err != nil {
			return nil, "", err
		}
		p, err := tenantService{core: s.core}.planTenant(one)
		return p, "", err
	})
	return &controlv1.BatchCreateTenantsResponse{Outcomes: out}, err
}

// BatchUpdatePolicies implements controlv1.BatchServiceServer.
func (s batchService) BatchUpdatePolicies(ctx context.Context, req *controlv1.BatchUpdatePoliciesRequest) (*controlv1.BatchUpdatePoliciesResponse, error) {
	out, err := s.batch(ctx, req, len(req.GetRequests()), func(ctx context.Context, i int) (store.Payload, string, error) {
		one := req.GetRequests()[i]
		t, err := s.tenant(ctx, one.GetTenant())
		if err != nil { // absent or foreign: the whole call is refused, like a single one
			return nil, "", wholly{err}
		}
		p, err := s.planPolicy(t.ID, one.GetEtag(), func(now policy.ResidencyPolicy) (policy.ResidencyPolicy, error) {
			return s.ruled(now, one.GetRules(), "rules")
		})
		return p, string(t.ID), err
	})
	return &controlv1.BatchUpdatePoliciesResponse{Outcomes: out}, err
}

// wholly marks an error of one item that refuses the whole call.
type wholly struct{ error }

// batch plans n items, proposes them as one entry, and gives their outcomes. An
// item whose plan is refused by the domain is proposed as refused, so that a
// repeat of the call tells the same.
func (s batchService) batch(ctx context.Context, req proto.Message, n int, plan func(ctx context.Context, item int) (p store.Payload, tenant string, err error)) ([]*controlv1.BatchOutcome, error) {
	stamp, err := s.stamp(ctx, req)
	if err != nil {
		return nil, err
	}
	all := func() (store.Batch, bool, error) {
		var b store.Batch
		refused := false
		for i := range n {
			item, err := s.item(ctx, stamp, i, plan)
			if err != nil {
				return b, false, err
			}
			refused = refused || item.Refused != ""
			b.Items = append(b.Items, item)
		}
		return b, refused, nil
	}
	res, err := s.writeStamped(ctx, stamp, func() (store.Payload, error) {
		b, refused, err := all()
		if err == nil && refused { // see write: a refusal counts once we are known to lead
			if err := s.replica.VerifyLeader(ctx); err != nil {
				return nil, err
			}
			b, _, err = all()
		}
		return b, err
	})
	if err != nil {
		return nil, err
	}
	var outcomes []store.BatchOutcome
	if err := res.Decode(&outcomes); err != nil {
		return nil, err
	}
	out := make([]*controlv1.BatchOutcome, len(outcomes))
	for i, o := range outcomes {
		out[i] = &controlv1.BatchOutcome{Tenant: o.Tenant, Etag: o.ETag, Reason: string(o.Reason), Change: o.Change}
	}
	return out, nil
}

func (s batchService) item(ctx context.Context, stamp store.Stamp, i int, plan func(context.Context, int) (store.Payload, string, error)) (store.BatchItem, error) {
	p, tenant, err := plan(ctx, i)
	var whole wholly
	var refusal *policy.Error
	switch {
	case errors.As(err, &whole):
		return store.BatchItem{}, whole.error
	case errors.As(err, &refusal) && refusal.Reason != policy.Internal && refusal.Reason != policy.NotReady:
		return store.BatchItem{Tenant: tenant, Refused: refusal.Reason}, nil
	case err != nil:
		return store.BatchItem{}, err
	}
	data, err := store.Encode(store.Command{Stamp: store.Stamp{Now: stamp.Now, Actor: stamp.Actor}, Payload: p})
	return store.BatchItem{Command: data}, err
}
