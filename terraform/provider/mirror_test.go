package provider_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Without a registry: init finds the provider at the control plane, whose
// authority it is told to trust, and locks what it found.
func TestInitFindsTheProviderAtTheControlPlane(t *testing.T) {
	s := open(t)
	s.env = append(s.env, "TF_CLI_CONFIG_FILE="+s.w.env.TerraformRC(), "SSL_CERT_FILE="+s.w.env.CAFile())
	s.config(clinic("tf-init", "ie1", "IE", ""))
	if out, code := s.run("init", "-no-color", "-input=false"); code != 0 {
		t.Fatalf("init:\n%s", out)
	}
	out := s.applied()
	if strings.Contains(out, "development overrides") {
		t.Fatal("the provider did not come from the mirror")
	}
	lock, err := os.ReadFile(filepath.Join(s.dir, ".terraform.lock.hcl"))
	if err != nil || !strings.Contains(string(lock), `"h1:`) || !strings.Contains(string(lock), `version = "0.1.0"`) {
		t.Errorf("the lock file: %v\n%s", err, lock)
	}

	// An archive that was changed after the voters hashed it is not used.
	archives, err := filepath.Glob(filepath.Join(s.w.env.Dir(), "terraform", "*.zip"))
	if err != nil || len(archives) != 1 {
		t.Fatalf("archives: %v, %v", archives, err)
	}
	whole, err := os.ReadFile(archives[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.WriteFile(archives[0], whole, 0o600); err != nil {
			t.Error(err)
		}
	}()
	changed := append([]byte(nil), whole...)
	changed[len(changed)/2] ^= 1
	if err := os.WriteFile(archives[0], changed, 0o600); err != nil {
		t.Fatal(err)
	}
	other := open(t)
	other.env = append(other.env, "TF_CLI_CONFIG_FILE="+s.w.env.TerraformRC(), "SSL_CERT_FILE="+s.w.env.CAFile())
	other.config("")
	out, code := other.run("init", "-no-color", "-input=false")
	other.refused(out, code, "checksum")

	// And without the authority nothing is believed.
	other.env = append(other.env, "SSL_CERT_FILE=/dev/null")
	out, code = other.run("init", "-no-color", "-input=false")
	other.refused(out, code, "certificate")
}
