package provider_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/policy"
)

const assessed = `
    assessment_hash   = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    assessment_expiry = "2028-06-30T00:00:00Z"
`

// exporting is a tenant that is placed with a recipient in the US.
func exporting(slug string) string {
	return clinic(slug, "ie1", "IE", `  initial_policy = {
    classes    = { call_record = { mode = "sealed" } }
    egress     = { PSEUDONYMISED_EXPORT = { effect = "allow", basis = "PSEUDONYMISED-UC2" } }
    recipients = [{
    region  = "us1"
    purpose = "fraud_prevention"`+assessed+`
    }]
  }
`)
}

func receiver(purpose, more string) string {
	return fmt.Sprintf("\nresource \"domicile_recipient\" \"r\" {\n  tenant = domicile_tenant.t.slug\n  region = \"us1\"\n  purpose = %q\n%s%s}\n", purpose, assessed, more)
}

func TestATenantIsPlacedWithARecipientThatIsTakenOver(t *testing.T) {
	s := open(t)
	s.config(exporting("tf-export"))
	s.applied()
	s.config(exporting("tf-export") + receiver("fraud_prevention", "") + `
resource "domicile_api_key" "r" {
  tenant    = domicile_tenant.t.id
  region    = "us1"
  role      = "recipient"
  recipient = domicile_recipient.r.id
  key_file  = "${path.root}/recipient.key"
}
`)
	out := s.applied()
	if strings.Contains(out, "loosens") {
		t.Errorf("what was there from the start is called looser:\n%s", out)
	}
	id := s.state("domicile_recipient", "r")["id"].(string)
	list, err := s.control().Recipients(context.Background(), "tf-export")
	if err != nil || len(list) != 1 || list[0].GetId() != id {
		t.Fatalf("recipients: %v, %v", list, err)
	}
	other := open(t)
	other.config(exporting("tf-export") + receiver("fraud_prevention", ""))
	for what, ref := range map[string]string{"domicile_tenant.t": "tf-export", "domicile_recipient.r": "tf-export/" + id} {
		if out, code := other.run("import", "-no-color", "-input=false", what, ref); code != 0 {
			t.Fatalf("import %s:\n%s", what, out)
		}
	}
	if out := other.applied(); strings.Contains(out, "replaced") { // the tenant's initial policy becomes known, and does nothing
		t.Errorf("an import replaces:\n%s", out)
	}
	// Taking it away tightens.
	s.config(exporting("tf-export"))
	s.applied()
	if _, err := s.control().Recipient(context.Background(), "tf-export", id); !has(err, policy.NotFound) {
		t.Errorf("the recipient is there: %v", err)
	}
	if got := policyOf(t, s, "tf-export"); !got.GetRecipients().GetDenyAll() {
		t.Errorf("an empty list is not written as deny_all: %v", got)
	}
}

func TestANewRecipientNeedsApprovalAndKeepsItsName(t *testing.T) {
	s := open(t)
	s.config(clinic("tf-receive", "ie1", "IE", ""))
	s.applied()
	s.config(clinic("tf-receive", "ie1", "IE", "") + receiver("analytics", ""))
	out, code := s.plan()
	if code != 2 {
		t.Fatalf("plan (%d):\n%s", code, out)
	}
	s.says(out, "This loosens the tenant's policy", "recipients")
	out, code = s.apply()
	s.refused(out, code, "LOOSENING_NEEDS_APPROVAL")
	first := s.pending(out)
	out, _ = s.apply()
	if again := s.pending(out); again != first {
		t.Errorf("the repetition names %s, the first %s: another recipient was asked for", again, first)
	}
	if s.state("domicile_recipient", "r") != nil {
		t.Error("a recipient that is not there is in the state")
	}
}
