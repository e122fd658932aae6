package client

import (
	"context"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// MaxBatch is how many items one batch may hold.
const MaxBatch = 250

// CreateTenants places up to MaxBatch tenants in one call. Each has its own
// outcome, in the order of the request; the error is that of the call, which
// then did nothing.
func (c *Control) CreateTenants(ctx context.Context, in []*controlv1.CreateTenantRequest) ([]*controlv1.BatchOutcome, error) {
	out := &controlv1.BatchCreateTenantsResponse{}
	err := c.post(ctx, "/v1/tenants:batchCreate", &controlv1.BatchCreateTenantsRequest{Requests: in}, out)
	return out.GetOutcomes(), err
}

// UpdatePolicies replaces the rules of up to MaxBatch tenants, each under the etag
// that was read; outcomes as those of CreateTenants.
func (c *Control) UpdatePolicies(ctx context.Context, in []*controlv1.PolicyUpdate) ([]*controlv1.BatchOutcome, error) {
	out := &controlv1.BatchUpdatePoliciesResponse{}
	err := c.post(ctx, "/v1/policies:batchUpdate", &controlv1.BatchUpdatePoliciesRequest{Requests: in}, out)
	return out.GetOutcomes(), err
}
