package client

import (
	"context"
	"net/http"
	"net/url"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// CreateToken issues a bearer token; it is returned once, and not at all to a
// caller who drew it and sent its hash.
func (c *Control) CreateToken(ctx context.Context, in *controlv1.CreateTokenRequest) (*controlv1.Token, error) {
	out := &controlv1.Token{}
	return out, c.post(ctx, "/v1/tokens", in, out)
}

// TokenInfo finds a token by its principal; never the token itself.
func (c *Control) TokenInfo(ctx context.Context, principal string) (*controlv1.Token, error) {
	out := &controlv1.Token{}
	return out, c.get(ctx, "/v1/tokens/"+url.PathEscape(principal), nil, out)
}

// Tokens lists all tokens.
func (c *Control) Tokens(ctx context.Context, filters ...string) ([]*controlv1.Token, error) {
	var all []*controlv1.Token
	err := pages(narrowed(nil, filters), func(q url.Values) (string, error) {
		out := &controlv1.ListTokensResponse{}
		err := c.get(ctx, "/v1/tokens", q, out)
		all = append(all, out.GetTokens()...)
		return out.GetNextPageToken(), err
	})
	return all, err
}

// DeleteToken revokes a token.
func (c *Control) DeleteToken(ctx context.Context, principal, etag string) error {
	return c.conditional(ctx, http.MethodDelete, "/v1/tokens/"+url.PathEscape(principal), etag, nil, nil)
}

// CreatePrincipal binds a person to a role.
func (c *Control) CreatePrincipal(ctx context.Context, in *controlv1.CreatePrincipalRequest) (*controlv1.Principal, error) {
	out := &controlv1.Principal{}
	return out, c.post(ctx, "/v1/principals", in, out)
}

// Principal finds what a person is bound to.
func (c *Control) Principal(ctx context.Context, id string) (*controlv1.Principal, error) {
	out := &controlv1.Principal{}
	return out, c.get(ctx, "/v1/principals/"+url.PathEscape(id), nil, out)
}

// Principals lists all bindings.
func (c *Control) Principals(ctx context.Context, filters ...string) ([]*controlv1.Principal, error) {
	var all []*controlv1.Principal
	err := pages(narrowed(nil, filters), func(q url.Values) (string, error) {
		out := &controlv1.ListPrincipalsResponse{}
		err := c.get(ctx, "/v1/principals", q, out)
		all = append(all, out.GetPrincipals()...)
		return out.GetNextPageToken(), err
	})
	return all, err
}

// DeletePrincipal takes a person's role away.
func (c *Control) DeletePrincipal(ctx context.Context, id, etag string) error {
	return c.conditional(ctx, http.MethodDelete, "/v1/principals/"+url.PathEscape(id), etag, nil, nil)
}

// Login names the issuers that people log in with; it needs no token.
func (c *Control) Login(ctx context.Context) (*controlv1.Login, error) {
	out := &controlv1.Login{}
	return out, c.get(ctx, "/v1/login", nil, out)
}

// WhoAmI shows the principal and role of the token.
func (c *Control) WhoAmI(ctx context.Context) (*controlv1.Identity, error) {
	out := &controlv1.Identity{}
	return out, c.get(ctx, "/v1/whoami", nil, out)
}
