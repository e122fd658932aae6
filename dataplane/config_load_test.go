package dataplane

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const goodConfig = `region: ie1
data_dir: /var/lib/domicile
tls: {certificate: cert.pem, key: key.pem, ca: ca.pem}
listen_address: 127.0.0.1:8443
hosts: [127.0.0.1]
control_plane: [127.0.0.1:9443]
root_public_key: "0000000000000000000000000000000000000000000000000000000000000000"
base_urls: {ie1: "https://127.0.0.1:8443"}
default_country: IE
`

func load(t *testing.T, text string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "node.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadConfig(path)
}

func TestLoadConfig(t *testing.T) {
	c, err := load(t, goodConfig)
	if err != nil {
		t.Fatal(err)
	}
	if c.Region != "ie1" || c.ExportInterval != 5*time.Minute || c.ExportWindow != time.Hour || c.Hosts[0] != "127.0.0.1" {
		t.Errorf("loaded %+v", c)
	}
}

func TestLoadConfigIsStrict(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":       {goodConfig + "regoin: us1\n", "regoin"},
		"unknown inner key": {strings.Replace(goodConfig, "ca: ca.pem", "ca: ca.pem, kay: x", 1), "kay"},
		"repeated key":      {goodConfig + "region: us1\n", "region"},
		"two documents":     {goodConfig + "---\nregion: us1\n", "more than one document"},
		"not YAML":          {"{", "parse configuration"},
		"empty":             {"", "parse configuration"},
		"bad region":        {strings.Replace(goodConfig, "region: ie1", "region: Ireland", 1), "region:"},
		"no hosts":          {strings.Replace(goodConfig, "hosts: [127.0.0.1]", "hosts: []", 1), "hosts:"},
		"plain base URL":    {strings.Replace(goodConfig, "https://127", "http://127", 1), "base_urls:"},
		"no own base URL":   {strings.Replace(goodConfig, "{ie1:", "{us1:", 1), "own region ie1"},
		"short root key":    {strings.Replace(goodConfig, "0000", "", 1), "root_public_key:"},
		"peer without home": {goodConfig + "peers: {us1: {address: \"h:1\"}}\n", "peers:"},
		"too large":         {goodConfig + "# " + strings.Repeat("x", maxConfigBytes), "larger than"},
	} {
		if _, err := load(t, c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error about %q", name, err, c.want)
		}
	}
	if _, err := LoadConfig(filepath.Join(t.TempDir(), "absent.yaml")); err == nil {
		t.Error("an absent file was loaded")
	}
}

// Every setting that is missing is named at once.
func TestCheckNamesEverything(t *testing.T) {
	err := Config{}.Check()
	for _, setting := range []string{"region", "data_dir", "tls", "listen_address", "hosts", "control_plane", "root_public_key", "base_urls", "default_country"} {
		if err == nil || !strings.Contains(err.Error(), setting+":") {
			t.Errorf("the error does not name %s: %v", setting, err)
		}
	}
}
