package server

import (
	"strings"
	"testing"

	"github.com/domicile-io/domicile/policy"
)

// A node below the level that a tenant's policy demands takes none of its
// records in and shows none, and says why; other tenants are served.
func TestATenantThatDemandsMoreIsToldWhy(t *testing.T) {
	r := start(t)
	changed := rows()
	for i, row := range changed {
		if row.Tenant != nil && row.Tenant.ID == tenantID("a") {
			p := *row.Tenant.Policy
			p.MinAttestation = policy.OperatorSigned
			tn := *row.Tenant
			tn.Policy = &p
			changed[i] = policy.Row{Format: row.Format, Tenant: &tn}.For(policy.Declared)
		}
	}
	r.bundle.view.Store(newView(t, 2, changed))
	body := `{"native_id":"n1","from":"+35319100100","to":"+35319100099","status":"completed","start_time":"2026-03-16T10:00:00Z"}`
	for _, ask := range [][3]string{{"POST", "/v1/calls", body}, {"POST", "/v1/calls:batch", body}, {"GET", "/v1/calls", ""}, {"POST", "/v1/feeds/kamailio/sbc1/cdr", `{}`}} {
		p := r.refusal(policy.PermissionDenied, ask[0], ask[1], key("ie1", "a", policy.RoleAdmin), ask[2])
		if p.Metadata["rules"] != policy.RuleAttestation.String() || !strings.Contains(p.Detail, "attested") {
			t.Errorf("%s %s: %+v", ask[0], ask[1], p)
		}
	}
	r.refusal(policy.Unauthenticated, "POST", "/v1/calls", "sk_ie1_"+strings.Repeat("9", 32)+"_"+strings.Repeat("9", 64), body)
	if status, raw := r.post("/v1/calls", key("ie1", "b", policy.RoleAdmin), body); status != 201 {
		t.Errorf("another tenant: %d %s", status, raw)
	}
}
