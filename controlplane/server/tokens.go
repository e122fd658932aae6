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

type tokenService struct {
	controlv1.UnimplementedTokenServiceServer
	*core
}

// defaultLifetime of a token that asks for none.
const defaultLifetime = day

// CreateToken implements controlv1.TokenServiceServer. The token is "dt_" and
// 64 hex digits; only its SHA-256 is stored, and a repeat returns none.
func (s tokenService) CreateToken(ctx context.Context, req *controlv1.CreateTokenRequest) (*controlv1.Token, error) {
	var whole string
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		t, err := s.plan(ctx, req)
		if err != nil {
			return nil, err
		}
		if t.SHA256 = req.GetSecretSha256(); t.SHA256 == "" {
			drawn, err := secret()
			if err != nil {
				return nil, err
			}
			whole = "dt_" + drawn
			sum := sha256.Sum256([]byte(whole))
			t.SHA256 = hex.EncodeToString(sum[:])
		}
		if who := callOf(ctx); who.role == bootstrapper {
			return store.UseBootstrap{SHA256: who.secret, Token: &t}, nil
		}
		return store.CreateToken{Token: t}, nil
	})
	if err != nil {
		return nil, err
	}
	var t store.Token
	if err := res.Decode(&t); err != nil {
		return nil, err
	}
	out := tokenOf(t)
	if !res.Replayed {
		out.Secret = whole
	}
	return out, created(ctx)
}

func (s tokenService) plan(ctx context.Context, req *controlv1.CreateTokenRequest) (store.Token, error) {
	scope, err := s.scope(ctx, req)
	if err != nil {
		return store.Token{}, err
	}
	lifetime := time.Duration(req.GetLifetime()) * time.Second
	longest := role(scope.Role).rank().longest
	switch {
	case lifetime == 0:
		lifetime = defaultLifetime
	case lifetime > longest:
		return store.Token{}, fieldError("lifetime", "is at most "+longest.String()+" for this role")
	}
	expires := time.Now().UTC().Add(lifetime)
	scope.ExpiresAt = &expires
	id, err := draw(policy.KindPrincipal)
	return store.Token{Principal: id, Scope: scope}, err
}

// scoped is a request for a role and its bounds.
type scoped interface {
	GetRole() string
	GetTenant() string
	GetRegion() string
	GetReadOnly() bool
}

// scope reads what a new credential is to be, within what the caller may give.
func (c *core) scope(ctx context.Context, req scoped) (store.Scope, error) {
	out := store.Scope{Role: req.GetRole(), Region: policy.RegionID(req.GetRegion()), ReadOnly: req.GetReadOnly()}
	bound := role(out.Role).rank().bound
	switch {
	case (bound == toTenant) != (req.GetTenant() != ""):
		return out, fieldError("tenant", "is required with tenant_admin and tenant_reader, and with no other role")
	case (bound == toRegion) != (req.GetRegion() != ""):
		return out, fieldError("region", "is required with region_admin, and with no other role")
	}
	if err := mayGive(ctx, out.Role); err != nil {
		return out, err
	}
	if out.Region != "" {
		if _, err := c.region(ctx, req.GetRegion()); err != nil {
			return out, err
		}
	}
	if req.GetTenant() != "" {
		t, err := c.tenant(ctx, req.GetTenant())
		if err != nil {
			return out, err
		}
		out.Tenant = t.ID
	}
	return out, nil
}

// mayGive: nobody gives, or takes away, a role above their own.
func mayGive(ctx context.Context, other string) error {
	if !callOf(ctx).role.gives(role(other)) {
		return policy.Errorf(policy.PermissionDenied, "your role neither gives nor takes away %s; ask a security officer", other)
	}
	return nil
}

// GetToken implements controlv1.TokenServiceServer.
func (s tokenService) GetToken(ctx context.Context, req *controlv1.GetTokenRequest) (*controlv1.Token, error) {
	t, err := s.token(req.GetToken())
	if err != nil {
		return nil, err
	}
	return tokenOf(t), tagged(ctx, t.ETag)
}

func (c *core) token(principal string) (store.Token, error) {
	t, err := c.store.Token(principal)
	if isReason(err, policy.NotFound) {
		return t, notFound("token")
	}
	return t, err
}

// ListTokens implements controlv1.TokenServiceServer. Expired ones are listed
// until they are removed.
func (s tokenService) ListTokens(_ context.Context, req *controlv1.ListTokensRequest) (*controlv1.ListTokensResponse, error) {
	after, limit, err := page(req.GetPageToken(), req.GetPageSize(), policy.KindPrincipal)
	if err != nil {
		return nil, err
	}
	list, err := s.store.Tokens(after, limit+1, nil)
	if err != nil {
		return nil, err
	}
	out := &controlv1.ListTokensResponse{}
	if len(list) > limit {
		list = list[:limit]
		out.NextPageToken = pageToken(list[limit-1].Principal)
	}
	for _, t := range list {
		out.Tokens = append(out.Tokens, tokenOf(t))
	}
	return out, nil
}

// DeleteToken implements controlv1.TokenServiceServer.
func (s tokenService) DeleteToken(ctx context.Context, req *controlv1.DeleteTokenRequest) (*controlv1.DeleteTokenResponse, error) {
	_, err := s.write(ctx, req, func() (store.Payload, error) {
		t, err := s.token(req.GetToken())
		if err != nil {
			return nil, err
		}
		if err := mayGive(ctx, t.Role); err != nil && t.Principal != callOf(ctx).principal { // one's own may always go
			return nil, err
		}
		tag, err := ifMatch(ctx)
		return store.RevokeToken{Principal: t.Principal, IfMatch: tag}, err
	})
	if err != nil {
		return nil, err
	}
	return &controlv1.DeleteTokenResponse{}, nil
}

func tokenOf(t store.Token) *controlv1.Token {
	return &controlv1.Token{Principal: t.Principal, Role: t.Role, Tenant: string(t.Tenant), Region: string(t.Region), ReadOnly: t.ReadOnly,
		ExpiresAt: moment(t.ExpiresAt), CreateTime: timestamppb.New(t.CreatedAt), Etag: t.ETag}
}

// moment is absent for what never comes.
func moment(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}
