package controlplane_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/internal/cli"
	"github.com/domicile-io/domicile/internal/issuer"
	"github.com/domicile-io/domicile/internal/loopback"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

const (
	audience = "https://control.example"
	other    = "https://other.example" // an API that is not ours
)

// organisation is a control plane whose people log in at a real issuer.
type organisation struct {
	*cluster
	issuer *issuer.Issuer
	home   string
}

func newOrganisation(t *testing.T, voters int) *organisation {
	t.Helper()
	c := prepare(t, voters)
	files := c.issue(t.TempDir(), mtls.ControlRegion, mtls.Gateway) // any certificate for 127.0.0.1
	pem := func(path string) []byte {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	port, err := loopback.Port()
	if err != nil {
		t.Fatal(err)
	}
	o := &organisation{cluster: c, home: t.TempDir()}
	o.issuer = issuer.Start(t, issuer.Options{Port: port, Client: "domicile-cli", Audiences: []string{audience, other}, CertPEM: pem(files.Certificate), KeyPEM: pem(files.Key)})
	key := filepath.Join(t.TempDir(), "principal.key")
	if err := os.WriteFile(key, []byte(strings.Repeat("5a", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range c.configs {
		c.configs[i].OIDC = []controlplane.OIDC{{Issuer: o.issuer.URL, ClientID: "domicile-cli", Audience: audience, CA: files.CA}}
		c.configs[i].PrincipalKey = key
	}
	t.Setenv("XDG_CONFIG_HOME", o.home)
	c.startAll()
	return o
}

// streams of a command that another goroutine watches.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// run is a command line against the first voter.
func (o *organisation) run(args ...string) (code int, out string) {
	var b transcript
	args = append([]string{"--control-url", "https://" + o.configs[0].RESTAddress, "--ca", o.configs[0].TLS.CA}, args...)
	code = cli.Run(context.Background(), args, cli.Streams{In: strings.NewReader(""), Out: &b, Err: &b})
	return code, b.String()
}

var page = regexp.MustCompile(`open +(https://\S+)`)

// login is the whole device flow: the command in one goroutine, a person with a
// browser in another. It gives the access token that the command kept.
func (o *organisation) login(person string, args ...string) string {
	o.t.Helper()
	var b transcript
	done := make(chan int, 1)
	args = append([]string{"--control-url", "https://" + o.configs[0].RESTAddress, "--ca", o.configs[0].TLS.CA, "login", "--issuer-ca", o.configs[0].TLS.CA}, args...)
	go func() {
		done <- cli.Run(context.Background(), args, cli.Streams{In: strings.NewReader(""), Out: &b, Err: &b})
	}()
	var found []string
	eventually(o.t, func() error {
		if found = page.FindStringSubmatch(b.String()); found == nil {
			return fmt.Errorf("no page yet: %s", b.String())
		}
		return nil
	}, "the login does not begin")
	issuer.Confirm(o.t, o.client, found[1], person)
	code := <-done
	if len(args) == 7 && code != 0 {
		o.t.Fatalf("login ended with %d: %s", code, b.String())
	}
	return o.kept()
}

func (o *organisation) kept() string {
	o.t.Helper()
	path := filepath.Join(o.home, "domicile", "logins.json")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		o.t.Fatalf("logins: %v %v", info, err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		o.t.Fatal(err)
	}
	var all map[string]struct {
		Access string `json:"access_token"`
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		o.t.Fatal(err)
	}
	return all["https://"+o.configs[0].RESTAddress].Access
}

func as(token string) headers { return headers{"Authorization": "Bearer " + token} }

// TestLoginAtARealIssuer is a person's whole life with the control plane, at a
// certified OpenID provider, over both voters and the command line.
func TestLoginAtARealIssuer(t *testing.T) {
	o := newOrganisation(t, 3)
	token := o.login("ann")

	// A login alone opens nothing, and tells the person their principal.
	a := o.want(o.do(0, "GET", "/v1/tenants", nil, as(token)), 403, policy.PermissionDenied)
	me := a.Body["metadata"].(map[string]any)["principal"].(string)
	if !policy.ValidID(policy.KindPrincipal, me) || strings.Contains(a.Raw, "ann") {
		t.Fatalf("the refusal names %q: %s", me, a.Raw)
	}
	if code, out := o.run("whoami"); code != 0 || !strings.Contains(out, me) || !strings.Contains(out, "principals bind") {
		t.Errorf("whoami: %d %s", code, out)
	}
	o.want(o.do(0, "POST", "/v1/principals", map[string]any{"id": me, "role": "auditor"}, officer), 201, "")
	for voter := range o.configs { // decided alike by leader and followers
		o.want(o.do(voter, "GET", "/v1/tenants", nil, as(token)), 200, "")
	}
	o.want(o.do(0, "POST", "/v1/tenants", map[string]any{"slug": "none", "home_region": "ie1", "billing_country": "IE"}, as(token)), 403, policy.PermissionDenied)
	if code, out := o.run("tenants", "list", "-o", "json"); code != 0 {
		t.Errorf("the command line does not use the login: %d %s", code, out)
	}

	// Another person is another principal.
	bob := o.login("bob")
	b := o.want(o.do(0, "GET", "/v1/whoami", nil, as(bob)), 200, "")
	if b.str("principal") == me || b.str("role") != "" {
		t.Errorf("bob is %s", b.Raw)
	}

	// The issuer replaces its key: a new login works, the withdrawn key's tokens end.
	o.issuer.Rotate()
	again := o.login("ann")
	o.want(o.do(0, "GET", "/v1/tenants", nil, as(again)), 200, "")
	leader := o.leader()
	o.want(o.do(leader, "GET", "/v1/tenants", nil, as(again)), 200, "")
	o.want(o.do(leader, "GET", "/v1/tenants", nil, as(token)), 401, policy.Unauthenticated)

	// A role that is taken away ends at once, though the token was checked before.
	tag := o.do(0, "GET", "/v1/principals/"+me, nil, officer).Header.Get("ETag")
	h := headers{"Authorization": officer["Authorization"], "If-Match": tag}
	o.want(o.do(0, "DELETE", "/v1/principals/"+me, nil, h), 200, "")
	o.want(o.do(0, "GET", "/v1/tenants", nil, as(again)), 403, policy.PermissionDenied)

	if code, out := o.run("logout"); code != 0 {
		t.Errorf("logout: %d %s", code, out)
	}
	if code, out := o.run("whoami"); code != 2 || !strings.Contains(out, "domicile login") {
		t.Errorf("after logout: %d %s", code, out)
	}
}

func TestLoginTokensOfOthersAndOfThePastAreRefused(t *testing.T) {
	o := newOrganisation(t, 1)
	foreign := o.login("ann", "--audience", other, "--issuer", o.issuer.URL, "--client-id", "domicile-cli")
	o.want(o.do(0, "GET", "/v1/whoami", nil, as(foreign)), 401, policy.Unauthenticated)
	o.issuer.Lifetime(3)
	short := o.login("ann")
	if _, err := os.Stat(filepath.Join(o.home, "domicile", "logins.json")); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if a := o.do(0, "GET", "/v1/whoami", nil, as(short)); a.Status != http.StatusUnauthorized {
			return errStatus(a.Status)
		}
		return nil
	}, "an expired login still works")
	o.issuer.Lifetime(300)
	if code, out := o.run("whoami"); code != 0 || !strings.Contains(out, "PR") { // renewed with the refresh token
		t.Errorf("the login is not renewed: %d %s", code, out)
	}
	if o.kept() == short {
		t.Error("the renewed token was not kept")
	}
}
