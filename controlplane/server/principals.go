package server

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

type principalService struct {
	controlv1.UnimplementedPrincipalServiceServer
	*core
}

// defaultBinding is how long a binding lasts that asks for nothing: a person who
// left is forgotten without anybody thinking of it.
const defaultBinding = 90 * day

// CreatePrincipal implements controlv1.PrincipalServiceServer.
func (s principalService) CreatePrincipal(ctx context.Context, req *controlv1.CreatePrincipalRequest) (*controlv1.Principal, error) {
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		scope, err := s.scope(ctx, req)
		if err != nil {
			return nil, err
		}
		who := callOf(ctx)
		if req.GetId() == who.principal {
			return nil, fieldError("id", "must be another's: nobody gives themselves a role")
		}
		lifetime := time.Duration(req.GetLifetime()) * time.Second
		if lifetime == 0 {
			lifetime = defaultBinding
		}
		expires := time.Now().UTC().Add(lifetime)
		scope.ExpiresAt = &expires
		p := store.Principal{ID: req.GetId(), Scope: scope}
		if who.role == bootstrapper {
			return store.UseBootstrap{SHA256: who.secret, Principal: &p}, nil
		}
		return store.BindPrincipal{Principal: p}, nil
	})
	if err != nil {
		return nil, err
	}
	var p store.Principal
	if err := res.Decode(&p); err != nil {
		return nil, err
	}
	return principalOf(p), created(ctx)
}

// GetPrincipal implements controlv1.PrincipalServiceServer.
func (s principalService) GetPrincipal(ctx context.Context, req *controlv1.GetPrincipalRequest) (*controlv1.Principal, error) {
	p, err := s.principal(req.GetPrincipal())
	if err != nil {
		return nil, err
	}
	return principalOf(p), tagged(ctx, p.ETag)
}

func (c *core) principal(id string) (store.Principal, error) {
	p, err := c.store.Principal(id)
	if isReason(err, policy.NotFound) {
		return p, notFound("principal")
	}
	return p, err
}

// ListPrincipals implements controlv1.PrincipalServiceServer.
func (s principalService) ListPrincipals(_ context.Context, req *controlv1.ListPrincipalsRequest) (*controlv1.ListPrincipalsResponse, error) {
	after, limit, err := page(req.GetPageToken(), req.GetPageSize(), policy.KindPrincipal)
	if err != nil {
		return nil, err
	}
	list, err := s.store.Principals(after, limit+1, nil)
	if err != nil {
		return nil, err
	}
	out := &controlv1.ListPrincipalsResponse{}
	if len(list) > limit {
		list = list[:limit]
		out.NextPageToken = pageToken(list[limit-1].ID)
	}
	for _, p := range list {
		out.Principals = append(out.Principals, principalOf(p))
	}
	return out, nil
}

// DeletePrincipal implements controlv1.PrincipalServiceServer.
func (s principalService) DeletePrincipal(ctx context.Context, req *controlv1.DeletePrincipalRequest) (*controlv1.DeletePrincipalResponse, error) {
	_, err := s.write(ctx, req, func() (store.Payload, error) {
		p, err := s.principal(req.GetPrincipal())
		if err != nil {
			return nil, err
		}
		if err := mayGive(ctx, p.Role); err != nil && p.ID != callOf(ctx).principal { // one's own may always go
			return nil, err
		}
		tag, err := ifMatch(ctx)
		return store.UnbindPrincipal{ID: p.ID, IfMatch: tag}, err
	})
	if err != nil {
		return nil, err
	}
	return &controlv1.DeletePrincipalResponse{}, nil
}

func principalOf(p store.Principal) *controlv1.Principal {
	return &controlv1.Principal{Id: p.ID, Role: p.Role, Tenant: string(p.Tenant), Region: string(p.Region), ReadOnly: p.ReadOnly,
		ExpiresAt: moment(p.ExpiresAt), CreateTime: timestamppb.New(p.CreatedAt), Etag: p.ETag}
}
