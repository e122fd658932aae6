package provider_test

import "testing"

func TestRulesOfAccessShareThePolicyWithItsOtherParts(t *testing.T) {
	s := open(t)
	access := func(minutes string) string {
		return `
resource "domicile_access_policy" "a" {
  tenant       = domicile_tenant.t.id
  max_duration = ` + minutes + ` * 60
}
`
	}
	// Both parts are written in one run, and neither undoes the other.
	s.config(clinic("tf-access", "ie1", "IE", "") + rules("tf-access", "  max_policy_staleness = 30") + access("60"))
	s.applied()
	s.config(clinic("tf-access", "ie1", "IE", "") + rules("tf-access", "  max_policy_staleness = 20") + access("30"))
	s.applied()
	if got := policyOf(t, s, "tf-access"); got.GetAccess().GetMaxDuration() != 1800 || got.GetMaxPolicyStaleness() != 20 || len(got.GetClasses()) != 2 {
		t.Errorf("the policy: %v", got)
	}
	s.config(clinic("tf-access", "ie1", "IE", "") + rules("tf-access", "  max_policy_staleness = 20") + access("120"))
	out, code := s.apply()
	s.refused(out, code, "This loosens the tenant's policy", "access.max_duration", "LOOSENING_NEEDS_APPROVAL")
	if got := policyOf(t, s, "tf-access"); got.GetAccess().GetMaxDuration() != 1800 {
		t.Errorf("the policy: %v", got)
	}
	if out, code := s.run("state", "rm", "domicile_access_policy.a"); code != 0 {
		t.Fatal(out)
	}
	s.config(clinic("tf-access", "ie1", "IE", "") + rules("tf-access", "  max_policy_staleness = 20") + access("30"))
	if out, code := s.run("import", "-no-color", "-input=false", "domicile_access_policy.a", s.state("domicile_tenant", "t")["id"].(string)); code != 0 {
		t.Fatal(out)
	}
	s.empty()
}
