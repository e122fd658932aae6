package provider_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
)

// gateFor stands between terraform and the control plane, over real TLS with a
// certificate of its own, and can hold an answer back or send requests to voters
// in turn.
type gateFor struct {
	addr string
	ca   string
	mu   sync.Mutex
	seen []string // X-Policy-Token of each request, in order
	hold func(*http.Request) <-chan struct{}
}

func (s *workspace) gate(voters ...string) *gateFor {
	s.t.Helper()
	hc, err := client.NewHTTP(client.HTTPOptions{CAFile: s.w.env.CAFile()})
	if err != nil {
		s.t.Fatal(err)
	}
	cert, ca := selfSigned(s.t)
	g := &gateFor{ca: ca}
	turn := 0
	proxy := &httputil.ReverseProxy{Transport: hc.Transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.seen = append(g.seen, r.In.Header.Get("X-Policy-Token"))
			to, _ := url.Parse(s.w.env.VoterURL(voters[turn%len(voters)]))
			turn++
			r.SetURL(to)
		},
		ModifyResponse: func(resp *http.Response) error {
			if g.hold != nil {
				if until := g.hold(resp.Request); until != nil {
					<-until
				}
			}
			return nil
		}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	server := &http.Server{Handler: proxy, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.ServeTLS(l, "", "") }()
	s.t.Cleanup(func() { _ = server.Close() })
	g.addr = "https://" + l.Addr().String()
	s.env = append(s.env, "DOMICILE_CONTROL_URL="+g.addr, "DOMICILE_CA="+g.ca)
	return g
}

// The tenant is placed, and before its answer arrives terraform and the provider
// are killed: no state knows of it. The next apply finds it.
func TestAnApplyThatWasKilledConverges(t *testing.T) {
	s := open(t)
	g := s.gate("cp1")
	arrived, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	g.hold = func(r *http.Request) <-chan struct{} {
		if r.Method == http.MethodPost && r.URL.Path == "/v1/tenants" {
			once.Do(func() { close(arrived) })
			return release
		}
		return nil
	}
	s.config(clinic("tf-killed", "ie1", "IE", ""))
	c := s.command(append([]string{"apply", "-auto-approve"}, quiet...)...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-arrived:
	case <-time.After(time.Minute):
		t.Fatal("terraform did not ask for a tenant")
	}
	children := childrenOf(t, c.Process.Pid)
	for _, pid := range append(children, c.Process.Pid) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.Wait()
	close(release)
	there, err := s.control().Tenant(context.Background(), "tf-killed")
	if err != nil {
		t.Fatalf("the tenant was not placed: %v", err)
	}
	if s.state("domicile_tenant", "t") != nil {
		t.Fatal("the state knows of the tenant; the kill came too late to show anything")
	}
	_ = os.Remove(filepath.Join(s.dir, ".terraform.tfstate.lock.info"))
	s.applied()
	if got := s.state("domicile_tenant", "t")["id"]; got != there.GetId() {
		t.Errorf("the state has %v, the control plane %s", got, there.GetId())
	}
}

// Asked politely, the provider finishes what it began, and the state has it.
func TestAnApplyThatIsInterruptedKnowsWhatItDid(t *testing.T) {
	s := open(t)
	g := s.gate("cp1")
	arrived, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	g.hold = func(r *http.Request) <-chan struct{} {
		if r.Method == http.MethodPost && r.URL.Path == "/v1/tenants" {
			once.Do(func() { close(arrived) })
			return release
		}
		return nil
	}
	s.config(clinic("tf-interrupted", "ie1", "IE", ""))
	var out bytes.Buffer
	c := s.command(append([]string{"apply", "-auto-approve"}, quiet...)...)
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-arrived:
	case <-time.After(time.Minute):
		t.Fatal("terraform did not ask for a tenant")
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	close(release)
	_ = c.Wait()
	if s.state("domicile_tenant", "t") == nil {
		t.Fatalf("the state does not know of the tenant:\n%s", out.String())
	}
	s.empty()
}

