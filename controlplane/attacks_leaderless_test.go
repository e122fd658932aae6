package controlplane_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/controlplane/login/logintest"
	"github.com/domicile-io/domicile/controlplane/server"
	"github.com/domicile-io/domicile/policy"
)

// Attacks while there is no leader, and while the leader changes (04 section 7:
// "all of these during a leader loss"). The voters are processes; the attacks are
// those that a voter in good order withstands, and their answers may differ in one
// thing only: whoever shows what some state may know can be told that there is no
// leader. Nothing that was refused may happen later, when one is found.

// mayBeKnown reports whether a newer state than a voter's own could believe a header.
func mayBeKnown(header string) bool {
	token, bearer := strings.CutPrefix(header, "Bearer ")
	return bearer && len(token) >= 16 && len(token) <= 512
}

// leaderless reports whether an answer says that there is no leader, or that one was
// lost, and when to ask again.
func leaderless(status int, reason string, h http.Header) bool {
	return status == http.StatusServiceUnavailable && (reason == string(policy.NotReady) || reason == string(policy.OutcomeUnknown)) && h.Get("Retry-After") != ""
}

// suites are the attacks that one voter in good order withstands, at once.
func (x *target) suites(t *testing.T, e *logintest.Issuer) {
	t.Helper()
	var all sync.WaitGroup
	for _, suite := range []func(*testing.T){x.metadataIsNotSmuggled, x.aMethodIsWhatTheLineSays, x.pathsHaveOneReading, x.queriesHaveOneReading, x.bodiesHaveOneReading,
		x.requestsAreNotSmuggled, x.forgedCertificatesOpenNothing, x.oldProtocolsAreRefused, x.onlyWhatIsListedAnswers,
		func(t *testing.T) { t.Helper(); x.tokensOfNobodyOpenNothing(t, e) }} {
		all.Go(func() { suite(t) })
	}
	all.Wait()
}

func TestINV12_AttacksDuringALeaderLoss(t *testing.T) {
	t.Parallel() // it waits for the most part
	c := prepare(t, 3)
	e := logintest.New(t)
	c.loginsAt(t, e)
	c.startAll()
	w := c.world()
	x := &target{cluster: c, victim: c.furnished("victim"), logged: &logged{}}
	x.auditor = strings.TrimPrefix(x.token("auditor", "")["Authorization"], "Bearer ")
	principals := w.principals()
	for i := range principals { // hundreds of requests at once
		if p := &principals[i]; p.certificate == "" {
			p.client.Transport.(*http.Transport).ForceAttemptHTTP2 = true
		}
	}
	before := w.state()
	x.procs = c.becomeProcesses()

	x.procs.alone(0)
	t.Run("without a leader", func(t *testing.T) { x.suites(t, e) })
	t.Run("the matrix without a leader", func(t *testing.T) {
		m := w.matrixUnder(t, principals)
		m.ask(func(p principal) bool {
			return p.name == "operator" || p.name == "auditor" || p.foreign && p.ofTenant || p.role == "" || p.certificate != ""
		}, overGRPC, "")
		m.ask(func(p principal) bool { return p.certificate == "" && (p.name == "operator" || p.role == "") }, overREST, "")
		m.ask(func(p principal) bool { return p.certificate == "" }, overREST, "minimize_latency")
		m.wait()
	})
	x.procs.together(0)

	ctx, stop := context.WithCancel(t.Context())
	changed := make(chan int, 1)
	go func() { defer close(changed); changed <- x.procs.changing(ctx) }()
	t.Run("while the leader changes", func(t *testing.T) { x.suites(t, e) })
	t.Run("the matrix while the leader changes", func(t *testing.T) {
		m := w.matrixUnder(t, principals)
		m.refusedOnly = true // what is allowed would change the state
		m.ask(func(principal) bool { return true }, overGRPC, "")
		m.wait()
	})
	stop()
	if n := <-changed; n < 3 {
		t.Errorf("the leader changed %d times: these attacks show nothing", n)
	} else {
		t.Logf("the leader changed %d times", n)
	}

	x.procs.unharmed(t, x.auditor)
	for i, state := range x.procs.states() {
		if state != before {
			t.Errorf("voter %d holds %s, and before the attacks all held %s", i+1, state, before)
		}
	}
}

