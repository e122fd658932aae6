package regions

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/policy"
)

func TestBuiltin(t *testing.T) {
	c, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Topology(); err != nil {
		t.Fatal(err)
	}
	stages := map[policy.RegionID]policy.Lifecycle{"au1": policy.Active, "br1": policy.Planned, "de1": policy.Planned, "ie1": policy.Active,
		"jp1": policy.Planned, "sg1": policy.Planned, "us1": policy.Active}
	if len(c.Regions) != len(stages) {
		t.Errorf("%d regions", len(c.Regions))
	}
	for _, r := range c.Regions {
		if stages[r.ID] != r.Lifecycle {
			t.Errorf("%s is %s", r.ID, r.Lifecycle)
		}
		for f, stage := range c.Features[r.ID] {
			if r.Lifecycle == policy.Planned && stage != StageNone {
				t.Errorf("%s is planned and promises %s", r.ID, f)
			}
		}
	}
	for _, e := range c.Entities {
		if stages[e.SuggestedRegion] != policy.Active {
			t.Errorf("%s is suggested %s, which is not active", e.BillingCountry, e.SuggestedRegion)
		}
	}
	if e, ok := c.EntityFor("IE"); !ok || e.Code != "DOM-IE" || e.SuggestedRegion != "ie1" {
		t.Errorf("Ireland: %+v", e)
	}
	if _, ok := c.EntityFor("ZZ"); ok {
		t.Error("a country that does not exist has an entity")
	}
	var bases []string
	for _, b := range c.Bases {
		bases = append(bases, b.ID)
	}
	if got := strings.Join(bases, " "); got != "ADEQUACY-DPF BCR NONE PSEUDONYMISED-UC2 SCC" {
		t.Errorf("bases %s", got)
	}
}

const allFeatures = `{voice: ga, sip_trunking: ga, recording: ga, transcript: none, messaging: none, presence: none, stir_shaken: none, sensitive_collection: none}`

const minimal = `
regions:
  ie1: {boundary: eu, country: IE, cloud: aws-eu-west-1, backup_region: none, lifecycle: active, features: ` + allFeatures + `}
entities:
  IE: {code: DOM-IE, suggested_region: ie1}
bases:
  SCC: {state: active, expires_at: "2027-01-01T00:00:00+01:00"}
`

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalogue.yaml")
	if err := os.WriteFile(path, []byte(minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Regions) != 1 || c.Features["ie1"]["voice"] != StageGA || c.Bases[0].ExpiresAt.String() != "2026-12-31 23:00:00 +0000 UTC" {
		t.Errorf("%+v", c)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "absent")); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an absent file: %v", err)
	}
	if err := os.WriteFile(path, []byte("regions: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("the error does not name the file: %v", err)
	}
}

// TestStrict changes one thing of a good catalogue and demands that the error
// names its key.
func TestStrict(t *testing.T) {
	abroad := strings.Replace(minimal, "entities:", "  us1: {boundary: us, country: US, cloud: aws-us-east-1, backup_region: none, lifecycle: active, features: "+allFeatures+"}\nentities:", 1)
	if _, err := Parse([]byte(abroad)); err != nil {
		t.Fatal(err)
	}
	abroad = strings.Replace(abroad, "backup_region: none", "backup_region: us1", 1)
	cases := map[string]struct{ from, to, named string }{
		"unknown top key":   {"bases:", "bases_: {}\nbases:", "bases_"},
		"misspelt key":      {"backup_region:", "backup_regoin:", "backup_regoin"},
		"region twice":      {"entities:", "  ie1: {}\nentities:", "ie1"},
		"region id":         {"  ie1: {", "  ireland: {", "regions.ireland"},
		"boundary":          {"boundary: eu", "boundary: EU", "regions.ie1.boundary"},
		"country":           {"country: IE", "country: Ireland", "regions.ie1.country"},
		"cloud":             {"aws-eu-west-1", "Dublin", "regions.ie1.cloud"},
		"backup missing":    {"backup_region: none, ", "", "regions.ie1.backup_region"},
		"backup unknown":    {"backup_region: none", "backup_region: us1", "regions.ie1.backup_region"},
		"backup of itself":  {"backup_region: none", "backup_region: ie1", "regions.ie1.backup_region"},
		"backup abroad":     {minimal, abroad, "regions.ie1.backup_region"},
		"lifecycle":         {"lifecycle: active", "lifecycle: alive", "regions.ie1.lifecycle"},
		"plain http":        {"lifecycle: active", "lifecycle: active, base_url: 'http://x'", "regions.ie1.base_url"},
		"unknown feature":   {"voice: ga", "voice: ga, fax: ga", "regions.ie1.features.fax"},
		"feature missing":   {"voice: ga, ", "", "regions.ie1.features.voice"},
		"stage":             {"voice: ga", "voice: soon", "regions.ie1.features.voice"},
		"billing country":   {"  IE: {", "  ie: {", "entities.ie"},
		"entity code":       {"DOM-IE", "Domicile Ireland Ltd", "entities.IE.code"},
		"suggested region":  {"suggested_region: ie1", "suggested_region: fr1", "entities.IE.suggested_region"},
		"basis id":          {"  SCC:", "  scc:", "bases.scc"},
		"basis state":       {"{state: active, exp", "{state: fine, exp", "bases.SCC.state"},
		"basis expiry":      {"2027-01-01T00:00:00+01:00", "next year", "bases.SCC.expires_at"},
		"no regions":        {minimal, "regions: {}", "regions"},
		"empty":             {minimal, "", "EOF"},
		"two documents":     {minimal, minimal + "---\n" + minimal, "one document"},
		"two, second empty": {minimal, minimal + "---\n", "one document"},
		"not YAML":          {minimal, "\x00", "YAML"},
		"too large":         {minimal, minimal + strings.Repeat("#", MaxFile), "larger"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(minimal, c.from, c.to, 1)
			if text == minimal {
				t.Fatal("the case changes nothing")
			}
			if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), c.named) {
				t.Errorf("error %v does not name %q", err, c.named)
			}
		})
	}
}

func TestEveryProblemIsNamedAtOnce(t *testing.T) {
	_, err := Parse([]byte(strings.NewReplacer("country: IE", "country: ie", "voice: ga", "voice: x", "DOM-IE", "dom").Replace(minimal)))
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 3 {
		t.Errorf("got %v, want three problems", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add(builtin)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err != nil {
			return
		}
		if _, err := c.Topology(); err != nil {
			t.Fatalf("a catalogue loads and its topology does not: %v", err)
		}
	})
}
