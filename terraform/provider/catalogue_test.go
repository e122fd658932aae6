package provider_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
)

const place = `
resource "domicile_region" "r" {
  id            = "nz1"
  boundary      = "nz"
  country       = "NZ"
  cloud         = "aws-ap-southeast-6"
  backup_region = "none"
  lifecycle_state = "planned"
}
resource "domicile_region_feature" "f" {
  region  = domicile_region.r.id
  feature = "recording"
  stage   = "pilot"
  limits  = { CONCURRENT_CALLS = 100 }
}
resource "domicile_contracting_entity" "e" {
  billing_country  = "NZ"
  code             = "DOM-NZ"
  suggested_region = domicile_region.r.id
}
data "domicile_regions" "nz" {
  boundary   = "nz"
  depends_on = [domicile_region.r]
}
data "domicile_region_features" "f" { region = domicile_region_feature.f.region }
output "found" { value = "${one(data.domicile_regions.nz.regions).cloud} ${data.domicile_region_features.f.features["recording"].stage}" }
`

func TestARegionIsAddedImportedChangedAndRetired(t *testing.T) {
	s := open(t)
	s.config(place)
	out := s.applied()
	s.says(out, `found = "aws-ap-southeast-6 pilot"`)

	other := open(t)
	other.config(place)
	for what, id := range map[string]string{"domicile_region.r": "nz1", "domicile_region_feature.f": "nz1/recording", "domicile_contracting_entity.e": "NZ"} {
		if out, code := other.run("import", "-no-color", "-input=false", what, id); code != 0 {
			t.Fatalf("import %s:\n%s", what, out)
		}
	}
	if out := other.applied(); !strings.Contains(out, "0 added, 0 changed, 0 destroyed") {
		t.Errorf("an import changes something:\n%s", out)
	}

	active := strings.NewReplacer(`"planned"`, `"active"`, `"pilot"`, `"ga"`).Replace(place)
	s.config(active)
	s.applied()
	f, err := s.control().Feature(context.Background(), "nz1", "recording")
	if err != nil || f.GetStage() != "ga" || len(f.GetLimits()) != 1 {
		t.Errorf("the feature: %v, %v", f, err)
	}
	for config, says := range map[string]string{
		strings.Replace(active, `"active"`, `"planned"`, 1):                  "A region's life goes one way",
		strings.Replace(active, `country       = "NZ"`, `country = "AU"`, 1): "A region's place never changes",
	} {
		s.config(config)
		out, code := s.plan()
		s.refused(out, code, says)
	}

	// Somebody lives there: the plan says whom it would reach.
	s.config(active + clinic("tf-kiwi", "nz1", "NZ", "  depends_on = [domicile_contracting_entity.e]\n  deletion_protection = false"))
	s.applied()
	s.config(strings.Replace(active, `"active"`, `"draining"`, 1) + clinic("tf-kiwi", "nz1", "NZ", "  deletion_protection = false"))
	out, _ = s.plan()
	s.says(out, "Tenants are at home there", "1 tenants: tf-kiwi")
	s.config(strings.Replace(active, `lifecycle_state = "active"`, "lifecycle_state = \"active\"\n  deletion_protection = false", 1))
	if out, code := s.run("state", "rm", "domicile_tenant.t"); code != 0 {
		t.Fatal(out)
	}
	s.applied()
	destroy := append([]string{"destroy", "-auto-approve"}, quiet...)
	out, code := s.run(destroy...)
	s.refused(out, code, "The feature was not taken away", "the policies of 1 tenants at home in nz1")
	if out, code := s.run("state", "rm", "domicile_region_feature.f"); code != 0 {
		t.Fatal(out)
	}
	out, code = s.run(destroy...)
	s.refused(out, code, "The region was not retired", "tf-kiwi are at home there")
}

func TestARegionThatDiffersIsNotTakenOver(t *testing.T) {
	s := open(t)
	s.config(strings.NewReplacer("nz1", "jp1", `"nz"`, `"jp"`, `country       = "NZ"`, `country = "JP"`, "southeast-6", "northeast-9").Replace(place[:strings.Index(place, "resource \"domicile_region_feature\"")]))
	out, code := s.apply()
	s.refused(out, code, "ALREADY_EXISTS", "another cloud than is declared", "`import` block")
}

