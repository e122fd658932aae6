package controlplane_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/bundle"
	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/internal/loopback"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// cluster is a real control plane: voters over TLS and Raft on loopback.
type cluster struct {
	t       testing.TB
	id      string
	ca      *mtls.Authority
	root    ed25519.PublicKey
	rootKey ed25519.PrivateKey // offline, were this no test
	client  *http.Client
	configs []controlplane.Config
	planes  []*controlplane.Plane // nil while stopped
	timing  controlplane.Timing
	log     *slog.Logger // of all voters; nil discards
}

const (
	operatorToken = "operator-token-of-the-tests-0123456789"
	officerToken  = "officer-token-of-the-tests-0123456789"
	patience      = time.Minute // what is waited for comes in milliseconds; a machine that does much else is late by seconds
)

var fast = controlplane.Timing{Heartbeat: 200 * time.Millisecond, Renew: 300 * time.Millisecond, FreshFor: 60 * time.Second, ViolationsApart: 50 * time.Millisecond, Announce: 200 * time.Millisecond}

func newCluster(t testing.TB, voters int) *cluster {
	t.Helper()
	c := prepare(t, voters)
	c.startAll()
	return c
}

// startAll starts every voter.
func (c *cluster) startAll() {
	c.t.Helper()
	for i := range c.configs {
		c.start(i)
	}
	c.ready()
}

