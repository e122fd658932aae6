package client

import (
	"context"
	"net/http"
	"net/url"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

func basisPath(basis, rest string) string { return "/v1/bases/" + url.PathEscape(basis) + rest }

// Basis finds one legal basis of transfers.
func (c *Control) Basis(ctx context.Context, basis string) (*controlv1.Basis, error) {
	out := &controlv1.Basis{}
	return out, c.get(ctx, basisPath(basis, ""), nil, out)
}

// PutBasis adds a basis (etag "") or changes one. What opens it needs a grant: LOOSENING_NEEDS_APPROVAL.
func (c *Control) PutBasis(ctx context.Context, basis string, spec *controlv1.BasisSpec, etag string) (*controlv1.Basis, error) {
	out := &controlv1.Basis{}
	return out, c.conditional(ctx, http.MethodPut, basisPath(basis, ""), etag, spec, out)
}

// RevokeBasis says what relies on a basis; with Enforce it stops all of it.
func (c *Control) RevokeBasis(ctx context.Context, in *controlv1.RevokeBasisRequest) (*controlv1.RevokeBasisResponse, error) {
	out := &controlv1.RevokeBasisResponse{}
	return out, c.post(ctx, basisPath(in.GetBasis(), ":revoke"), in, out)
}

// BasisFlows lists every flow that relies on a basis, after a page token ("" from the start).
func (c *Control) BasisFlows(ctx context.Context, basis, after string) ([]*controlv1.BasisFlow, error) {
	var all []*controlv1.BasisFlow
	query := url.Values{}
	if after != "" {
		query.Set("page_token", after)
	}
	err := pages(query, func(q url.Values) (string, error) {
		out := &controlv1.ListBasisFlowsResponse{}
		err := c.get(ctx, basisPath(basis, "/flows"), q, out)
		all = append(all, out.GetFlows()...)
		return out.GetNextPageToken(), err
	})
	return all, err
}

// PutFeature says how far a feature is in a region; etag "" adds it.
func (c *Control) PutFeature(ctx context.Context, region, feature string, spec *controlv1.FeatureSpec, etag string) (*controlv1.Feature, error) {
	out := &controlv1.Feature{}
	return out, c.conditional(ctx, http.MethodPut, "/v1/regions/"+url.PathEscape(region)+"/features/"+url.PathEscape(feature), etag, spec, out)
}

// PutEntity says who contracts with customers of a billing country; etag "" adds it.
func (c *Control) PutEntity(ctx context.Context, country string, spec *controlv1.EntitySpec, etag string) (*controlv1.Entity, error) {
	out := &controlv1.Entity{}
	return out, c.conditional(ctx, http.MethodPut, "/v1/entities/"+url.PathEscape(country), etag, spec, out)
}
