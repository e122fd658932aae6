package store

import (
	"github.com/domicile-io/domicile/internal/plainjson"
	"github.com/domicile-io/domicile/policy"
)

func readStamp(r *plainjson.Reader, s *Stamp) {
	r.Want(`{"stamp":{"now":`)
	s.Now = readTime(r)
	r.Want(`,"actor":`)
	s.Actor = r.String()
	if r.Next(`,"idempotency_key":`) {
		s.IdempotencyKey = r.String()
	}
	if r.Next(`,"request_hash":`) {
		s.RequestHash = r.String()
	}
	r.Want(`}`)
}

func readCreateTenant(r *plainjson.Reader, p *CreateTenant) {
	r.Want(`,"payload":{"id":`)
	p.ID = policy.TenantID(r.String())
	r.Want(`,"slug":`)
	p.Slug = policy.Slug(r.String())
	r.Want(`,"home":`)
	p.Home = policy.RegionID(r.String())
	r.Want(`,"billing_country":`)
	p.BillingCountry = r.String()
	if r.Next(`,"policy":`) {
		readOther(r, &p.Policy)
	}
	r.Want("}}")
}
