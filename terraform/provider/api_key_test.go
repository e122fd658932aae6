package provider_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/policy"
)

// A vault stands for wherever programs read secrets from: a variable that only
// this run knows.
const keyed = `
variable "key" {
  type      = string
  ephemeral = true
  sensitive = true
}
resource "domicile_api_key" "k" {
  tenant            = domicile_tenant.t.id
  region            = "ie1"
  role              = "admin"
  secret_wo         = var.key
  secret_wo_version = 1
}
`

func drawn(t *testing.T, region string, fill byte) client.Secret {
	t.Helper()
	s, err := client.NewSecret(region, strings.NewReader(strings.Repeat(string(fill), 48)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestINV40_AKeysSecretIsNowhere(t *testing.T) {
	s := open(t)
	s.env = append(s.env, "TF_LOG=TRACE", "TF_LOG_PATH="+filepath.Join(s.dir, "trace.log"))
	first, second := drawn(t, "ie1", 'a'), drawn(t, "ie1", 'b')
	_, _, raw, _ := policy.ParseKeyString(first.Key)
	_, _, raw2, _ := policy.ParseKeyString(second.Key)
	secrets := []string{raw, raw2, first.SHA256, second.SHA256, s.w.env.Token()}

	s.env = append(s.env, "TF_VAR_key="+first.Key)
	s.config(clinic("tf-keys", "ie1", "IE", "") + keyed)
	if out, code := s.plan("-out=first.plan"); code != 2 {
		t.Fatalf("plan (%d):\n%s", code, out)
	}
	if out, code := s.run("apply", "-no-color", "-input=false", "first.plan"); code != 0 {
		t.Fatalf("apply:\n%s", out)
	}
	s.empty()
	if _, err := (&client.Region{BaseURL: s.w.env.RegionURL("ie1"), Key: first.Key, HTTP: s.control().HTTP}).Calls(context.Background(), client.Filter{}); err != nil {
		t.Errorf("the key does not work: %v", err)
	}
	// The version makes another key, and the old one stops.
	s.env = append(s.env, "TF_VAR_key="+second.Key)
	s.config(clinic("tf-keys", "ie1", "IE", "") + strings.Replace(keyed, "version = 1", "version = 2", 1))
	out := s.applied()
	s.says(out, "1 added, 0 changed, 1 destroyed")
	if _, err := s.control().Key(context.Background(), "tf-keys", first.KeyID); !has(err, policy.NotFound) {
		t.Errorf("the old key: %v", err)
	}
	if s.state("domicile_api_key", "k")["id"] != second.KeyID {
		t.Errorf("the state has %v", s.state("domicile_api_key", "k"))
	}
	s.noSecret(secrets)

	// Revoked behind Terraform's back: the plan makes another.
	k, err := s.control().Key(context.Background(), "tf-keys", second.KeyID)
	if err == nil {
		err = s.control().DeleteKey(context.Background(), "tf-keys", second.KeyID, k.GetEtag())
	}
	if err != nil {
		t.Fatal(err)
	}
	out, code := s.plan()
	if code != 2 {
		t.Errorf("after a revocation (%d):\n%s", code, out)
	}
	s.says(out, "1 to add, 0 to change, 0 to destroy")
}

func TestAKeyIsDrawnIntoAFileOnce(t *testing.T) {
	s := open(t)
	config := clinic("tf-files", "au1", "AU", "") + `
resource "domicile_api_key" "k" {
  tenant   = domicile_tenant.t.id
  region   = "au1"
  role     = "ingest"
  key_file = "${path.root}/tenant.key"
}
`
	s.config(config)
	s.applied()
	file := filepath.Join(s.dir, "tenant.key")
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the key's file: %v, %v", info, err)
	}
	raw, _ := os.ReadFile(file)
	_, id, hex, err := policy.ParseKeyString(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatalf("the file holds no key: %v", err)
	}
	if _, err := s.control().Key(context.Background(), "tf-files", string(id)); err != nil {
		t.Fatal(err)
	}
	// A run that lost its state takes the same key up again.
	if out, code := s.run("state", "rm", "domicile_api_key.k"); code != 0 {
		t.Fatal(out)
	}
	s.applied()
	if s.state("domicile_api_key", "k")["id"] != string(id) {
		t.Error("another key was made beside the one in the file")
	}
	keys, err := s.control().Keys(context.Background(), "tf-files")
	if err != nil || len(keys) != 1 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	if out, code := s.run("state", "rm", "domicile_api_key.k"); code != 0 {
		t.Fatal(out)
	}
	tenant := s.state("domicile_tenant", "t")["id"].(string)
	if out, code := s.run("import", "-no-color", "-input=false", "domicile_api_key.k", tenant+"/"+string(id)); code != 0 {
		t.Fatalf("import:\n%s", out)
	}
	if out := s.applied(); strings.Contains(out, "destroyed, ") || strings.Contains(out, "must be replaced") {
		t.Errorf("an imported key is replaced:\n%s", out)
	}
	s.noSecret([]string{hex, policy.HashSecret(hex)}, "tenant.key")
}

func TestAKeyOfAnotherRegionIsRefusedInThePlan(t *testing.T) {
	s := open(t)
	s.config(clinic("tf-elsewhere", "ie1", "IE", ""))
	s.applied()
	s.config(clinic("tf-elsewhere", "ie1", "IE", "") + `
resource "domicile_api_key" "k" {
  tenant   = domicile_tenant.t.id
  region   = "us1"
  role     = "ingest"
  key_file = "${path.root}/tenant.key"
}
`)
	out, code := s.plan()
	s.refused(out, code, "A key works in the tenant's home region only", "home is ie1")
}

// The ephemeral resource feeds a write-only attribute in one run.
func TestAnEphemeralSecretBecomesAKey(t *testing.T) {
	s := open(t)
	s.config(clinic("tf-ephemeral", "us1", "US", "") + `
ephemeral "domicile_api_key_secret" "s" { region = "us1" }
resource "domicile_api_key" "k" {
  tenant            = domicile_tenant.t.id
  region            = "us1"
  role              = "reader"
  secret_wo         = ephemeral.domicile_api_key_secret.s.key
  secret_wo_version = 1
}
`)
	s.applied()
	keys, err := s.control().Keys(context.Background(), "tf-ephemeral")
	if err != nil || len(keys) != 1 || keys[0].GetId() != s.state("domicile_api_key", "k")["id"] {
		t.Errorf("%v, %v", keys, err)
	}
}
