package server

import (
	"context"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

type tenantService struct {
	controlv1.UnimplementedTenantServiceServer
	*core
}

// CreateTenant implements controlv1.TenantServiceServer.
func (s tenantService) CreateTenant(ctx context.Context, req *controlv1.CreateTenantRequest) (*controlv1.Tenant, error) {
	res, err := s.write(ctx, req, func() (store.Payload, error) { return s.planTenant(req) })
	if err != nil {
		return nil, err
	}
	if err := created(ctx); err != nil {
		return nil, err
	}
	return s.written(ctx, res)
}

func (s tenantService) planTenant(req *controlv1.CreateTenantRequest) (store.Payload, error) {
	slug, err := policy.ParseSlug(req.GetSlug())
	if err != nil {
		return nil, fieldError("slug", err.Error())
	}
	id, err := draw(policy.KindTenant)
	if err != nil {
		return nil, err
	}
	plan := store.CreateTenant{ID: policy.TenantID(id), Slug: slug, Home: policy.RegionID(req.GetHomeRegion()), BillingCountry: req.GetBillingCountry()}
	home, known := s.store.Topology().Region(plan.Home)
	if !known {
		return nil, fieldError("home_region", "is no region of this cluster; list them with GET /v1/regions")
	}
	if home.Lifecycle != policy.Active {
		return nil, fieldError("home_region", "is "+home.Lifecycle.String()+"; a new tenant needs an active region")
	}
	entity, err := s.store.EntityFor(plan.BillingCountry)
	if isReason(err, policy.NotFound) {
		return nil, fieldError("billing_country", "has no contracting entity; list them with GET /v1/entities")
	}
	if err != nil || req.GetPolicy() == nil {
		return plan, err
	}
	if err := nameRecipients(req.GetPolicy()); err != nil {
		return nil, err
	}
	p, err := s.ruled(policy.DefaultPolicy(plan.ID, home, entity.Code), req.GetPolicy(), "policy")
	plan.Policy = &p
	return plan, err
}

// nameRecipients draws ids for the recipients of a new tenant that have none.
// A later policy must name them, so that a repeat of it is the same policy.
func nameRecipients(rules *controlv1.PolicyRules) error {
	for _, r := range rules.GetRecipients().GetList() {
		if r.GetId() != "" {
			continue
		}
		id, err := draw(policy.KindRecipient)
		if err != nil {
			return err
		}
		r.Id = id
	}
	return nil
}

// ruled gives base with its rules replaced and checked.
func (c *core) ruled(base policy.ResidencyPolicy, rules *controlv1.PolicyRules, prefix string) (policy.ResidencyPolicy, error) {
	p, err := control.ApplyRules(base, rules, prefix)
	if err != nil {
		return p, err
	}
	if list := append(p.Validate(c.store.Topology()), p.Outlasting(&base)...); len(list) > 0 {
		for i := range list {
			list[i].Field = prefix + "." + list[i].Field
		}
		return p, fieldErrors(list)
	}
	if e := p.NotYet(); e != nil {
		return p, e
	}
	return p, c.offered(&base, &p)
}

// offered refuses a policy that newly opens a class beyond home whose feature
// the home region does not have.
func (c *core) offered(before, after *policy.ResidencyPolicy) error {
	for _, f := range after.Opens() {
		if slices.Contains(before.Opens(), f) {
			continue
		}
		stage, err := c.store.Feature(after.HomeRegion, string(f))
		if err != nil && !isReason(err, policy.NotFound) {
			return err
		}
		if policy.Stage(stage.Stage).Absent() {
			return policy.Errorf(policy.FeatureNotInRegion, "region %s does not have %s, so nothing of it can be processed or viewed beyond home; leave its classes sealed", after.HomeRegion, f).
				With("feature", string(f)).With("region", string(after.HomeRegion))
		}
	}
	return nil
}

// GetTenant implements controlv1.TenantServiceServer.
func (s tenantService) GetTenant(ctx context.Context, req *controlv1.GetTenantRequest) (*controlv1.Tenant, error) {
	t, err := s.tenant(ctx, req.GetTenant())
	if err != nil {
		return nil, err
	}
	return tenantOf(t), tagged(ctx, t.ETag)
}

// ListTenants implements controlv1.TenantServiceServer.
func (s tenantService) ListTenants(ctx context.Context, req *controlv1.ListTenantsRequest) (*controlv1.ListTenantsResponse, error) {
	after, limit, err := page(req.GetPageToken(), req.GetPageSize(), policy.KindTenant)
	if err != nil {
		return nil, err
	}
	who := callOf(ctx)
	filter := store.TenantFilter{Home: policy.RegionID(req.GetHomeRegion()), ID: who.tenant}
	if who.region != "" {
		if filter.Home != "" && filter.Home != who.region {
			return &controlv1.ListTenantsResponse{}, nil
		}
		filter.Home = who.region
	}
	list, err := s.store.Tenants(policy.TenantID(after), limit+1, filter)
	if err != nil {
		return nil, err
	}
	out := &controlv1.ListTenantsResponse{}
	if len(list) > limit {
		list = list[:limit]
		out.NextPageToken = pageToken(string(list[limit-1].ID))
	}
	for _, t := range list {
		out.Tenants = append(out.Tenants, tenantOf(t))
	}
	return out, nil
}

// UpdateTenant implements controlv1.TenantServiceServer. A home region in the
// request was refused before (see rule).
func (s tenantService) UpdateTenant(ctx context.Context, req *controlv1.UpdateTenantRequest) (*controlv1.Tenant, error) {
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		t, err := s.tenant(ctx, req.GetTenant())
		if err != nil {
			return nil, err
		}
		tag, err := ifMatch(ctx)
		if err != nil {
			return nil, err
		}
		if req.BillingCountry == nil {
			return nil, fieldError("billing_country", "is required: it is the only field that an update changes")
		}
		if !t.Signed {
			return store.UpdateTenant{ID: t.ID, IfMatch: tag, BillingCountry: req.GetBillingCountry()}, nil
		}
		id, err := draw(policy.KindChange) // its policy names its entity, and only its signatories change that
		return store.Recontract{ID: id, Tenant: t.ID, IfMatch: tag, BillingCountry: req.GetBillingCountry()}, err
	})
	if err != nil {
		return nil, err
	}
	if err := waits(res); err != nil {
		return nil, err
	}
	return s.written(ctx, res)
}