// prepare makes keys, certificates and configurations. Voters that still run when
// the test ends are stopped.
func prepare(t testing.TB, voters int) *cluster {
	t.Helper()
	dir := t.TempDir()
	c := &cluster{t: t, id: mustID(t, policy.KindCluster), planes: make([]*controlplane.Plane, voters), timing: fast}
	t.Cleanup(func() {
		for i := range c.planes {
			c.stop(i)
		}
	})
	var err error
	if c.ca, err = mtls.OpenAuthority(filepath.Join(dir, "pki")); err != nil {
		t.Fatal(err)
	}
	pub, root, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.root, c.rootKey = pub, root
	seed := bytes.Repeat([]byte{7}, ed25519.SeedSize)
	key := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(hex.EncodeToString(b)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	seedFile, certFile := write("bundle.key", seed), write("bundle.cert", bundle.CertifyKey(root, c.id, key))
	token := sha256.Sum256([]byte(operatorToken))
	var members []controlplane.Voter
	for i := range voters {
		members = append(members, controlplane.Voter{Name: fmt.Sprintf("cp%d", i+1), RaftAddress: freePort(t), GRPCAddress: freePort(t)})
	}
	for i, m := range members {
		c.configs = append(c.configs, controlplane.Config{
			Name: m.Name, DataDir: filepath.Join(dir, m.Name),
			TLS:         c.issue(filepath.Join(dir, "tls", m.Name), mtls.ControlRegion, mtls.ControlPlane),
			GatewayTLS:  c.issue(filepath.Join(dir, "gw", m.Name), mtls.ControlRegion, mtls.Gateway),
			RESTAddress: freePort(t), GRPCAddress: members[i].GRPCAddress, RaftAddress: members[i].RaftAddress, OpsAddress: freePort(t),
			Voters: members, BundleKey: seedFile, BundleKeyCertificate: certFile, RootPublicKey: hex.EncodeToString(pub),
			Bootstrap: &controlplane.Bootstrap{OperatorTokenSHA256: hex.EncodeToString(token[:]), OfficerTokenSHA256: hashed(officerToken), BaseURLs: map[string]string{"ie1": "https://127.0.0.1:7001"}},
		})
	}
	roots, err := mtls.LoadRoots(c.configs[0].TLS.CA)
	if err != nil {
		t.Fatal(err)
	}
	c.client = &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 64, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	t.Cleanup(c.client.CloseIdleConnections)
	return c
}

func (c *cluster) issue(dir string, region policy.RegionID, role mtls.Role) mtls.Files {
	c.t.Helper()
	f, err := c.ca.Issue(dir, mtls.Identity{Cluster: c.id, Region: region, Role: role, Node: policy.NodeID(mustID(c.t, policy.KindNode))}, "127.0.0.1")
	if err != nil {
		c.t.Fatal(err)
	}
	return f
}

func (c *cluster) start(i int) {
	c.t.Helper()
	log := c.log
	if testing.Verbose() && os.Getenv("DOMICILE_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	p, err := controlplane.Open(context.Background(), c.configs[i], controlplane.Options{Logger: log, Timing: c.timing})
	if err != nil {
		c.t.Fatal(err)
	}
	c.planes[i] = p
}

func (c *cluster) stop(i int) {
	c.t.Helper()
	if c.planes[i] == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.planes[i].Close(ctx); err != nil {
		c.t.Errorf("close voter %d: %v", i+1, err)
	}
	c.planes[i] = nil
}

// ready waits until every running voter is.
func (c *cluster) ready() {
	c.t.Helper()
	running := 0
	for i, p := range c.planes {
		if p != nil {
			running++
			eventually(c.t, func() error { return p.Ready() }, "voter %d is not ready", i+1)
		}
	}
	// What members announce of themselves is a change too, and tests look at revisions.
	for i, p := range c.planes {
		if p != nil {
			eventually(c.t, func() error {
				if n := p.Status().Members; n < running {
					return fmt.Errorf("%d members are known", n)
				}
				return nil
			}, "voter %d does not know all members", i+1)
		}
	}
}

// leader gives the index of the leading voter.
func (c *cluster) leader() int {
	c.t.Helper()
	found := -1
	eventually(c.t, func() error {
		for i, p := range c.planes {
			if p != nil && p.Status().Leader {
				found = i
				return nil
			}
		}
		return fmt.Errorf("nobody leads")
	}, "no leader")
	return found
}

// follower gives the index of a running voter that does not lead.
func (c *cluster) follower() int {
	c.t.Helper()
	leader := c.leader()
	for i, p := range c.planes {
		if p != nil && i != leader {
			return i
		}
	}
	c.t.Fatal("no follower runs")
	return -1
}

// answer is what a REST request got.
type answer struct {
	Status int
	Header http.Header
	Body   map[string]any
	Raw    string
	known  bool // by targets: the request carried what some state may know
}

func (a answer) str(key string) string { s, _ := a.Body[key].(string); return s }

// headers of one request; "Authorization" is the operator's unless given.
type headers map[string]string

// do sends a request to a voter as a good client does: again while the leader
// changes and nothing was done, and again under one idempotency key while nobody
// knows whether it was. Body is marshalled unless it is a string.
func (c *cluster) do(voter int, method, path string, body any, h headers) answer {
	c.t.Helper()
	a, err := c.settled(voter, method, path, body, h)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (c *cluster) settled(voter int, method, path string, body any, h headers) (answer, error) {
	h = keyed(method, h)
	for deadline := time.Now().Add(patience); ; <-time.After(20 * time.Millisecond) {
		a, err := c.try(voter, method, path, body, h)
		if err != nil {
			return a, err
		}
		leaderless := a.Status == 503 && a.str("reason") == string(policy.NotReady) && strings.Contains(a.str("detail"), "nothing was done")
		unknown := a.Status == 503 && a.str("reason") == string(policy.OutcomeUnknown) && h["Idempotency-Key"] != ""
		if !leaderless && !unknown || time.Now().After(deadline) {
			return a, nil
		}
	}
}

// keyed adds an idempotency key to what changes something and has none.
func keyed(method string, h headers) headers {
	if _, has := h["Idempotency-Key"]; has || method == http.MethodGet {
		return h
	}
	out := headers{"Idempotency-Key": uuid()}
	maps.Copy(out, h)
	return out
}

func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// once sends one request to a voter.
func (c *cluster) once(voter int, method, path string, body any, h headers) answer {
	c.t.Helper()
	a, err := c.try(voter, method, path, body, h)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (c *cluster) try(voter int, method, path string, body any, h headers) (answer, error) {
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = bytes.NewReader([]byte(b))
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			return answer{}, err
		}
		r = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, "https://"+c.configs[voter].RESTAddress+path, r)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+operatorToken)
	for k, v := range h {
		req.Header.Set(k, v)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{Status: resp.StatusCode, Header: resp.Header, Raw: string(raw)}
	_ = json.Unmarshal(raw, &a.Body) // not every answer is JSON
	return a, nil
}

// want fails unless the answer has the status, and the reason when one is given.
func (c *cluster) want(a answer, status int, reason policy.Reason) answer {
	c.t.Helper()
	if a.Status != status || a.str("reason") != string(reason) {
		c.t.Fatalf("answer %d %q, want %d %q: %s", a.Status, a.str("reason"), status, reason, a.Raw)
	}
	if reason != "" && (a.Header.Get("Content-Type") != "application/problem+json" || a.str("request_id") == "" || a.str("request_id") != a.Header.Get("X-Request-Id")) {
		c.t.Fatalf("no proper problem document: %v %s", a.Header, a.Raw)
	}
	return a
}

// tenant makes one and gives its creation's answer.
func (c *cluster) tenant(slug, region string) answer {
	c.t.Helper()
	return c.want(c.do(0, "POST", "/v1/tenants", map[string]any{"slug": slug, "home_region": region, "billing_country": "IE"}, nil), 201, "")
}

// officer is the security officer's.
var officer = headers{"Authorization": "Bearer " + officerToken}

// token makes one of a role, for a tenant, a region or "".
func (c *cluster) token(role, where string) headers {
	c.t.Helper()
	body := map[string]any{"role": role, "tenant": where}
	if role == "region_admin" {
		body = map[string]any{"role": role, "region": where}
	}
	var secret string
	eventually(c.t, func() error { // do repeats what has no outcome, and whoever repeats is not shown the secret
		if secret = c.want(c.do(0, "POST", "/v1/tokens", body, officer), 201, "").str("secret"); secret == "" {
			return errors.New("a repeated request shows no secret")
		}
		return nil
	}, "no token of %s", role)
	return headers{"Authorization": "Bearer " + secret}
}

func eventually(t testing.TB, f func() error, format string, args ...any) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", fmt.Sprintf(format, args...), err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func hashed(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

func freePort(t testing.TB) string {
	t.Helper()
	port, err := loopback.Port()
	if err != nil {
		t.Fatal(err)
	}
	return loopback.Address(port)
}

func mustID(t testing.TB, kind policy.IDKind) string {
	t.Helper()
	id, err := policy.NewID(kind, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// roots are the cluster's authorities.
func (c *cluster) roots() *x509.CertPool {
	c.t.Helper()
	roots, err := mtls.LoadRoots(c.configs[0].TLS.CA)
	if err != nil {
		c.t.Fatal(err)
	}
	return roots
}
