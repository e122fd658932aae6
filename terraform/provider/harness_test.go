package provider_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/policy"
)

// Acceptance tests run the real terraform against a whole Domicile: three voters
// and three regions over real listeners. One of them serves all tests, so each
// uses slugs of its own.

// world is what the acceptance tests share, made when the first one asks.
type world struct {
	env *dev.Environment
	bin string // folder with the provider's binary
	tf  string // the terraform program
	err error
}

var (
	makeWorld = sync.OnceValue(newWorld)
	worldMade bool
)

func TestMain(m *testing.M) {
	code := m.Run()
	if worldMade {
		if w := makeWorld(); w.env != nil {
			if err := errors.Join(w.env.Close(), os.RemoveAll(w.bin)); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
	}
	os.Exit(code)
}

func newWorld() *world {
	worldMade = true
	w := &world{}
	if w.tf, w.err = exec.LookPath("terraform"); w.err != nil {
		return w
	}
	if w.bin, w.err = os.MkdirTemp("", "domicile-terraform-*"); w.err != nil {
		return w
	}
	build := exec.Command("go", "build", "-o", w.bin+"/", "github.com/domicile-io/domicile/cmd/terraform-provider-domicile", "github.com/domicile-io/domicile/cmd/domicile")
	if out, err := build.CombinedOutput(); err != nil {
		w.err = fmt.Errorf("build the programs: %w\n%s", err, out)
		return w
	}
	w.env, w.err = dev.Start(context.Background(), dev.Options{Dir: filepath.Join(w.bin, "data"), TerraformProvider: filepath.Join(w.bin, "terraform-provider-domicile")})
	return w
}

// workspace is one folder that terraform runs in.
type workspace struct {
	t   *testing.T
	w   *world
	dir string
	env []string
}

// open makes a workspace. Without terraform the test is skipped by name, unless
// DOMICILE_NEED_TERRAFORM is set, as .ci/run does.
func open(t *testing.T) *workspace {
	t.Helper()
	if _, err := exec.LookPath("terraform"); err != nil {
		if os.Getenv("DOMICILE_NEED_TERRAFORM") != "" {
			t.Fatal("terraform is missing, and DOMICILE_NEED_TERRAFORM is set")
		}
		t.Skip("SKIPPED, NOT TESTED: terraform is missing; install 1.11 or later")
	}
	w := makeWorld()
	if w.err != nil {
		t.Fatal(w.err)
	}
	s := &workspace{t: t, w: w, dir: t.TempDir()}
	rc := filepath.Join(t.TempDir(), "terraformrc")
	write(t, rc, fmt.Sprintf("provider_installation {\n  dev_overrides {\n    \"domicile-io/domicile\" = %q\n  }\n}\n", w.bin))
	s.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "TF_CLI_CONFIG_FILE=" + rc, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1",
		"DOMICILE_CONTROL_URL=" + w.env.ControlURL(), "DOMICILE_CA=" + w.env.CAFile(), "DOMICILE_TOKEN=" + w.env.Token()}
	return s
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const header = `terraform {
  required_providers {
    domicile = { source = "domicile-io/domicile" }
  }
}
provider "domicile" {}
`

// config replaces the configuration.
func (s *workspace) config(text string) {
	s.t.Helper()
	write(s.t, filepath.Join(s.dir, "main.tf"), header+text)
}

// command is one run of terraform, not started.
func (s *workspace) command(args ...string) *exec.Cmd {
	c := exec.Command(s.w.tf, args...)
	c.Dir, c.Env = s.dir, s.env
	return c
}

// run runs terraform and gives what it printed and its exit code.
func (s *workspace) run(args ...string) (string, int) {
	s.t.Helper()
	c := s.command(args...)
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("terraform %s: %v", args[0], err)
	}
	return string(out), c.ProcessState.ExitCode()
}

var quiet = []string{"-no-color", "-input=false"}

// plan gives the output of a plan and its detailed exit code: 0 nothing to do, 1
// an error, 2 something to do.
func (s *workspace) plan(args ...string) (string, int) {
	s.t.Helper()
	return s.run(append(append([]string{"plan", "-detailed-exitcode"}, quiet...), args...)...)
}

func (s *workspace) apply(args ...string) (string, int) {
	s.t.Helper()
	return s.run(append(append([]string{"apply", "-auto-approve"}, quiet...), args...)...)
}

// applied applies and then wants an empty plan.
func (s *workspace) applied(args ...string) string {
	s.t.Helper()
	out, code := s.apply(args...)
	if code != 0 {
		s.t.Fatalf("apply failed:\n%s", out)
	}
	s.empty()
	return out
}

func (s *workspace) empty() {
	s.t.Helper()
	if out, code := s.plan(); code != 0 {
		s.t.Fatalf("the second plan is not empty (%d):\n%s", code, out)
	}
}

// refused wants a command to fail and to say all of these.
func (s *workspace) refused(out string, code int, says ...string) {
	s.t.Helper()
	if code != 1 {
		s.t.Errorf("exit code %d, want 1:\n%s", code, out)
	}
	s.says(out, says...)
}

