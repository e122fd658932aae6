package modules_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

var (
	rewrite = flag.Bool("rewrite", false, "write docs/terraform/modules anew")
	planted = flag.Bool("modules.planted", false, "plant every known bug into copies of the modules, not a few")
)

// schemaFile is what `make aws-schema` makes.
const schemaFile = "../../.build/aws-schema/schema.json"

// tools are what all tests share, made when the first one asks.
type tools struct {
	dir string // with the mirror and the programs of ours
	rc  string
	err error
}

var (
	makeTools = sync.OnceValue(newTools)
	toolsMade bool
)

func TestMain(m *testing.M) {
	code := m.Run()
	if toolsMade {
		_ = os.RemoveAll(makeTools().dir)
	}
	os.Exit(code)
}

func newTools() *tools {
	toolsMade = true
	w := &tools{}
	if w.dir, w.err = os.MkdirTemp("", "domicile-modules-*"); w.err != nil {
		return w
	}
	w.err = w.build()
	return w
}

// build makes a mirror of two providers: the schema of AWS's, and ours.
func (w *tools) build() error {
	raw, err := os.ReadFile(schemaFile)
	if err != nil {
		return err
	}
	var schema struct{ Version string }
	if err := json.Unmarshal(raw, &schema); err != nil {
		return fmt.Errorf("read %s: %w", schemaFile, err)
	}
	mirror := filepath.Join(w.dir, "mirror")
	platform := goenv("GOOS") + "_" + goenv("GOARCH")
	aws := filepath.Join(mirror, "registry.terraform.io/hashicorp/aws", schema.Version, platform)
	ours := filepath.Join(mirror, "registry.terraform.io/domicile-io/domicile/0.1.0", platform)
	for _, b := range []struct{ pkg, dir, name string }{
		{"internal/awsschema", aws, "terraform-provider-aws_v" + schema.Version},
		{"cmd/terraform-provider-domicile", ours, "terraform-provider-domicile_v0.1.0"},
	} {
		if err := os.MkdirAll(b.dir, 0o755); err != nil {
			return err
		}
		if out, err := exec.Command("go", "build", "-o", filepath.Join(b.dir, b.name), "github.com/domicile-io/domicile/"+b.pkg).CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", b.pkg, err, out)
		}
	}
	if err := os.WriteFile(filepath.Join(aws, "schema.json"), raw, 0o644); err != nil {
		return err
	}
	w.rc = filepath.Join(w.dir, "terraformrc")
	return os.WriteFile(w.rc, fmt.Appendf(nil, "provider_installation {\n  filesystem_mirror {\n    path    = %q\n    include = [\"registry.terraform.io/*/*\"]\n  }\n}\n", mirror), 0o644)
}

func goenv(name string) string {
	out, _ := exec.Command("go", "env", name).Output()
	return string(out[:max(len(out)-1, 0)])
}

// space is a copy of terraform/ in which terraform runs.
type space struct {
	t   *testing.T
	w   *tools
	dir string // of the copy
	env []string
}

// open copies modules and examples. Without terraform or the schema the test is
// skipped by name, unless DOMICILE_NEED_AWS_SCHEMA is set, as .ci/run does.
func open(t *testing.T) *space {
	t.Helper()
	missing := ""
	if _, err := exec.LookPath("terraform"); err != nil {
		missing = "terraform is missing; install 1.11 or later"
	} else if _, err := os.Stat(schemaFile); err != nil {
		missing = "the AWS provider's schema is missing; make aws-schema"
	}
	if missing != "" {
		if os.Getenv("DOMICILE_NEED_AWS_SCHEMA") != "" {
			t.Fatal(missing + ", and DOMICILE_NEED_AWS_SCHEMA is set")
		}
		t.Skip("SKIPPED, NOT TESTED: " + missing)
	}
	w := makeTools()
	if w.err != nil {
		t.Fatal(w.err)
	}
	s := &space{t: t, w: w, dir: t.TempDir()}
	for _, folder := range []string{"modules", "examples"} {
		if err := os.CopyFS(filepath.Join(s.dir, folder), os.DirFS(filepath.Join("..", folder))); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// run runs terraform in a folder of the copy and gives what it printed and its exit code.
func (s *space) run(folder string, args ...string) (string, int) {
	s.t.Helper()
	c := exec.Command("terraform", args...)
	c.Dir = filepath.Join(s.dir, folder)
	// Nothing of a cloud's is in the environment: whoever asked for credentials would fail.
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "TF_CLI_CONFIG_FILE=" + s.w.rc, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1"}, s.env...)
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("terraform %s: %v", args[0], err)
	}
	return string(out), c.ProcessState.ExitCode()
}

// must is run, and the test ends when it fails.
func (s *space) must(folder string, args ...string) string {
	s.t.Helper()
	out, code := s.run(folder, args...)
	if code != 0 {
		s.t.Fatalf("terraform %v in %s:\n%s", args, folder, out)
	}
	return out
}

// init installs the providers.
func (s *space) init(folder string) {
	s.t.Helper()
	s.must(folder, "init", "-backend=false", "-input=false", "-no-color")
}