// loginsAt lets people log in at an issuer that signs anything.
func (c *cluster) loginsAt(t *testing.T, e *logintest.Issuer) {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := write("issuer.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.Certificate().Raw}))
	key := write("principal.key", []byte(strings.Repeat("5a", 32)+"\n"))
	for i := range c.configs {
		c.configs[i].OIDC = []controlplane.OIDC{{Issuer: e.URL, ClientID: logintest.Client, Audience: logintest.Audience, CA: ca}}
		c.configs[i].PrincipalKey = key
	}
}

// atOnce bounds calls that may each wait for a leader: a voter takes 256.
const atOnce = 240

// matrixUnder is the permission matrix while a leader is missing or changes.
type matrixUnder struct {
	t           *testing.T
	w           *world
	principals  []principal
	methods     []apiMethod
	rows        map[string]server.Row
	refusedOnly bool
	all         errgroup.Group
	mu          sync.Mutex
	count       map[string]int
}

func (w *world) matrixUnder(t *testing.T, principals []principal) *matrixUnder {
	t.Helper()
	m := &matrixUnder{t: t, w: w, principals: principals, methods: apiMethods(t), rows: map[string]server.Row{}, count: map[string]int{}}
	for _, r := range server.Rows() {
		m.rows[r.Method] = r
	}
	m.all.SetLimit(atOnce)
	return m
}

// ask makes every call of those principals over one transport.
func (m *matrixUnder) ask(of func(principal) bool, over transport, consistency string) {
	for _, method := range m.methods {
		for _, p := range m.principals {
			if of(p) {
				m.all.Go(func() error { m.cell(method, p, over, consistency); return nil })
			}
		}
	}
}

func (m *matrixUnder) wait() {
	m.t.Helper()
	_ = m.all.Wait() // nothing fails
	m.t.Logf("%v", m.count)
}

// cell compares one answer with what a voter in good order would say.
func (m *matrixUnder) cell(method apiMethod, p principal, over transport, consistency string) {
	row, call := m.rows[method.full], calls[method.short]
	target := m.w.mine
	if p.foreign {
		target = m.w.other
	}
	want := due(row, p, call.scoped(m.w))
	if m.refusedOnly && want == allowed || row.Write && consistency != "" { // the mode is of reads
		return
	}
	p.consistency = consistency
	o := over(m.w, method, call, p, target)
	got := verdictOf(o)
	if got == noREST {
		return
	}
	if o.rest {
		want = restDue(want, row, p)
	}
	nobody := o.reason == policy.NotReady || o.reason == policy.OutcomeUnknown
	local := row.Local || !row.Write && consistency != ""
	ok := got == want
	switch {
	case method.short == "BackupService/CreateBackup" && want == allowed && !m.refusedOnly:
		ok = nobody // it waits for a leader for longer than we do
	case nobody: // only for who may be known, and never where the voter itself can tell
		ended := p.name == "revoked" // by the voter's own state, which may have forgotten what expired
		ok = p.certificate == "dp" && want == allowed || p.certificate == "cp" && want == allowed ||
			mayBeKnown(p.header) && want != noTLS && !(local && p.role != "") && !(ended && !m.refusedOnly)
		// What a token's role may never do is said without waiting for anybody.
		ok = ok && (want != forbidden || p.role == "" || p.certificate != "" || m.refusedOnly)
		ok = ok && (!o.rest || strings.Contains(string(o.body), "Retry-After:["))
	case want == allowed && !local && !m.refusedOnly:
		ok = false // nobody can have done it, or known that it is so
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count[fmt.Sprintf("%s for %s", shownAs(nobody, got), want)]++
	if !ok {
		m.t.Errorf("%s as %s over %s, consistency %q: %s (%s), want %s", method.short, p.name, o.transport(), consistency, got, o.text, want)
	}
}

func shownAs(nobody bool, v verdict) verdict {
	if nobody {
		return "503"
	}
	return v
}
