package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

type operationsService struct {
	controlv1.UnimplementedOperationsServiceServer
	*core
}

// defaultLifetime of a token that asks for none.
const defaultLifetime = 24 * time.Hour

// GetClusterStatus implements controlv1.OperationsServiceServer. The voter that
// is asked answers for itself, so that it works while nobody leads.
func (s operationsService) GetClusterStatus(context.Context, *controlv1.GetClusterStatusRequest) (*controlv1.ClusterStatus, error) {
	st := s.replica.Status()
	out := &controlv1.ClusterStatus{ClusterId: s.cluster, Leader: st.Leader, Revision: s.store.Revision(), AppliedIndex: st.Applied, Term: st.Term, AnsweredBy: s.name}
	for _, v := range st.Voters {
		out.Voters = append(out.Voters, &controlv1.Voter{Id: v.Name, RaftAddress: v.Address, Leader: v.Name == st.Leader})
	}
	return out, nil
}

// CreateToken implements controlv1.OperationsServiceServer. The token is "dt_"
// and 64 hex digits; only its SHA-256 is stored, and a repeat returns none.
func (s operationsService) CreateToken(ctx context.Context, req *controlv1.CreateTokenRequest) (*controlv1.Token, error) {
	var whole string
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		t, err := s.planToken(ctx, req)
		if err != nil {
			return nil, err
		}
		drawn, err := secret()
		if err != nil {
			return nil, err
		}
		whole = "dt_" + drawn
		sum := sha256.Sum256([]byte(whole))
		t.SHA256 = hex.EncodeToString(sum[:])
		return store.CreateToken{Token: t}, nil
	})
	if err != nil {
		return nil, err
	}
	var t store.Token
	if err := res.Decode(&t); err != nil {
		return nil, err
	}
	out := &controlv1.Token{Principal: t.Principal, Role: t.Role, Tenant: string(t.Tenant)}
	if t.ExpiresAt != nil {
		out.ExpiresAt = timestamppb.New(*t.ExpiresAt)
	}
	if !res.Replayed {
		out.Secret = whole
	}
	return out, created(ctx)
}

func (s operationsService) planToken(ctx context.Context, req *controlv1.CreateTokenRequest) (store.Token, error) {
	t := store.Token{Role: req.GetRole()}
	if role(t.Role).ofTenant() != (req.GetTenant() != "") {
		return t, fieldError("tenant", "is required with tenant_admin and tenant_reader, and with no other role")
	}
	if req.GetTenant() != "" {
		tenant, err := s.tenant(ctx, req.GetTenant())
		if err != nil {
			return t, err
		}
		t.Tenant = tenant.ID
	}
	id, err := draw(policy.KindPrincipal)
	if err != nil {
		return t, err
	}
	lifetime := time.Duration(req.GetLifetime()) * time.Second
	if lifetime == 0 {
		lifetime = defaultLifetime
	}
	expires := time.Now().UTC().Add(lifetime)
	t.Principal, t.ExpiresAt = id, &expires
	return t, nil
}
