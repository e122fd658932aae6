package controlplane_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/domicile-io/domicile/controlplane"
)

func TestLoadConfigIsStrict(t *testing.T) {
	c := prepare(t, 3)
	raw, err := yaml.Marshal(c.configs[0])
	if err != nil {
		t.Fatal(err)
	}
	good := string(raw)
	load := func(text string) error {
		path := filepath.Join(t.TempDir(), "controlplane.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := controlplane.LoadConfig(path)
		return err
	}
	if err := load(good); err != nil {
		t.Fatalf("a good configuration: %v", err)
	}
	for key, text := range map[string]string{
		"voterz":                          good + "voterz: []\n",
		"name":                            strings.Replace(good, "name: cp1", "name: CP 1", 1),
		"rest_address":                    strings.Replace(good, "rest_address: ", "rest_address: nowhere #", 1),
		"root_public_key":                 strings.Replace(good, "root_public_key: ", "root_public_key: zz", 1),
		"bundle_key":                      strings.Replace(good, "bundle_key: ", "bundle_key: #", 1),
		"bootstrap.operator_token_sha256": strings.Replace(good, "operator_token_sha256: ", "operator_token_sha256: zz #", 1),
		"principal_key":                   strings.Replace(good, "principal_key: \"\"", "principal_key: somewhere", 1),
		"oidc[0].issuer":                  withIssuer(good, "http://issuer.example", "cli", "control"),
		"oidc[0].client_id":               withIssuer(good, "https://issuer.example", "\"\"", "control"),
		"oidc[0].audience":                withIssuer(good, "https://issuer.example", "cli", "cli"),
		"audienze":                        strings.Replace(withIssuer(good, "https://issuer.example", "cli", "control"), "audience:", "audienze:", 1),
		"second document":                 good + "---\nname: cp2\n",
	} {
		if err := load(text); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: the error does not name it: %v", key, err)
		}
	}
	if _, err := controlplane.LoadConfig(filepath.Join(t.TempDir(), "absent.yaml")); err == nil {
		t.Error("an absent file was loaded")
	}
}

// withIssuer is a configuration with one issuer.
func withIssuer(good, issuer, client, audience string) string {
	return strings.NewReplacer("oidc: []", "oidc: [{issuer: "+issuer+", client_id: "+client+", audience: "+audience+"}]",
		"principal_key: \"\"", "principal_key: file").Replace(good)
}

func TestINV06_OpenRefusesCertificatesOfTheWrongRole(t *testing.T) {
	c := prepare(t, 1)
	cfg := c.configs[0]
	cfg.TLS, cfg.GatewayTLS = cfg.GatewayTLS, cfg.TLS
	if p, err := controlplane.Open(t.Context(), cfg, controlplane.Options{}); err == nil {
		_ = p.Close(t.Context())
		t.Fatal("a gateway's certificate ran a voter")
	}
}
