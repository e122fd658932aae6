package provider_test

import (
	"context"
	"strings"
	"testing"
)

// A state that names another tenant is neither read nor followed.
func TestAForeignTenantsIdInTheStateIsRefused(t *testing.T) {
	s := open(t)
	s.config(clinic("tf-mine", "ie1", "IE", "") + strings.Replace(clinic("tf-theirs", "us1", "US", ""), `"t"`, `"u"`, 1))
	s.applied()
	mine, theirs := s.state("domicile_tenant", "t")["id"].(string), s.state("domicile_tenant", "u")["id"].(string)

	s.config(clinic("tf-mine", "ie1", "IE", "  deletion_protection = false\n  purge_on_destroy = true"))
	if out, code := s.run("state", "rm", "domicile_tenant.u"); code != 0 {
		t.Fatal(out)
	}
	s.applied()
	s.tamper(mine, theirs)
	out, code := s.plan()
	s.refused(out, code, "The state names another tenant", "Nothing was read into it and nothing was written")
	for _, args := range [][]string{{"apply", "-auto-approve", "-refresh=false", "-var", "x=1"}, {"destroy", "-auto-approve", "-refresh=false", "-var", "x=1"}} {
		s.config(clinic("tf-mine", "ie1", "DE", "  deletion_protection = false\n  purge_on_destroy = true") + "variable \"x\" {}\n")
		out, code = s.run(append(args, quiet...)...)
		if code != 1 {
			t.Errorf("%s of a foreign tenant (%d):\n%s", args[0], code, out)
		}
	}
	for id, country := range map[string]string{mine: "IE", theirs: "US"} {
		there, err := s.control().Tenant(context.Background(), id)
		if err != nil || there.GetState() != "active" || there.GetBillingCountry() != country {
			t.Errorf("%s: %v, %v", id, there, err)
		}
	}
}

// A state that lies about the home is corrected by a refresh, and without one it
// stops the run.
func TestATamperedStateIsNotFollowed(t *testing.T) {
	s := open(t)
	s.config(clinic("tf-tamper", "ie1", "IE", "  allow_region_change = true\n  deletion_protection = false\n  purge_on_destroy = true"))
	s.applied()
	s.tamper(`"home_region": "ie1"`, `"home_region": "us1"`)
	s.empty()
	out, code := s.apply("-refresh=false")
	s.refused(out, code, "The tenant is not what this plan was made of", "home_region")
	out, code = s.run(append([]string{"destroy", "-auto-approve", "-refresh=false"}, quiet...)...)
	s.refused(out, code, "The tenant is not what this plan was made of", "home_region")

	s.tamper(`"home_region": "us1"`, `"home_region": "ie1"`)
	id := s.state("domicile_tenant", "t")["id"].(string)
	s.tamper(id, "TN00000000000000000000000000000000")
	out, code = s.plan()
	if code != 2 {
		t.Errorf("an id of nobody (%d):\n%s", code, out)
	}
	s.says(out, "will be created")
	out, code = s.apply()
	if code == 0 { // the create is the same one as before, so it is answered as before
		if s.state("domicile_tenant", "t")["id"] != id {
			t.Errorf("another tenant was made: %v", s.state("domicile_tenant", "t"))
		}
	} else {
		t.Errorf("a lost id is not found again:\n%s", out)
	}
}
