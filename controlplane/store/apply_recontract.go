package store

import (
	"encoding/hex"

	"github.com/domicile-io/domicile/policy"
)

// recontract makes the pending change of a tenant that signs: its present policy
// under another entity. What would be signed is made here, from the state, so
// that no proposer can put anything else into it.
func (e *entry) recontract(p Recontract) (any, error) {
	t, err := e.living(p.Tenant)
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
	if entity.Code == t.Entity {
		return e.updateTenant(UpdateTenant{ID: p.Tenant, IfMatch: p.IfMatch, BillingCountry: p.BillingCountry})
	}
	old, err := need[Policy](e.tx, bucketPolicies, []byte(t.ID), "policy")
	if err != nil {
		return nil, dangling(err)
	}
	if old.Signers == nil {
		return nil, invalid("tenant", "does not sign: its billing country is changed at once")
	}
	t.Entity = entity.Code
	doc := place(t, old.ResidencyPolicy)
	doc.Revision, doc.Signatures = 0, nil
	hash, err := policy.PolicyHash(&doc)
	if err != nil {
		return nil, err
	}
	_, fields := policy.Classify(&old.ResidencyPolicy, &doc)
	return e.addRecontract(p, old, Change{ID: p.ID, Tenant: t.ID, State: ChangePending, Hash: hex.EncodeToString(hash[:]), Fields: fields, Proposed: doc,
		CreatedAt: e.stamp.Now, ETag: etagOf(e.revision()), Base: old.ETag, Sequence: nextSequence(old), BillingCountry: p.BillingCountry})
}

func (e *entry) addRecontract(p Recontract, old Policy, c Change) (any, error) {
	if id, pending, err := load[string](e.tx, bucketPending, path(c.Tenant, c.Hash)); err != nil {
		return nil, err
	} else if pending {
		have, err := need[Change](e.tx, bucketChanges, []byte(id), "change")
		switch {
		case err != nil:
			return nil, dangling(err)
		case have.BillingCountry != c.BillingCountry: // two countries of one entity: the later word counts
			have.BillingCountry = c.BillingCountry
		case have.Base == old.ETag:
			return have, nil
		}
		return e.rebase(have, old, c.Fields)
	}
	if err := e.checkNewChange(AddChange{ID: p.ID, Tenant: c.Tenant, Fields: c.Fields}, old, c.Proposed); err != nil {
		return nil, err
	}
	e.changed = true
	if err := e.put(bucketPending, path(c.Tenant, c.Hash), c.ID); err != nil {
		return nil, err
	}
	return c, e.put(bucketChanges, []byte(c.ID), c)
}

// recontracted is the tenant as a change makes it; as it is when the change is
// of its rules only. The table of entities may have changed since.
func (e *entry) recontracted(t Tenant, c Change) (Tenant, error) {
	if c.BillingCountry == "" {
		return t, nil
	}
	entity, err := e.entityFor(c.BillingCountry)
	if err != nil {
		return t, err
	}
	if entity.Code != c.Proposed.ContractingEntity {
		return t, policy.Errorf(policy.ETagMismatch, "the contracting entity of that billing country has changed since this was proposed: propose it again, look at what it would do now, and sign that")
	}
	t.BillingCountry, t.Entity, t.SuggestedRegion, t.ETag = c.BillingCountry, entity.Code, entity.SuggestedRegion, etagOf(e.revision())
	return t, e.put(bucketTenants, []byte(t.ID), t)
}
