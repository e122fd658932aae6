package provider_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func clinic(slug, region, country, more string) string {
	return fmt.Sprintf("resource \"domicile_tenant\" \"t\" {\n  slug = %q\n  home_region = %q\n  billing_country = %q\n%s\n}\n", slug, region, country, more)
}

func TestATenantIsPlacedReadImportedChangedAndEnded(t *testing.T) {
	s := open(t)
	s.config(clinic("tf-clinic", "ie1", "IE", "") + `
data "domicile_tenant" "t" { tenant = domicile_tenant.t.slug }
output "boundary" { value = data.domicile_tenant.t.boundary }
`)
	out, code := s.plan()
	if code != 2 {
		t.Fatalf("the first plan (%d):\n%s", code, out)
	}
	out = s.applied()
	s.says(out, `boundary = "eu"`)
	there, err := s.control().Tenant(context.Background(), "tf-clinic")
	if err != nil || there.GetHomeRegion() != "ie1" || there.GetId() != s.state("domicile_tenant", "t")["id"] {
		t.Fatalf("the control plane has %v, %v", there, err)
	}

	// By slug, into a state that knows nothing.
	other := open(t)
	other.config(clinic("tf-clinic", "ie1", "IE", ""))
	if out, code := other.run("import", "-no-color", "-input=false", "domicile_tenant.t", "tf-clinic"); code != 0 {
		t.Fatalf("import:\n%s", out)
	}
	other.empty()

	s.config(clinic("tf-clinic", "ie1", "DE", "  suspended = true"))
	out = s.applied()
	s.says(out, "1 changed, 0 destroyed")
	if there, _ = s.control().Tenant(context.Background(), "tf-clinic"); there.GetBillingCountry() != "DE" || there.GetState() != "suspended" {
		t.Errorf("after the change: %v", there)
	}

	out, code = s.run(append([]string{"destroy", "-auto-approve"}, quiet...)...)
	s.refused(out, code, "Deletion protection is on", "deletion_protection = false")
	s.config(clinic("tf-clinic", "ie1", "DE", "  deletion_protection = false"))
	s.applied()
	out, code = s.run(append([]string{"destroy", "-auto-approve"}, quiet...)...)
	s.refused(out, code, "its data is in ie1 and is not destroyed", "purge_on_destroy = true")
	s.config(clinic("tf-clinic", "ie1", "DE", "  deletion_protection = false\n  purge_on_destroy = true"))
	s.applied()
	s.destroyed()
	if there, _ = s.control().Tenant(context.Background(), "tf-clinic"); there.GetState() != "deleted" {
		t.Errorf("after destroy: %v", there)
	}
	s.config(clinic("tf-clinic", "ie1", "DE", ""))
	out, code = s.apply()
	s.refused(out, code, "slugs are never reused")
}

// A region is required, and nothing else than the configuration may give one.
func TestNoRegionIsAssumed(t *testing.T) {
	s := open(t)
	s.env = append(s.env, "DOMICILE_REGION=ie1", "AWS_REGION=eu-west-1")
	for what, config := range map[string]string{
		"tenant": `resource "domicile_tenant" "t" {
  slug = "tf-nowhere"
  billing_country = "IE"
}`,
		"key": `resource "domicile_api_key" "k" {
  tenant = "tf-nowhere"
  role = "admin"
}`,
		"secret": `ephemeral "domicile_api_key_secret" "s" {}`,
	} {
		s.config(config)
		out, code := s.plan()
		s.refused(out, code, "Missing required argument", "region\" is required")
		if t.Failed() {
			t.Fatalf("of %s", what)
		}
	}
	s.config(clinic("tf-nowhere", "Dublin", "IE", ""))
	out, code := s.plan()
	s.refused(out, code, "must be the id of a region")
	if strings.Contains(out, "\"Dublin\" ") {
		t.Error("the message repeats the value")
	}
}

func TestAChangeOfHomeIsAMoveAndIsRefusedUnlessAllowed(t *testing.T) {
	s := open(t)
	s.config(clinic("tf-mover", "ie1", "IE", ""))
	s.applied()
	before := s.state("domicile_tenant", "t")

	s.config(clinic("tf-mover", "us1", "IE", `  required_features = ["recording"]`))
	out, code := s.plan()
	s.refused(out, code, "A change of home region is refused", "ie1 → us1", "BOUNDARY_CHANGES us", "allow_region_change = true")

	s.config(clinic("tf-mover", "us1", "IE", "  allow_region_change = true"))
	out, code = s.plan()
	if code != 2 {
		t.Fatalf("an allowed move (%d):\n%s", code, out)
	}
	s.says(out, "will be updated in-place", "This changes where the tenant's data lives", "BOUNDARY_CHANGES us", "0 to add, 1 to change, 0 to destroy")

	out, code = s.apply()
	s.refused(out, code, "NOT_YET", "still at home in ie1")
	after := s.state("domicile_tenant", "t")
	if fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("the state was changed:\n%v\n%v", before, after)
	}
	there, err := s.control().Tenant(context.Background(), "tf-mover")
	if err != nil || there.GetHomeRegion() != "ie1" || there.GetHomeEpoch() != 1 {
		t.Errorf("the tenant: %v, %v", there, err)
	}
	s.config(clinic("tf-mover", "ie1", "IE", ""))
	s.empty()
}

func TestASlugIsGivenOnceAndForAll(t *testing.T) {
	s := open(t)
	s.config(clinic("tf-once", "au1", "AU", ""))
	s.applied()
	s.config(clinic("tf-twice", "au1", "AU", ""))
	out, code := s.plan()
	s.refused(out, code, "A slug is given once and for all")
}
