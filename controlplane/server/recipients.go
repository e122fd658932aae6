package server

import (
	"context"
	"slices"

	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

type recipientService struct {
	controlv1.UnimplementedRecipientServiceServer
	*core
}

// ListRecipients implements controlv1.RecipientServiceServer.
func (s recipientService) ListRecipients(ctx context.Context, req *controlv1.ListRecipientsRequest) (*controlv1.ListRecipientsResponse, error) {
	_, p, err := s.policyOf(ctx, req.GetTenant())
	if err != nil {
		return nil, err
	}
	out := &controlv1.ListRecipientsResponse{}
	for i := range p.Recipients.List {
		out.Recipients = append(out.Recipients, control.RecipientOf(&p.Recipients.List[i]))
	}
	out.Recipients, out.NextPageToken, err = cut(out.Recipients, (*controlv1.Recipient).GetId, req)
	return out, err
}

// GetRecipient implements controlv1.RecipientServiceServer. Its etag is the
// policy's, because a recipient is part of it.
func (s recipientService) GetRecipient(ctx context.Context, req *controlv1.GetRecipientRequest) (*controlv1.Recipient, error) {
	_, p, err := s.policyOf(ctx, req.GetTenant())
	if err != nil {
		return nil, err
	}
	r, err := recipientIn(p, req.GetRecipient())
	if err != nil {
		return nil, err
	}
	return control.RecipientOf(&r), tagged(ctx, p.ETag)
}

// PutRecipient implements controlv1.RecipientServiceServer.
func (s recipientService) PutRecipient(ctx context.Context, req *controlv1.PutRecipientRequest) (*controlv1.Recipient, error) {
	id := policy.RecipientID(req.GetRecipient())
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		t, err := s.tenant(ctx, req.GetTenant())
		if err != nil {
			return nil, err
		}
		if req.GetSpec().GetId() != "" && req.GetSpec().GetId() != string(id) {
			return nil, fieldError("spec.id", "must be the recipient of the path, or left out")
		}
		tag, err := ifMatch(ctx)
		if err != nil {
			return nil, err
		}
		return s.planPolicy(t.ID, tag, func(now policy.ResidencyPolicy) (policy.ResidencyPolicy, error) {
			return s.withRecipient(now, id, req.GetSpec())
		})
	})
	if err != nil {
		return nil, err
	}
	p, err := applied(res)
	if err != nil {
		return nil, err
	}
	r, err := recipientIn(p, string(id))
	if err != nil {
		return nil, err
	}
	return control.RecipientOf(&r), tagged(ctx, p.ETag)
}

func (s recipientService) withRecipient(p policy.ResidencyPolicy, id policy.RecipientID, spec *controlv1.Recipient) (policy.ResidencyPolicy, error) {
	r := control.RecipientFrom(spec)
	r.ID = id
	list := slices.Clone(p.Recipients.List)
	if i := slices.IndexFunc(list, func(x policy.Recipient) bool { return x.ID == id }); i >= 0 {
		list[i] = r
	} else {
		list = append(list, r)
	}
	p.Recipients, p.Signatures = policy.Recipients{List: list}, nil
	if bad := p.Validate(s.store.Topology()); len(bad) > 0 {
		return p, fieldErrors(bad)
	}
	return p, nil
}

// CreateRecipientKey implements controlv1.RecipientServiceServer. The key
// belongs to the recipient's region, not to the tenant's home.
func (s recipientService) CreateRecipientKey(ctx context.Context, req *controlv1.CreateRecipientKeyRequest) (*controlv1.RecipientKey, error) {
	k, whole, err := s.issue(ctx, req, issued{secretSHA256: req.GetSecretSha256(), keyID: req.GetKeyId()}, func() (policy.APIKey, error) {
		t, p, err := s.policyOf(ctx, req.GetTenant())
		if err != nil {
			return policy.APIKey{}, err
		}
		r, err := recipientIn(p, req.GetRecipient())
		if err != nil {
			return policy.APIKey{}, err
		}
		return policy.APIKey{Tenant: t.ID, Region: r.Region, Role: policy.RoleRecipient, Recipient: r.ID}, nil
	})
	if err != nil {
		return nil, err
	}
	return &controlv1.RecipientKey{Id: string(k.ID), Recipient: string(k.Recipient), Region: string(k.Region), Secret: whole,
		Distributed: s.hub.waitAcked(ctx, k.Region, k.Revision, distributionPatience)}, tagged(ctx, k.ETag)
}

func (c *core) policyOf(ctx context.Context, tenant string) (store.Tenant, store.Policy, error) {
	t, err := c.tenant(ctx, tenant)
	if err != nil {
		return t, store.Policy{}, err
	}
	p, err := c.store.Policy(t.ID)
	return t, p, err
}

func recipientIn(p store.Policy, id string) (policy.Recipient, error) {
	for _, r := range p.Recipients.List {
		if string(r.ID) == id {
			return r, nil
		}
	}
	return policy.Recipient{}, notFound("recipient")
}
