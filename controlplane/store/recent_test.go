package store

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/domicile-io/domicile/policy"
)

// Two voters apply the same changes, and one of them has just started each time, so
// that it remembers nothing: results and states are the same.
func TestWhatIsRememberedDecidesNothingElse(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		remembers, forgets := seeded(t), seeded(t)
		apply := func(p Payload) {
			a := remembers.apply(p)
			forgets.current.Load().recent = newRecent()
			b := forgets.apply(p)
			if (a.Err == nil) != (b.Err == nil) || a.Err != nil && a.Err.Reason != b.Err.Reason || a.Revision != b.Revision || string(a.Body) != string(b.Body) {
				rt.Fatalf("%T: %+v and %+v", p, a, b)
			}
		}
		// What is remembered is shown as the rows would be.
		look := func(id policy.TenantID) {
			forgets.current.Load().recent = newRecent()
			a, b := got(remembers.Tenant(id))(t), got(forgets.Tenant(id))(t)
			p, q := got(remembers.Policy(id))(t), got(forgets.Policy(id))(t)
			if !reflect.DeepEqual(a, b) || !reflect.DeepEqual(p, q) {
				rt.Fatal(cmp.Diff(a, b), cmp.Diff(p, q))
			}
		}
		for n := range 3 {
			apply(createTenant(n, "ie1"))
		}
		for range rapid.IntRange(1, 30).Draw(rt, "changes") {
			id := id[policy.TenantID](policy.KindTenant, rapid.IntRange(0, 2).Draw(rt, "tenant"))
			tenant := got(remembers.Tenant(id))(t)
			now, err := remembers.Policy(id)
			if err != nil && !isReason(err, policy.NotFound) {
				t.Fatal(err)
			}
			put := PutPolicy{Tenant: id, IfMatch: now.ETag, Policy: kept(now, policy.Seconds(rapid.IntRange(1, 1000).Draw(rt, "seconds")))}
			switch rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0:
				apply(UpdateTenant{ID: id, IfMatch: tenant.ETag, BillingCountry: rapid.SampledFrom([]string{"IE", "US", "AU"}).Draw(rt, "country")})
			case 1:
				apply(SetTenantState{ID: id, State: rapid.SampledFrom([]policy.TenantState{policy.TenantSuspended, policy.TenantActive}).Draw(rt, "state")})
			case 2:
				put.Policy.Recipients, put.Policy.Egress = policy.Recipients{DenyAll: true, List: []policy.Recipient{}}, map[policy.EgressClass]policy.EgressRule{}
				apply(put)
			case 3:
				put.IfMatch = "1"
				apply(put)
			case 4:
				apply(batchOf(t, remembers.stamp(), put, createTenant(0, "ie1")))
			default:
				apply(put)
			}
			look(id)
		}
		if contents(t, remembers.Store) != contents(t, forgets.Store) {
			rt.Fatal("the states differ")
		}
	})
}