// A run sees what it wrote, whichever voter answers.
func TestThePolicyTokenIsCarriedThroughARun(t *testing.T) {
	s := open(t)
	g := s.gate("cp1", "cp2", "cp3")
	s.config(clinic("tf-token", "ie1", "IE", "") + rules("tf-token", ""))
	s.applied()
	g.mu.Lock()
	defer g.mu.Unlock()
	with := 0
	for _, token := range g.seen {
		if token != "" {
			with++
		}
	}
	// Each phase of a run is a process of its own, which begins without one.
	if len(g.seen) == 0 || g.seen[0] != "" || with < len(g.seen)/3 {
		t.Errorf("%d of %d requests carried the token", with, len(g.seen))
	}
}

// Two runs of two configurations: one of them is told that the other was faster.
func TestConcurrentAppliesDoNotShareATenant(t *testing.T) {
	a, b := open(t), open(t)
	var both sync.WaitGroup
	outs, codes := make([]string, 2), make([]int, 2)
	for i, s := range []*workspace{a, b} {
		s.config(clinic("tf-both", "ie1", "IE", ""))
		both.Go(func() { outs[i], codes[i] = s.apply() })
	}
	both.Wait()
	if codes[0]+codes[1] != 1 {
		t.Fatalf("exit codes %v:\n%s\n%s", codes, outs[0], outs[1])
	}
	loser := 0
	if codes[1] == 1 {
		loser = 1
	}
	a.refused(outs[loser], 1, "ALREADY_EXISTS", "`import` block")
}

// Two runs that change one policy: neither undoes the other unseen.
func TestConcurrentAppliesOfOnePolicyLoseNothing(t *testing.T) {
	a, b := open(t), open(t)
	base := clinic("tf-race", "ie1", "IE", "")
	a.config(base + rules("tf-race", ""))
	a.applied()
	id := a.state("domicile_tenant", "t")["id"].(string)
	access := "resource \"domicile_access_policy\" \"a\" {\n  tenant = \"" + id + "\"\n  max_duration = %d\n}\n"
	b.config(fmt.Sprintf(access, 3600))
	b.applied()

	a.config(base + rules("tf-race", "  max_policy_staleness = 30"))
	b.config(fmt.Sprintf(access, 600))
	var both sync.WaitGroup
	for _, s := range []*workspace{a, b} {
		both.Go(func() {
			if out, code := s.apply(); code != 0 {
				t.Errorf("apply:\n%s", out)
			}
		})
	}
	both.Wait()
	if got := policyOf(t, a, "tf-race"); got.GetMaxPolicyStaleness() != 30 || got.GetAccess().GetMaxDuration() != 600 {
		t.Errorf("one undid the other: %v", got)
	}
	a.empty()
	b.empty()
}

// A provider that dies in the middle leaves every goroutine's stack in the log:
// no secret is there either.
func TestINV40_NoSecretInACrash(t *testing.T) {
	s := open(t)
	s.env = append(s.env, "TF_LOG=TRACE", "TF_LOG_PATH="+filepath.Join(s.dir, "trace.log"), "GOTRACEBACK=all")
	g := s.gate("cp1")
	secret := drawn(t, "ie1", 'c')
	s.env = append(s.env, "TF_VAR_key="+secret.Key)
	arrived, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	g.hold = func(r *http.Request) <-chan struct{} {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/keys") {
			once.Do(func() { close(arrived) })
			return release
		}
		return nil
	}
	s.config(clinic("tf-crash", "ie1", "IE", "") + keyed)
	var out bytes.Buffer
	c := s.command(append([]string{"apply", "-auto-approve"}, quiet...)...)
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-arrived:
	case <-time.After(time.Minute):
		t.Fatal("terraform did not ask for a key")
	}
	for _, pid := range childrenOf(t, c.Process.Pid) {
		if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.Wait()
	close(release)
	write(t, filepath.Join(s.dir, "output.txt"), out.String())
	if raw, _ := os.ReadFile(filepath.Join(s.dir, "trace.log")); !bytes.Contains(raw, []byte("goroutine ")) {
		t.Fatal("the provider did not crash with its stacks; this shows nothing")
	}
	s.noSecret([]string{secret.Key[len(secret.Key)-64:], secret.SHA256, s.w.env.Token()})
}

// childrenOf finds the processes that a process started.
func childrenOf(t *testing.T, parent int) (children []int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		_, after, _ := strings.Cut(string(raw), ") ")
		if f := strings.Fields(after); len(f) > 1 && f[1] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			children = append(children, pid)
		}
	}
	if len(children) == 0 {
		t.Fatalf("process %d has no children", parent)
	}
	return children
}
