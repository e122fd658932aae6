package awstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/internal/loopback"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// Gateway is a running S3 server of another make, of one region, which checks
// signatures. Its objects lie as files in Dir/<bucket>, so that a test can damage
// them and the disk can be lost.
type Gateway struct {
	URL   string // https
	CA    string // file: who signed the server's certificate
	Login string // file: credentials as a credential_process prints them
	Dir   string

	t       testing.TB
	program string
	args    []string
	port    int
	process *exec.Cmd
	out     bytes.Buffer
}

// NewGateway starts versitygw of `make versitygw`; it ends with the test. Without it
// the test is skipped, unless DOMICILE_NEED_S3 is set, as .ci/run does.
func NewGateway(t testing.TB, region string) *Gateway {
	t.Helper()
	_, self, _, _ := runtime.Caller(0)
	program := filepath.Join(filepath.Dir(self), "..", "..", "..", ".build", "peers", "versitygw")
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("DOMICILE_NEED_S3") != "" {
			t.Fatal("versitygw is missing, and DOMICILE_NEED_S3 is set")
		}
		t.Skip("SKIPPED, NOT TESTED: versitygw is missing; run `make versitygw`")
	}
	dir := t.TempDir()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ca, err := mtls.OpenAuthority(filepath.Join(dir, "ca"))
	check(err)
	files, err := ca.Issue(filepath.Join(dir, "gateway"), mtls.Identity{Cluster: "CL" + strings.Repeat("0", 32), Region: "ie1", Role: mtls.DataPlane,
		Node: policy.NodeID("ND" + strings.Repeat("1", 32))}, "127.0.0.1")
	check(err)
	g := &Gateway{t: t, CA: files.CA, Login: filepath.Join(dir, "login.json"), Dir: filepath.Join(dir, "data"), program: program}
	check(os.Mkdir(g.Dir, 0o700))
	const access, secret = "AKIDOMICILETEST00000", "a secret of a test, nothing else"
	raw, err := json.Marshal(map[string]any{"Version": 1, "AccessKeyId": access, "SecretAccessKey": secret})
	check(err)
	check(os.WriteFile(g.Login, raw, 0o600))
	port, err := loopback.Port()
	check(err)
	g.port = port
	address := fmt.Sprintf("127.0.0.1:%d", port)
	g.URL = "https://" + address
	g.args = []string{"--access", access, "--secret", secret, "--region", region, "--port", address, "--cert", files.Certificate, "--key", files.Key, "--quiet", "posix", g.Dir}
	t.Cleanup(func() {
		g.Stop()
		if t.Failed() {
			t.Logf("versitygw said: %s", g.out.String())
		}
	})
	g.Start()
	return g
}

// Start starts the server again after Stop, and waits until it listens.
func (g *Gateway) Start() {
	g.t.Helper()
	g.process = exec.Command(g.program, g.args...)
	g.process.Stdout, g.process.Stderr = &g.out, &g.out
	if err := g.process.Start(); err != nil {
		g.t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if loopback.Answers(g.port) {
			return
		}
		if time.Now().After(deadline) {
			g.t.Fatal("versitygw does not listen")
		}
	}
}

// Stop kills the server.
func (g *Gateway) Stop() {
	if g.process == nil {
		return
	}
	_ = g.process.Process.Kill()
	_ = g.process.Wait()
	g.process = nil
}

// Bucket makes a bucket of the server's region, and gives its folder.
func (g *Gateway) Bucket(name string) string {
	g.t.Helper()
	dir := filepath.Join(g.Dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		g.t.Fatal(err)
	}
	return dir
}
