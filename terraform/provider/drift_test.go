package provider_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

const adrift = `
resource "domicile_region" "r" {
  id              = "kr1"
  boundary        = "kr"
  country         = "KR"
  cloud           = "aws-ap-northeast-2"
  backup_region   = "none"
  lifecycle_state = "active"
}
resource "domicile_region_feature" "f" {
  region  = domicile_region.r.id
  feature = "recording"
  stage   = "ga"
  limits  = { CONCURRENT_CALLS = 100 }
}
resource "domicile_contracting_entity" "e" {
  billing_country  = "KR"
  code             = "DOM-KR"
  suggested_region = domicile_region.r.id
}
resource "domicile_role_binding" "b" {
  principal  = "PR0000000000000000000000000000d1f7"
  role       = "auditor"
  expires_at = "2027-06-30T00:00:00Z"
}
resource "domicile_access_policy" "a" {
  tenant       = domicile_tenant.t.id
  max_duration = 1800
}
`

// aside changes each of them beside Terraform, as somebody with the command line would.
func (s *workspace) aside(slug string) {
	s.t.Helper()
	ctx, cp := context.Background(), s.control()
	must := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	there, err := cp.Tenant(ctx, slug)
	must(err)
	abroad := "DE"
	_, err = cp.UpdateTenant(ctx, &controlv1.UpdateTenantRequest{Tenant: slug, BillingCountry: &abroad}, there.GetEtag())
	must(err)
	f, err := cp.Feature(ctx, "kr1", "recording")
	must(err)
	_, err = cp.PutFeature(ctx, "kr1", "recording", &controlv1.FeatureSpec{Stage: "ga", Limits: []*controlv1.FeatureLimit{{Code: "CONCURRENT_CALLS", Amount: 7}}}, f.GetEtag())
	must(err)
	e, err := cp.Entity(ctx, "KR")
	must(err)
	_, err = cp.PutEntity(ctx, "KR", &controlv1.EntitySpec{Code: "DOM-MY", SuggestedRegion: "kr1"}, e.GetEtag())
	must(err)
	p, err := cp.Principal(ctx, "PR0000000000000000000000000000d1f7")
	must(err)
	must(cp.DeletePrincipal(ctx, p.GetId(), p.GetEtag()))
	rules, err := cp.Policy(ctx, slug)
	must(err)
	rules.Rules.Access.MaxDuration = 600 // tighter, so it applies at once
	_, err = cp.PutPolicy(ctx, slug, rules.Rules, rules.Etag)
	must(err)
}

// What somebody changed beside Terraform is shown by the next plan, of every kind of
// resource (keys, recipients and policies have tests of their own), is not written
// over unseen, and is put back by an apply that was looked at.
func TestDriftIsShownAndPutBack(t *testing.T) {
	s := open(t)
	s.config(clinic("tf-adrift", "ie1", "IE", "") + adrift)
	s.applied()
	s.aside("tf-adrift")
	out, code := s.plan()
	if code != 2 {
		t.Fatalf("the drift is not seen (%d):\n%s", code, out)
	}
	s.says(out, `billing_country`, `"DE" -> "IE"`, `"CONCURRENT_CALLS" = 7 -> 100`, `"DOM-MY" -> "DOM-KR"`,
		`domicile_role_binding.b will be created`, `max_duration = 600 -> 1800`, "This loosens the tenant's policy", "1 to add, 4 to change, 0 to destroy")

	// Plans that were made before: none of them writes over what it did not see.
	s.config(strings.NewReplacer("= 100 }", "= 200 }", "DOM-KR", "DOM-ID", "1800", "900").Replace(clinic("tf-adrift", "ie1", "FR", "") + adrift))
	out, code = s.apply("-refresh=false")
	s.refused(out, code, "The tenant is not what this plan was made of", "Its billing_country differs",
		"The feature is not what this plan was made of", "Its limits differs", "Its code or suggested_region differs", "The policy is not what this plan was made of")

	// One duration is stricter than what is there, so that nobody needs to approve.
	s.config(clinic("tf-adrift", "ie1", "IE", "") + strings.Replace(adrift, "1800", "300", 1))
	s.applied()
	there, err := s.control().Tenant(context.Background(), "tf-adrift")
	if err != nil || there.GetBillingCountry() != "IE" {
		t.Errorf("the tenant was not put back: %v, %v", there, err)
	}
	if e, err := s.control().Entity(context.Background(), "KR"); err != nil || e.GetCode() != "DOM-KR" {
		t.Errorf("the entity was not put back: %v, %v", e, err)
	}
	if f, err := s.control().Feature(context.Background(), "kr1", "recording"); err != nil || len(f.GetLimits()) != 1 || f.GetLimits()[0].GetAmount() != 100 {
		t.Errorf("the feature was not put back: %v, %v", f, err)
	}
}

// A region that was drained cannot be put back: the plan says so instead of trying.
func TestDriftThatCannotBePutBackIsRefusedInThePlan(t *testing.T) {
	s := open(t)
	region := strings.NewReplacer("kr1", "mx1", `"kr"`, `"mx"`, "KR", "MX", "northeast-2", "mexico-9").Replace(adrift[:strings.Index(adrift, "resource \"domicile_region_feature\"")])
	s.config(region)
	s.applied()
	there, err := s.control().RegionInfo(context.Background(), "mx1")
	if err != nil {
		t.Fatal(err)
	}
	etag := there.GetEtag()
	there.Lifecycle, there.Etag = "draining", ""
	if _, err := s.control().PutRegion(context.Background(), there, etag); err != nil {
		t.Fatal(err)
	}
	out, code := s.plan()
	s.refused(out, code, "A region's life goes one way")
	s.config(strings.Replace(region, `"active"`, `"draining"`, 1))
	s.empty()
}

// A basis that fell is not opened again by an apply that repeats what was declared.
func TestARevokedBasisIsNotOpenedByTheNextApply(t *testing.T) {
	s := open(t)
	status, err := s.control().Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	s.domicile("", "bases", "grant", "TF-FELL", "--root", filepath.Join(s.w.env.Dir(), "pki", "root.key"), "--cluster", status.GetClusterId(),
		"--sequence", "1", "--until", "2028-01-01T00:00:00Z", "--out", "grant.json")
	s.config("resource \"domicile_transfer_basis\" \"b\" {\n  id = \"TF-FELL\"\n  state = \"active\"\n  expires_at = \"2028-01-01T00:00:00Z\"\n  grant = file(\"grant.json\")\n}\n")
	s.applied()
	if _, err := s.control().RevokeBasis(context.Background(), &controlv1.RevokeBasisRequest{Basis: "TF-FELL", Enforce: true}); err != nil {
		t.Fatal(err)
	}
	out, code := s.plan()
	if code != 2 {
		t.Errorf("the drift is not seen (%d):\n%s", code, out)
	}
	s.says(out, "revoked", "This opens a transfer basis")
	out, code = s.apply()
	s.refused(out, code, "The transfer basis was not changed")
	if b, err := s.control().Basis(context.Background(), "TF-FELL"); err != nil || b.GetState() != "revoked" {
		t.Errorf("it is open again: %v, %v", b, err)
	}
}