func TestATransferBasisNeedsAGrantToOpenAndNoneToClose(t *testing.T) {
	s := open(t)
	basis := func(state, more string) string {
		return "resource \"domicile_transfer_basis\" \"b\" {\n  id = \"TF-TEST\"\n  state = \"" + state + "\"\n" + more + "}\n"
	}
	s.config(basis("active", ""))
	out, code := s.apply()
	s.refused(out, code, "LOOSENING_NEEDS_APPROVAL", "domicile bases grant", "Nothing was changed")

	status, err := s.control().Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	s.domicile("", "bases", "grant", "TF-TEST", "--root", filepath.Join(s.w.env.Dir(), "pki", "root.key"), "--cluster", status.GetClusterId(),
		"--sequence", "1", "--until", "2028-01-01T00:00:00Z", "--out", "grant.json")
	granted := "  expires_at = \"2028-01-01T00:00:00Z\"\n  grant = file(\"grant.json\")\n"
	s.config(basis("active", granted))
	s.applied()

	s.config(basis("revoked", granted))
	s.applied()
	s.config(basis("active", granted))
	out, _ = s.plan()
	s.says(out, "This opens a transfer basis")
	s.config(basis("revoked", granted+"  deletion_protection = false\n"))
	s.applied()
	if out, code := s.run("state", "rm", "domicile_transfer_basis.b"); code != 0 {
		t.Fatal(out)
	}
	if out, code := s.run("import", "-no-color", "-input=false", "domicile_transfer_basis.b", "TF-TEST"); code != 0 {
		t.Fatal(out)
	}
	s.applied()
	s.destroyed()
	if b, err := s.control().Basis(context.Background(), "TF-TEST"); err != nil || b.GetState() != "revoked" {
		t.Errorf("after destroy: %v, %v", b, err)
	}
}

func TestAPersonIsBoundToARole(t *testing.T) {
	s := open(t)
	config := `
resource "domicile_role_binding" "b" {
  principal  = "PR0000000000000000000000000000cafe"
  role       = "auditor"
  expires_at = "2027-06-30T00:00:00Z"
}
`
	s.config(config)
	s.applied()
	p, err := s.control().Principal(context.Background(), "PR0000000000000000000000000000cafe")
	if err != nil || p.GetRole() != "auditor" {
		t.Fatalf("%v, %v", p, err)
	}
	if out, code := s.run("state", "rm", "domicile_role_binding.b"); code != 0 {
		t.Fatal(out)
	}
	if out, code := s.run("import", "-no-color", "-input=false", "domicile_role_binding.b", "PR0000000000000000000000000000cafe"); code != 0 {
		t.Fatal(out)
	}
	if out := s.state("domicile_role_binding", "b"); out["role"] != "auditor" {
		t.Errorf("imported: %v", out)
	}
	s.config("")
	s.applied()
	if _, err := s.control().Principal(context.Background(), "PR0000000000000000000000000000cafe"); err == nil {
		t.Error("the role was not taken away")
	}
}

func TestDataSourcesAndFunctionsSayWhatWouldBe(t *testing.T) {
	s := open(t)
	s.config(clinic("tf-ask", "ie1", "IE", "") + `
data "domicile_placement_check" "us" {
  tenant   = domicile_tenant.t.slug
  region   = "us1"
  features = ["voice"]
}
data "domicile_decision" "abroad" {
  tenant     = domicile_tenant.t.slug
  operation  = "store"
  data_class = "call_record"
  region     = "us1"
}
output "possible" { value = data.domicile_placement_check.us.possible }
output "codes" { value = join(" ", sort([for f in data.domicile_placement_check.us.findings : f.code])) }
output "abroad" { value = "${data.domicile_decision.abroad.effect} ${join(" ", [for r in data.domicile_decision.abroad.reasons : r.rule if r.denies])}" }
output "host" { value = provider::domicile::region_host("ie1", "voice.example.net") }
output "edge" { value = provider::domicile::region_host("ie1", "voice.example.net", "dub") }
output "number" { value = provider::domicile::parse_region_id("ie1").number }
`)
	out := s.applied()
	s.says(out, "possible = true", "BOUNDARY_CHANGES", `abroad = "deny`, "OUTSIDE_HOME", `host = "api.ie1.voice.example.net"`, `edge = "api.dub.ie1.voice.example.net"`, "number = 1")
	for call, says := range map[string]string{
		`region_host("dublin", "a.b")`:        "must be the id of a region",
		`region_host("ie1", "A b")`:           "must be a host name in lower case",
		`region_host("ie1", "a.b", "c", "d")`: "must be one label",
		`parse_region_id("ireland")`:          "must be the id of a region",
	} {
		s.config("output \"x\" { value = provider::domicile::" + call + " }\n")
		out, code := s.plan()
		s.refused(out, code, says)
	}
}
