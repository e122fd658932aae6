package client

import (
	"context"
	"net/http"
	"net/url"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

func tenantPath(tenant, rest string) string { return "/v1/tenants/" + url.PathEscape(tenant) + rest }

// CreateTenant places a tenant. Without a home region: REGION_REQUIRED.
func (c *Control) CreateTenant(ctx context.Context, in *controlv1.CreateTenantRequest) (*controlv1.Tenant, error) {
	out := &controlv1.Tenant{}
	return out, c.post(ctx, "/v1/tenants", in, out)
}

// Tenant finds one by id or slug.
func (c *Control) Tenant(ctx context.Context, tenant string) (*controlv1.Tenant, error) {
	out := &controlv1.Tenant{}
	return out, c.get(ctx, tenantPath(tenant, ""), nil, out)
}

// Tenants lists those of one home region, or all with "".
func (c *Control) Tenants(ctx context.Context, home string, filters ...string) ([]*controlv1.Tenant, error) {
	query := url.Values{}
	if home != "" {
		query.Set("home_region", home)
	}
	var all []*controlv1.Tenant
	err := pages(narrowed(query, filters), func(q url.Values) (string, error) {
		out := &controlv1.ListTenantsResponse{}
		err := c.get(ctx, "/v1/tenants", q, out)
		all = append(all, out.GetTenants()...)
		return out.GetNextPageToken(), err
	})
	return all, err
}

// UpdateTenant changes what may change; a home region may not: REGION_IMMUTABLE.
func (c *Control) UpdateTenant(ctx context.Context, in *controlv1.UpdateTenantRequest, etag string) (*controlv1.Tenant, error) {
	out := &controlv1.Tenant{}
	return out, c.conditional(ctx, http.MethodPatch, tenantPath(in.GetTenant(), ""), etag, in, out)
}

// DeleteTenant ends a tenant whose data is purged.
func (c *Control) DeleteTenant(ctx context.Context, tenant, etag string) (*controlv1.Operation, error) {
	out := &controlv1.Operation{}
	return out, c.conditional(ctx, http.MethodDelete, tenantPath(tenant, ""), etag, nil, out)
}

// PurgeTenant destroys a tenant's data, for good, and with Delete the tenant.
func (c *Control) PurgeTenant(ctx context.Context, in *controlv1.PurgeTenantRequest, etag string) (*controlv1.Operation, error) {
	out := &controlv1.Operation{}
	return out, c.conditional(ctx, http.MethodPost, tenantPath(in.GetTenant(), ":purge"), etag, in, out)
}

// SuspendTenant stops everything of a tenant and deletes nothing.
func (c *Control) SuspendTenant(ctx context.Context, tenant string) (*controlv1.Tenant, error) {
	out := &controlv1.Tenant{}
	return out, c.post(ctx, tenantPath(tenant, ":suspend"), &controlv1.SuspendTenantRequest{}, out)
}

// ResumeTenant undoes SuspendTenant.
func (c *Control) ResumeTenant(ctx context.Context, tenant string) (*controlv1.Tenant, error) {
	out := &controlv1.Tenant{}
	return out, c.post(ctx, tenantPath(tenant, ":resume"), &controlv1.ResumeTenantRequest{}, out)
}

// ExcuseNode gives up waiting for the receipt of a node that is gone with its disk.
func (c *Control) ExcuseNode(ctx context.Context, tenant, node string) (*controlv1.Operation, error) {
	out := &controlv1.Operation{}
	return out, c.post(ctx, tenantPath(tenant, ":excuseNode"), &controlv1.ExcuseNodeRequest{Node: node}, out)
}

// Receipts lists what nodes have signed about a tenant's purge.
func (c *Control) Receipts(ctx context.Context, tenant string, filters ...string) ([]*controlv1.PurgeReceipt, error) {
	var all []*controlv1.PurgeReceipt
	err := pages(narrowed(nil, filters), func(q url.Values) (string, error) {
		out := &controlv1.ListReceiptsResponse{}
		err := c.get(ctx, tenantPath(tenant, "/receipts"), q, out)
		all = append(all, out.GetReceipts()...)
		return out.GetNextPageToken(), err
	})
	return all, err
}

// CheckPlacement says what would block or differ in a region; it changes nothing.
func (c *Control) CheckPlacement(ctx context.Context, in *controlv1.CheckPlacementRequest) (*controlv1.CheckPlacementResponse, error) {
	out := &controlv1.CheckPlacementResponse{}
	return out, c.post(ctx, tenantPath(in.GetTenant(), ":checkPlacement"), in, out)
}

// CreateKey issues an API key. With SecretSha256 and KeyId (see [NewSecret])
// the secret never leaves the caller; else it is returned once.
func (c *Control) CreateKey(ctx context.Context, in *controlv1.CreateKeyRequest) (*controlv1.Key, error) {
	out := &controlv1.Key{}
	return out, c.post(ctx, tenantPath(in.GetTenant(), "/keys"), in, out)
}

// Key finds one key of a tenant.
func (c *Control) Key(ctx context.Context, tenant, key string) (*controlv1.Key, error) {
	out := &controlv1.Key{}
	return out, c.get(ctx, tenantPath(tenant, "/keys/"+url.PathEscape(key)), nil, out)
}

// Keys lists a tenant's keys.
func (c *Control) Keys(ctx context.Context, tenant string, filters ...string) ([]*controlv1.Key, error) {
	var all []*controlv1.Key
	err := pages(narrowed(nil, filters), func(q url.Values) (string, error) {
		out := &controlv1.ListKeysResponse{}
		err := c.get(ctx, tenantPath(tenant, "/keys"), q, out)
		all = append(all, out.GetKeys()...)
		return out.GetNextPageToken(), err
	})
	return all, err
}

// SignKey puts the signature of its tenant's signing key onto an API key.
func (c *Control) SignKey(ctx context.Context, in *controlv1.SignKeyRequest) (*controlv1.Key, error) {
	out := &controlv1.Key{}
	return out, c.post(ctx, tenantPath(in.GetTenant(), "/keys/"+url.PathEscape(in.GetKey())+":sign"), in, out)
}

// DeleteKey revokes a key.
func (c *Control) DeleteKey(ctx context.Context, tenant, key, etag string) error {
	return c.conditional(ctx, http.MethodDelete, tenantPath(tenant, "/keys/"+url.PathEscape(key)), etag, nil, nil)
}