// waits is the refusal that names the pending change of a tenant that signs.
func waits(res store.Result) error {
	if res.Kind != store.KindRecontract {
		return nil
	}
	var ch store.Change
	if err := res.Decode(&ch); err != nil {
		return err
	}
	if ch.Hash == "" { // the entity stays: it was changed at once, and the body is the tenant
		return nil
	}
	return policy.Errorf(policy.LooseningNeedsApproval,
		"the tenant signs its policy, which names its contracting entity, so re-contracting it waits for its signature and an approver's as %s; look at it and sign with domicile changes approve %s", ch.ID, ch.ID).With("change", ch.ID)
}

func (s tenantService) written(ctx context.Context, res store.Result) (*controlv1.Tenant, error) {
	var t store.Tenant
	if err := res.Decode(&t); err != nil {
		return nil, err
	}
	return tenantOf(t), tagged(ctx, t.ETag)
}

func tenantOf(t store.Tenant) *controlv1.Tenant {
	assurance := "operator"
	if t.Signed {
		assurance = "signed"
	}
	operation := ""
	if t.Purge != nil {
		operation = t.Purge.ID
	}
	return &controlv1.Tenant{
		Id: string(t.ID), Slug: string(t.Slug), HomeRegion: string(t.Home), Boundary: string(t.Boundary), HomeEpoch: uint32(t.HomeEpoch),
		BillingCountry: t.BillingCountry, ContractingEntity: t.Entity, SuggestedRegion: string(t.SuggestedRegion),
		State: string(t.State), Etag: t.ETag, CreateTime: timestamppb.New(t.CreatedAt),
		Assurance: assurance, Operation: operation,
	}
}
