package client

import (
	"context"
	"net/http"
	"net/url"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// Policy reads a tenant's policy.
func (c *Control) Policy(ctx context.Context, tenant string) (*controlv1.Policy, error) {
	out := &controlv1.Policy{}
	return out, c.get(ctx, tenantPath(tenant, "/policy"), nil, out)
}

// PutPolicy replaces a tenant's rules. What loosens them becomes a pending
// change: LOOSENING_NEEDS_APPROVAL, with its id in metadata "change".
func (c *Control) PutPolicy(ctx context.Context, tenant string, rules *controlv1.PolicyRules, etag string) (*controlv1.Policy, error) {
	out := &controlv1.Policy{}
	return out, c.conditional(ctx, http.MethodPut, tenantPath(tenant, "/policy"), etag, rules, out)
}

// Explain decides a made-up request and gives every reason.
func (c *Control) Explain(ctx context.Context, in *controlv1.ExplainDecisionRequest) (*controlv1.ExplainDecisionResponse, error) {
	out := &controlv1.ExplainDecisionResponse{}
	return out, c.post(ctx, "/v1/decisions:explain", in, out)
}

// Changes lists pending changes, or those of one state.
func (c *Control) Changes(ctx context.Context, state string, filters ...string) ([]*controlv1.Change, error) {
	query := url.Values{}
	if state != "" {
		query.Set("state", state)
	}
	var all []*controlv1.Change
	err := pages(narrowed(query, filters), func(q url.Values) (string, error) {
		out := &controlv1.ListChangesResponse{}
		err := c.get(ctx, "/v1/changes", q, out)
		all = append(all, out.GetChanges()...)
		return out.GetNextPageToken(), err
	})
	return all, err
}

// Change finds one.
func (c *Control) Change(ctx context.Context, id string) (*controlv1.Change, error) {
	out := &controlv1.Change{}
	return out, c.get(ctx, "/v1/changes/"+url.PathEscape(id), nil, out)
}

// ApproveChange adds signatures to a pending change.
func (c *Control) ApproveChange(ctx context.Context, in *controlv1.ApproveChangeRequest) (*controlv1.Change, error) {
	out := &controlv1.Change{}
	return out, c.post(ctx, "/v1/changes/"+url.PathEscape(in.GetChange())+":approve", in, out)
}

// CreateSigningKey enrols a certified key.
func (c *Control) CreateSigningKey(ctx context.Context, in *controlv1.CreateSigningKeyRequest) (*controlv1.SigningKey, error) {
	out := &controlv1.SigningKey{}
	return out, c.post(ctx, tenantPath(in.GetTenant(), "/signing_keys"), in, out)
}

// SigningKeys lists a tenant's enrolled keys, with the sequence of the policy
// in force and the cluster's id.
func (c *Control) SigningKeys(ctx context.Context, tenant string, filters ...string) (*controlv1.ListSigningKeysResponse, error) {
	var all *controlv1.ListSigningKeysResponse
	err := pages(narrowed(nil, filters), func(q url.Values) (string, error) {
		out := &controlv1.ListSigningKeysResponse{}
		if err := c.get(ctx, tenantPath(tenant, "/signing_keys"), q, out); err != nil {
			return "", err
		}
		next := out.GetNextPageToken()
		out.Keys, out.NextPageToken = append(all.GetKeys(), out.GetKeys()...), ""
		all = out
		return next, nil
	})
	return all, err
}

// SignedPolicy reads a tenant's policy in force with all that proves it: verify it
// against a pinned root, and believe nothing else of it.
func (c *Control) SignedPolicy(ctx context.Context, tenant string) (*controlv1.SignedPolicy, error) {
	out := &controlv1.SignedPolicy{}
	return out, c.get(ctx, tenantPath(tenant, "/signed_policy"), nil, out)
}

// WithdrawSigningKey ends an approver's key without a successor, for good.
func (c *Control) WithdrawSigningKey(ctx context.Context, in *controlv1.WithdrawSigningKeyRequest) (*controlv1.SigningKey, error) {
	out := &controlv1.SigningKey{}
	return out, c.post(ctx, tenantPath(in.GetTenant(), "/signing_keys/"+url.PathEscape(in.GetSigningKey())+":withdraw"), in, out)
}

// RejectChange ends a pending change.
func (c *Control) RejectChange(ctx context.Context, id string) (*controlv1.Change, error) {
	out := &controlv1.Change{}
	return out, c.post(ctx, "/v1/changes/"+url.PathEscape(id)+":reject", &controlv1.RejectChangeRequest{Change: id}, out)
}

// Recipients lists who may receive a tenant's exports.
func (c *Control) Recipients(ctx context.Context, tenant string, filters ...string) ([]*controlv1.Recipient, error) {
	out := &controlv1.ListRecipientsResponse{}
	err := c.get(ctx, tenantPath(tenant, "/recipients"), narrowed(nil, filters), out)
	return out.GetRecipients(), err
}

// Recipient finds one.
func (c *Control) Recipient(ctx context.Context, tenant, id string) (*controlv1.Recipient, error) {
	out := &controlv1.Recipient{}
	return out, c.get(ctx, tenantPath(tenant, "/recipients/"+url.PathEscape(id)), nil, out)
}

// PutRecipient declares one. It loosens the policy: LOOSENING_NEEDS_APPROVAL.
func (c *Control) PutRecipient(ctx context.Context, tenant string, r *controlv1.Recipient, etag string) (*controlv1.Recipient, error) {
	out := &controlv1.Recipient{}
	return out, c.conditional(ctx, http.MethodPut, tenantPath(tenant, "/recipients/"+url.PathEscape(r.GetId())), etag, r, out)
}

// CreateRecipientKey issues a key of role recipient at the recipient's region.
func (c *Control) CreateRecipientKey(ctx context.Context, in *controlv1.CreateRecipientKeyRequest) (*controlv1.RecipientKey, error) {
	out := &controlv1.RecipientKey{}
	return out, c.post(ctx, tenantPath(in.GetTenant(), "/recipients/"+url.PathEscape(in.GetRecipient())+"/keys"), in, out)
}
