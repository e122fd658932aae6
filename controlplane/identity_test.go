package controlplane_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/policy"
)

// A cluster without a configured token: one voter writes a one-time token, which
// makes one credential and is void; a higher generation makes another.
func TestBootstrapTokenMakesTheFirstCredential(t *testing.T) {
	c := prepare(t, 3)
	for i := range c.configs {
		c.configs[i].Bootstrap.OperatorTokenSHA256, c.configs[i].Bootstrap.OfficerTokenSHA256 = "", ""
	}
	c.startAll()
	find := func() (token string, files int) {
		for _, cfg := range c.configs {
			path := filepath.Join(cfg.DataDir, "bootstrap-token")
			if info, err := os.Stat(path); err == nil {
				raw, err := os.ReadFile(path)
				if err != nil || info.Mode().Perm() != 0o600 {
					t.Fatalf("%s: %v %v", path, info.Mode(), err)
				}
				token, files = strings.TrimSpace(string(raw)), files+1
			}
		}
		return token, files
	}
	token, _ := find()
	once := as(token)
	who := c.want(c.do(0, "GET", "/v1/whoami", nil, once), 200, "")
	if who.str("credential") != "bootstrap" {
		t.Errorf("it is %s", who.Raw)
	}
	c.want(c.do(0, "GET", "/v1/tenants", nil, once), 403, policy.PermissionDenied)
	c.want(c.do(0, "POST", "/v1/tokens", map[string]any{"role": "auditor"}, once), 403, policy.PermissionDenied)
	made := c.want(c.do(c.follower(), "POST", "/v1/tokens", map[string]any{"role": "security_officer"}, once), 201, "")
	c.want(c.do(0, "POST", "/v1/tokens", map[string]any{"role": "operator"}, once), 401, policy.Unauthenticated)
	first := as(made.str("secret"))
	c.want(c.do(0, "POST", "/v1/tokens", map[string]any{"role": "operator"}, first), 201, "")
	eventually(t, func() error {
		if _, n := find(); n != 0 {
			return errStatus(n)
		}
		return nil
	}, "the spent token's file is still there")

	// Every credential is lost: a higher generation gives another token, once.
	for i := range c.configs {
		c.stop(i)
		c.configs[i].Bootstrap.Generation = 2
		c.start(i)
	}
	c.ready()
	eventually(t, func() error {
		next, n := find()
		if n != 1 || next == token {
			return errStatus(n)
		}
		if a := c.do(0, "GET", "/v1/whoami", nil, as(next)); a.Status != 200 {
			return errStatus(a.Status)
		}
		return nil
	}, "no bootstrap token of the next generation")
	c.want(c.do(0, "GET", "/v1/whoami", nil, once), 401, policy.Unauthenticated)
}

// What one role may give to another, and take away.
func TestNobodyGivesMoreThanTheyMay(t *testing.T) {
	c := newCluster(t, 1)
	c.want(c.do(0, "POST", "/v1/tokens", map[string]any{"role": "security_officer"}, nil), 403, policy.PermissionDenied)
	id := mustID(t, policy.KindPrincipal)
	c.want(c.do(0, "POST", "/v1/principals", map[string]any{"id": id, "role": "security_officer"}, nil), 403, policy.PermissionDenied)
	c.want(c.do(0, "POST", "/v1/principals", map[string]any{"id": id, "role": "security_officer"}, officer), 201, "")
	tag := c.do(0, "GET", "/v1/principals/"+id, nil, nil).Header.Get("ETag")
	c.want(c.do(0, "DELETE", "/v1/principals/"+id, nil, headers{"If-Match": tag}), 403, policy.PermissionDenied)
	c.want(c.do(0, "POST", "/v1/tokens", map[string]any{"role": "security_officer", "lifetime": 8 * 86400}, officer), 400, policy.InvalidArgument)

	// A revoked token ends at once, and its secret is nowhere in the list.
	made := c.want(c.do(0, "POST", "/v1/tokens", map[string]any{"role": "auditor"}, nil), 201, "")
	c.want(c.do(0, "GET", "/v1/tenants", nil, as(made.str("secret"))), 200, "")
	path := "/v1/tokens/" + made.str("principal")
	tag = c.do(0, "GET", path, nil, nil).Header.Get("ETag")
	if list := c.do(0, "GET", "/v1/tokens", nil, nil); strings.Contains(list.Raw, made.str("secret")) || !strings.Contains(list.Raw, made.str("principal")) {
		t.Errorf("the list: %s", list.Raw)
	}
	c.want(c.do(0, "DELETE", path, nil, headers{"If-Match": tag}), 200, "")
	c.want(c.do(0, "GET", "/v1/tenants", nil, as(made.str("secret"))), 401, policy.Unauthenticated)
}

// INV10, INV11: of another region nothing exists for a region's administrator.
func TestINV11_ARegionAdminSeesTheirRegionOnly(t *testing.T) {
	c := newCluster(t, 1)
	here, there := c.tenant("here", "ie1"), c.tenant("there", "us1")
	h := c.token("region_admin", "ie1")
	list := c.want(c.do(0, "GET", "/v1/tenants", nil, h), 200, "")
	if strings.Contains(list.Raw, there.str("id")) || !strings.Contains(list.Raw, here.str("id")) {
		t.Errorf("the list: %s", list.Raw)
	}
	for _, path := range []string{"/v1/tenants/%s", "/v1/tenants/%s/policy", "/v1/tenants/%s/keys"} {
		c.want(c.do(0, "GET", sprintf(path, "here"), nil, h), 200, "")
		foreign := c.want(c.do(0, "GET", sprintf(path, there.str("id")), nil, h), 404, policy.NotFound)
		absent := c.want(c.do(0, "GET", sprintf(path, "TN00000000000000000000000000000000"), nil, h), 404, policy.NotFound)
		if foreign.str("detail") != absent.str("detail") {
			t.Errorf("%s: %q and %q", path, foreign.str("detail"), absent.str("detail"))
		}
	}
	c.want(c.do(0, "GET", "/v1/regions/us1", nil, h), 404, policy.NotFound)
	if all := c.do(0, "GET", "/v1/regions", nil, h); strings.Contains(all.Raw, "us1") || !strings.Contains(all.Raw, "ie1") {
		t.Errorf("the regions: %s", all.Raw)
	}
}

// One address that guesses is held back; what works goes on from there too.
func TestGuessesAreLimitedAndNobodyIsLockedOut(t *testing.T) {
	c := newCluster(t, 1)
	eventually(t, func() error {
		for range 100 {
			if a := c.do(0, "GET", "/v1/regions", nil, as("dt_"+strings.Repeat("0", 64))); a.Status == 429 {
				return nil
			}
		}
		return errStatus(401)
	}, "guesses are not limited")
	c.want(c.do(0, "GET", "/v1/regions", nil, nil), 200, "")
	c.want(c.do(0, "GET", "/v1/regions", nil, headers{"Authorization": ""}), 401, policy.Unauthenticated)
}
