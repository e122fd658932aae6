package store

import (
	"github.com/domicile-io/domicile/internal/plainjson"
	"github.com/domicile-io/domicile/policy"
)

func plainTenant(t *Tenant) (b []byte, ok bool) {
	b = plainjson.AppendField(make([]byte, 0, 512), `{"id":`, t.ID)
	b = plainjson.AppendField(b, `,"slug":`, t.Slug)
	b = plainjson.AppendField(b, `,"home":`, t.Home)
	b = plainjson.AppendField(b, `,"boundary":`, t.Boundary)
	b = plainjson.AppendUint(b, `,"home_epoch":`, t.HomeEpoch)
	b = plainjson.AppendField(b, `,"billing_country":`, t.BillingCountry)
	b = plainjson.AppendField(b, `,"entity":`, t.Entity)
	b = plainjson.AppendField(b, `,"suggested_region":`, t.SuggestedRegion)
	b = plainjson.AppendField(b, `,"state":`, t.State)
	if b, ok = appendTime(b, `,"created_at":`, t.CreatedAt); !ok {
		return nil, false
	}
	if t.Signed {
		b = append(b, `,"signed":true`...)
	}
	if t.Purge != nil {
		if b, ok = appendOther(append(b, `,"purge":`...), t.Purge); !ok {
			return nil, false
		}
	}
	return append(plainjson.AppendField(b, `,"etag":`, t.ETag), '}'), true
}

func readTenant(r *plainjson.Reader, t *Tenant) {
	r.Want(`{"id":`)
	t.ID = policy.TenantID(r.String())
	r.Want(`,"slug":`)
	t.Slug = policy.Slug(r.String())
	r.Want(`,"home":`)
	t.Home = policy.RegionID(r.String())
	r.Want(`,"boundary":`)
	t.Boundary = policy.Boundary(r.String())
	r.Want(`,"home_epoch":`)
	t.HomeEpoch = r.Uint()
	r.Want(`,"billing_country":`)
	t.BillingCountry = r.String()
	r.Want(`,"entity":`)
	t.Entity = r.String()
	r.Want(`,"suggested_region":`)
	t.SuggestedRegion = policy.RegionID(r.String())
	r.Want(`,"state":`)
	t.State = policy.TenantState(r.String())
	r.Want(`,"created_at":`)
	t.CreatedAt = readTime(r)
	t.Signed = r.Next(`,"signed":true`)
	if r.Next(`,"purge":`) {
		readOther(r, &t.Purge)
	}
	r.Want(`,"etag":`)
	t.ETag = r.String()
	r.Want("}")
}

func readToken(r *plainjson.Reader, t *Token) {
	r.Want(`{"sha256":`)
	t.SHA256 = r.String()
	r.Want(`,"principal":`)
	t.Principal = r.String()
	r.Want(`,"role":`)
	t.Role = r.String()
	if r.Next(`,"tenant":`) {
		t.Tenant = policy.TenantID(r.String())
	}
	if r.Next(`,"region":`) {
		t.Region = policy.RegionID(r.String())
	}
	t.ReadOnly = r.Next(`,"read_only":true`)
	if r.Next(`,"expires_at":`) {
		at := readTime(r)
		t.ExpiresAt = &at
	}
	if r.Next(`,"created_at":`) {
		t.CreatedAt = readTime(r)
	}
	t.Disabled = r.Next(`,"disabled":true`)
	if r.Next(`,"etag":`) {
		t.ETag = r.String()
	}
	r.Want("}")
}

func plainLog(l *logRecord) ([]byte, bool) {
	b := append(make([]byte, 0, 32+96*len(l.Touches)), '{')
	if l.First != 0 {
		b = plainjson.AppendUint(b, `"first":`, l.First)
		if len(l.Touches) > 0 || l.Resync {
			b = append(b, ',')
		}
	}
	for i, t := range l.Touches {
		if i == 0 {
			b = append(b, `"touches":[`...)
		} else {
			b = append(b, ',')
		}
		b = plainjson.AppendField(b, `{"region":`, t.Region)
		b = append(plainjson.AppendField(b, `,"row":`, t.Row), '}')
	}
	if len(l.Touches) > 0 {
		b = append(b, ']')
	}
	if l.Resync {
		if len(l.Touches) > 0 {
			b = append(b, ',')
		}
		b = append(b, `"resync":true`...)
	}
	return append(b, '}'), true
}
