package provider_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

func rules(slug, more string) string {
	return fmt.Sprintf(`
resource "domicile_residency_policy" "p" {
  tenant = domicile_tenant.t.id
  classes = {
    call_record = { mode = "sealed" }
    recording   = { mode = "sealed", retention = 2592000 }
  }
%s
}
`, more)
}

func policyOf(t *testing.T, s *workspace, slug string) *controlv1.PolicyRules {
	t.Helper()
	p, err := s.control().Policy(context.Background(), slug)
	if err != nil {
		t.Fatal(err)
	}
	return p.GetRules()
}

func TestWhatTightensAppliesAndIsImported(t *testing.T) {
	s := open(t)
	config := clinic("tf-tight", "ie1", "IE", "") + rules("tf-tight", "")
	s.config(config)
	out := s.applied()
	if strings.Contains(out, "loosens") {
		t.Errorf("a policy with fewer classes is called looser:\n%s", out)
	}
	if got := policyOf(t, s, "tf-tight"); len(got.GetClasses()) != 2 || got.GetClasses()["recording"].GetRetention() != 2592000 {
		t.Errorf("the policy: %v", got)
	}
	other := open(t)
	other.config(config)
	for what, id := range map[string]string{"domicile_tenant.t": "tf-tight", "domicile_residency_policy.p": s.state("domicile_tenant", "t")["id"].(string)} {
		if out, code := other.run("import", "-no-color", "-input=false", what, id); code != 0 {
			t.Fatalf("import %s:\n%s", what, out)
		}
	}
	other.empty()
	out, code := s.run(append([]string{"destroy", "-auto-approve", "-target=domicile_residency_policy.p"}, quiet...)...)
	if code != 0 {
		t.Fatal(out)
	}
	s.says(out, "The policy stays in force")
	if got := policyOf(t, s, "tf-tight"); len(got.GetClasses()) != 2 {
		t.Errorf("forgetting the policy changed it: %v", got)
	}
}

func TestWhatLoosensEndsWithThePendingChange(t *testing.T) {
	s := open(t)
	s.config(clinic("tf-loose", "ie1", "IE", "") + rules("tf-loose", ""))
	s.applied()
	before := policyOf(t, s, "tf-loose")
	state := fmt.Sprint(s.state("domicile_residency_policy", "p"))

	s.config(clinic("tf-loose", "ie1", "IE", "") + rules("tf-loose", `  egress = { CUSTOMER_WEBHOOK = { effect = "allow", basis = "NONE" } }`))
	out, code := s.plan()
	if code != 2 {
		t.Fatalf("plan (%d):\n%s", code, out)
	}
	s.says(out, "This loosens the tenant's policy", "egress.CUSTOMER_WEBHOOK", "→ allow")

	out, code = s.apply()
	s.refused(out, code, "LOOSENING_NEEDS_APPROVAL", "domicile changes approve CH", "run `terraform apply` again")
	first := s.pending(out)
	if got := policyOf(t, s, "tf-loose"); !proto.Equal(got, before) {
		t.Errorf("the policy changed: %v", got)
	}
	if now := fmt.Sprint(s.state("domicile_residency_policy", "p")); now != state {
		t.Errorf("the state changed:\n%s\n%s", state, now)
	}
	out, code = s.apply()
	s.refused(out, code, "LOOSENING_NEEDS_APPROVAL")
	if again := s.pending(out); again != first {
		t.Errorf("the repetition named %s, the first %s", again, first)
	}

	// Two people sign; the next plan finds it done.
	keys := s.signs("tf-loose")
	out, code = s.apply()
	s.refused(out, code, "LOOSENING_NEEDS_APPROVAL") // enrolling changed what is signed
	change := s.pending(out)
	for _, key := range keys {
		s.domicile("", "changes", "approve", change, "--key", key, "--yes")
	}
	s.empty()
	if got := policyOf(t, s, "tf-loose").GetEgress()["CUSTOMER_WEBHOOK"].GetEffect(); got != "allow" {
		t.Errorf("after two signatures: %s", got)
	}

	// A tenant that signs signs what tightens too, and the plan says so.
	s.config(clinic("tf-loose", "ie1", "IE", "") + rules("tf-loose", ""))
	out, _ = s.plan()
	s.says(out, "The tenant signs its policies")
	out, code = s.apply()
	s.refused(out, code, "APPROVAL_REQUIRED", "domicile changes approve CH")
}

func TestDriftOfAPolicyIsShownAndPutBack(t *testing.T) {
	s := open(t)
	s.config(clinic("tf-drift", "ie1", "IE", "") + rules("tf-drift", ""))
	s.applied()
	cp := s.control()
	p, err := cp.Policy(context.Background(), "tf-drift")
	if err != nil {
		t.Fatal(err)
	}
	p.Rules.MaxPolicyStaleness = 30 // tighter, so it applies at once
	if _, err := cp.PutPolicy(context.Background(), "tf-drift", p.Rules, p.Etag); err != nil {
		t.Fatal(err)
	}
	out, code := s.plan()
	if code != 2 {
		t.Fatalf("plan (%d):\n%s", code, out)
	}
	s.says(out, "max_policy_staleness = 30 -> 60", "This loosens the tenant's policy")

	// Written without looking: what the plan was made of is not there any more.
	s.config(clinic("tf-drift", "ie1", "IE", "") + rules("tf-drift", "  max_policy_staleness = 20"))
	out, code = s.apply("-refresh=false")
	s.refused(out, code, "The policy is not what this plan was made of", "max_policy_staleness")
	if got := policyOf(t, s, "tf-drift").GetMaxPolicyStaleness(); got != 30 {
		t.Errorf("it was written over: %d", got)
	}
	s.applied()
}

func TestAPolicyThatIsNotBuiltIsRefusedInThePlan(t *testing.T) {
	s := open(t)
	s.config(clinic("tf-notyet", "ie1", "IE", ""))
	s.applied()
	s.config(clinic("tf-notyet", "ie1", "IE", "") + rules("tf-notyet", `  on_region_unavailable = "failover_in_boundary"`))
	out, code := s.plan()
	s.refused(out, code, "The policy cannot be like this", "NOT_YET")
}

func TestINV21_ARecordingThatOutlivesItsCallIsRefusedInThePlan(t *testing.T) {
	s := open(t)
	s.config(clinic("tf-outlives", "ie1", "IE", "") + rules("tf-outlives", ""))
	s.applied()
	s.config(clinic("tf-outlives", "ie1", "IE", "") + strings.Replace(rules("tf-outlives", ""), `call_record = { mode = "sealed" }`, `call_record = { mode = "sealed", retention = 3600 }`, 1))
	out, code := s.plan()
	s.refused(out, code, "The policy cannot be like this", "classes.recording.retention", "classes.call_record.retention", "write 1 to 3600 seconds")
}
