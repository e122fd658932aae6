// Package issuer runs a real OpenID provider for tests: npm's oidc-provider,
// which is certified by the OpenID Foundation, under Node. `make issuer`
// installs it, pinned, into .build/; a test without it is skipped by name, and
// .ci/run sees to it that it is there.
package issuer

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

//go:embed issuer.mjs
var script []byte

// Options of Start.
type Options struct {
	Port      int      // on 127.0.0.1
	Client    string   // public client with the device flow
	Audiences []string // that access tokens may be made for; the first by default
	CertPEM   []byte   // of 127.0.0.1
	KeyPEM    []byte
}

// Issuer is a running provider.
type Issuer struct {
	URL     string
	t       testing.TB
	in      io.Writer
	answers *bufio.Scanner
}

// folder is where `make issuer` put the provider.
func folder() string {
	_, self, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(self), "..", "..", ".build", "issuer")
}

// Start starts a provider that ends with the test. Without Node or the provider
// the test is skipped, unless DOMICILE_NEED_ISSUER is set, as .ci/run does.
func Start(t testing.TB, o Options) *Issuer {
	t.Helper()
	missing := func(what string) {
		if os.Getenv("DOMICILE_NEED_ISSUER") != "" {
			t.Fatalf("%s is missing, and DOMICILE_NEED_ISSUER is set", what)
		}
		t.Skipf("SKIPPED, NOT TESTED: %s is missing; run `make issuer` (it needs node and npm)", what)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		missing("node")
	}
	dir := folder()
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "oidc-provider")); err != nil {
		missing("oidc-provider")
	}
	i := &Issuer{URL: fmt.Sprintf("https://127.0.0.1:%d", o.Port), t: t}
	path := filepath.Join(t.TempDir(), "issuer.mjs")
	if err := os.WriteFile(path, script, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, path)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // it ends itself
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the issuer said: %s", stderr.String())
		}
	})
	i.in, i.answers = in, bufio.NewScanner(out)
	conf, err := json.Marshal(map[string]any{"issuer": i.URL, "port": o.Port, "client": o.Client, "audiences": o.Audiences, "cert": string(o.CertPEM), "key": string(o.KeyPEM)})
	if err != nil {
		t.Fatal(err)
	}
	i.say(string(conf), "ready")
	return i
}

// say sends a line and waits for the answer; what else is printed is passed over.
func (i *Issuer) say(line, want string) {
	i.t.Helper()
	if _, err := io.WriteString(i.in, line+"\n"); err != nil {
		i.t.Fatalf("the issuer takes no more: %v", err)
	}
	for i.answers.Scan() {
		if strings.TrimSpace(i.answers.Text()) == want {
			return
		}
	}
	i.t.Fatalf("the issuer ended before it said %q", want)
}

// Rotate replaces the issuer's signing key; the former one is withdrawn.
func (i *Issuer) Rotate() { i.t.Helper(); i.say("rotate", "done") }

// Lifetime sets how long access tokens last from now on.
func (i *Issuer) Lifetime(seconds int) {
	i.t.Helper()
	i.say(fmt.Sprintf("lifetime %d", seconds), "done")
}
