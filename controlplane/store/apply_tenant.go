package store

import (
	"github.com/domicile-io/domicile/policy"
)

func (e *entry) createTenant(p CreateTenant) (any, error) {
	if p.Home == "" {
		return nil, policy.Errorf(policy.RegionRequired, "a tenant needs a home region, and none is chosen for you: send home_region")
	}
	if !policy.ValidID(policy.KindTenant, string(p.ID)) {
		return nil, invalid("id", "must be TN and 32 hex digits")
	}
	if _, err := policy.ParseSlug(string(p.Slug)); err != nil {
		return nil, invalid("slug", "%v", err)
	}
	home, ok, err := load[Region](e.tx, bucketRegions, []byte(p.Home))
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, invalid("home_region", "is not a region of this cluster: GET /v1/regions lists them")
	case home.Lifecycle != policy.Active:
		return nil, invalid("home_region", "is %s: new tenants need an active region", home.Lifecycle)
	}
	entity, err := e.entityFor(p.BillingCountry)
	if err != nil {
		return nil, err
	}
	if err := e.unused(p); err != nil {
		return nil, err
	}
	t := Tenant{ID: p.ID, Slug: p.Slug, Home: p.Home, Boundary: home.Boundary, HomeEpoch: 1,
		BillingCountry: p.BillingCountry, Entity: entity.Code, SuggestedRegion: entity.SuggestedRegion,
		State: policy.TenantActive, CreatedAt: e.stamp.Now, ETag: etagOf(e.revision())}
	doc := policy.DefaultPolicy(t.ID, home.Region, t.Entity)
	if p.Policy != nil {
		doc = *p.Policy
	}
	e.changed = true
	if _, err := e.writePolicy(t, nil, doc); err != nil {
		return nil, err
	}
	e.mark(bucketHomes, path(t.Home, t.ID))
	if err := e.put(bucketSlugs, []byte(t.Slug), t.ID); err != nil {
		return nil, err
	}
	return t, e.put(bucketTenants, []byte(t.ID), t)
}

// unused refuses an id or slug that is taken.
func (e *entry) unused(p CreateTenant) error {
	if _, ok, err := load[policy.TenantID](e.tx, bucketSlugs, []byte(p.Slug)); err != nil {
		return err
	} else if ok { // whose it is stays unsaid: the caller may not be allowed to see that tenant
		return policy.Errorf(policy.AlreadyExists, "the slug is taken, and slugs are never reused: choose another")
	}
	if _, ok, err := load[Tenant](e.tx, bucketTenants, []byte(p.ID)); err != nil {
		return err
	} else if ok {
		return policy.Errorf(policy.AlreadyExists, "the tenant id is taken: send the request again")
	}
	return nil
}

func (e *entry) reserveSlug(p ReserveSlug) (any, error) {
	if _, err := policy.ParseSlug(string(p.Slug)); err != nil {
		return nil, invalid("slug", "%v", err)
	}
	if !policy.ValidID(policy.KindTenant, string(p.Tenant)) {
		return nil, invalid("tenant", "must be TN and 32 hex digits")
	}
	whose, ok, err := load[policy.TenantID](e.tx, bucketSlugs, []byte(p.Slug))
	switch {
	case err != nil:
		return nil, err
	case ok && whose == p.Tenant:
		return nil, nil
	case ok:
		return nil, policy.Errorf(policy.AlreadyExists, "the slug is another tenant's: nothing is left to reserve")
	}
	e.changed = true
	return nil, e.put(bucketSlugs, []byte(p.Slug), p.Tenant)
}

func (e *entry) entityFor(country string) (Entity, error) {
	x, ok, err := load[Entity](e.tx, bucketEntities, []byte(country))
	if err == nil && !ok {
		err = invalid("billing_country", "has no contracting entity: GET /v1/entities lists the countries that have one")
	}
	return x, err
}

func (e *entry) updateTenant(p UpdateTenant) (any, error) {
	t, err := e.living(p.ID)
	if err != nil {
		return nil, err
	}
	if err := match(p.IfMatch, t.ETag); err != nil {
		return nil, err
	}
	entity, err := e.entityFor(p.BillingCountry)
	if err != nil {
		return nil, err
	}
	if t.BillingCountry == p.BillingCountry && t.Entity == entity.Code && t.SuggestedRegion == entity.SuggestedRegion {
		return t, nil
	}
	recontracted := t.Entity != entity.Code
	t.BillingCountry, t.Entity, t.SuggestedRegion = p.BillingCountry, entity.Code, entity.SuggestedRegion
	e.changed, t.ETag = true, etagOf(e.revision())
	if recontracted {
		if err := e.renameEntity(t); err != nil {
			return nil, err
		}
	}
	return t, e.put(bucketTenants, []byte(t.ID), t)
}

// renameEntity carries a new entity into the policy, which names it. A signed
// policy would lose its signature, so its signatories must write it.
func (e *entry) renameEntity(t Tenant) error {
	old, err := need[Policy](e.tx, bucketPolicies, []byte(t.ID), "policy")
	if err != nil {
		return err
	}
	if len(old.Signatures) > 0 {
		return policy.Errorf(policy.ApprovalRequired, "the tenant's policy is signed and names its contracting entity: re-contracting it must become a pending change")
	}
	_, err = e.writePolicy(t, &old, old.ResidencyPolicy)
	return err
}