// says wants all of these in what a person reads, however lines are broken.
func (s *workspace) says(out string, all ...string) {
	s.t.Helper()
	flat := strings.Join(strings.Fields(strings.NewReplacer("│", " ", "╷", " ", "╵", " ").Replace(out)), " ")
	for _, want := range all {
		if !strings.Contains(flat, want) {
			s.t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
}

func (s *workspace) destroyed() {
	s.t.Helper()
	if out, code := s.run(append([]string{"destroy", "-auto-approve"}, quiet...)...); code != 0 {
		s.t.Fatalf("destroy failed:\n%s", out)
	}
}

// domicile runs the command line in the workspace, with a token ("": the operator's).
func (s *workspace) domicile(token string, args ...string) string {
	s.t.Helper()
	c := exec.Command(filepath.Join(s.w.bin, "domicile"), args...)
	c.Dir, c.Env = s.dir, s.env
	if token != "" {
		c.Env = append(s.env[:len(s.env):len(s.env)], "DOMICILE_TOKEN="+token)
	}
	out, err := c.CombinedOutput()
	if err != nil {
		s.t.Fatalf("domicile %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// signs makes a tenant sign its policies, and gives the files of its key and of
// a second person's.
func (s *workspace) signs(slug string) (keys []string) {
	s.t.Helper()
	ctx := context.Background()
	t, err := s.control().Tenant(ctx, slug)
	if err != nil {
		s.t.Fatal(err)
	}
	known, err := s.control().SigningKeys(ctx, slug)
	if err != nil {
		s.t.Fatal(err)
	}
	root := filepath.Join(s.w.env.Dir(), "pki", "root")
	where := []string{"--root", root + ".key", "--cluster", known.GetCluster(), "--tenant", t.GetId()}
	for _, who := range []string{"tenant", "approver"} {
		s.domicile("", "trust", "init", "--out", who)
		more := []string{"--purpose", who, "--key", who + ".pub", "--out", who + ".cert"}
		if who == "approver" {
			more = append(more, "--principal", "PR000000000000000000000000000000aa", "--entity", t.GetContractingEntity(), "--boundary", t.GetBoundary())
		}
		s.domicile("", append(append([]string{"trust", "certify"}, where...), more...)...)
	}
	s.domicile("", "trust", "enrol", slug, "--cert", "tenant.cert", "--key", "tenant.key", "--root", root+".pub", "--first", "--yes")
	s.domicile(s.w.env.OfficerToken(), "trust", "enrol", slug, "--cert", "approver.cert")
	s.domicile("", "trust", "pin", "--cert", "approver.cert", "--root", root+".pub")
	return []string{"tenant.key", "approver.key"}
}

// pending is the id of the change that an output names.
func (s *workspace) pending(out string) string {
	s.t.Helper()
	id := regexp.MustCompile("CH[0-9a-f]{32}").FindString(out)
	if id == "" {
		s.t.Fatalf("no pending change is named:\n%s", out)
	}
	return id
}

// state is the attributes of one resource in the state; nil when it is not there.
func (s *workspace) state(kind, name string) map[string]any {
	s.t.Helper()
	var state struct {
		Resources []struct {
			Mode, Type, Name string
			Instances        []struct{ Attributes map[string]any }
		}
	}
	raw, err := os.ReadFile(filepath.Join(s.dir, "terraform.tfstate"))
	if errors.Is(err, os.ErrNotExist) || (err == nil && len(raw) == 0) {
		return nil
	}
	if err != nil || json.Unmarshal(raw, &state) != nil {
		s.t.Fatalf("the state cannot be read: %v", err)
	}
	for _, r := range state.Resources {
		if r.Mode == "managed" && r.Type == kind && r.Name == name && len(r.Instances) > 0 {
			return r.Instances[0].Attributes
		}
	}
	return nil
}

// tamper replaces text in the state file, all of it.
func (s *workspace) tamper(old, with string) {
	s.t.Helper()
	file := filepath.Join(s.dir, "terraform.tfstate")
	raw, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(raw, []byte(old)) {
		s.t.Fatalf("the state does not hold %q: %v", old, err)
	}
	write(s.t, file, strings.ReplaceAll(string(raw), old, with))
}

// control is a client with the operator's token, beside terraform.
func (s *workspace) control() *client.Control { return s.as(s.w.env.Token()) }

func (s *workspace) as(token string) *client.Control {
	s.t.Helper()
	hc, err := client.NewHTTP(client.HTTPOptions{CAFile: s.w.env.CAFile()})
	if err != nil {
		s.t.Fatal(err)
	}
	return &client.Control{BaseURL: s.w.env.ControlURL(), Token: token, HTTP: hc, Patience: 10 * time.Second}
}

// noSecret searches everything below the workspace, and inside plan files, for
// secrets, except in files that are meant to hold them.
func (s *workspace) noSecret(secrets []string, except ...string) {
	s.t.Helper()
	seen := 0
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		for _, x := range except {
			if filepath.Base(path) == x {
				return nil
			}
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		for _, part := range append([][]byte{raw}, unzipped(raw)...) {
			for _, secret := range secrets {
				if secret == "" || bytes.Contains(part, []byte(secret)) {
					s.t.Errorf("INV40: %s holds a secret", filepath.Base(path))
				}
			}
		}
		return nil
	})
	if err != nil || seen == 0 {
		s.t.Fatalf("searched %d files: %v", seen, err)
	}
}

func unzipped(raw []byte) (parts [][]byte) {
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return nil
	}
	for _, f := range z.File {
		if r, err := f.Open(); err == nil {
			b, _ := io.ReadAll(r)
			parts = append(parts, b)
		}
	}
	return parts
}

func has(err error, reason policy.Reason) bool { return errors.Is(err, &policy.Error{Reason: reason}) }
