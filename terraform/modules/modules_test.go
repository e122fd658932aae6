package modules_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// folders lists those below terraform/ that hold a configuration: modules and
// examples that are more than one file.
func folders(t *testing.T) (all []string) {
	t.Helper()
	for _, pattern := range []string{"../modules/*/main.tf", "../examples/*/main.tf"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			all = append(all, strings.TrimPrefix(filepath.Dir(f), "../"))
		}
	}
	if len(all) == 0 {
		t.Fatal("there is no module")
	}
	return all
}

func TestModulesAreFormatted(t *testing.T) {
	s := open(t)
	if out, code := s.run(".", "fmt", "-check", "-recursive", "-diff", "-no-color"); code != 0 {
		t.Errorf("terraform fmt -recursive terraform:\n%s", out)
	}
}

// Every module and example is valid by the real schemas and keeps what its own tests
// say that it does.
func TestModulesKeepTheirGuarantees(t *testing.T) {
	for _, folder := range folders(t) {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			r := tested(t, folder)
			if r.status != "pass" || r.passed == 0 || r.skipped > 0 {
				t.Errorf("%s: %d passed, %d skipped\n%s", r.status, r.passed, r.skipped, r.problems)
			}
		})
	}
}

// A region and whatever else decides where data lie have no default.
func TestNoModuleAssumesAPlace(t *testing.T) {
	for _, folder := range folders(t) {
		if !strings.HasPrefix(folder, "modules/") {
			continue
		}
		for _, v := range variablesOf(t, folder) {
			switch v.name {
			case "region", "boundary", "aws_region", "account_id", "key_admins", "voters", "vpc_id":
				if v.hasDefault {
					t.Errorf("%s: %s has a default", folder, v.name)
				}
			}
		}
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
