package controlplane_test

import (
	"net/http"
	"testing"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

func TestUnauthenticatedPathsAndNothingElse(t *testing.T) {
	c := newCluster(t, 1)
	none := headers{"Authorization": ""}
	for _, path := range []string{"/healthz", "/readyz", "/openapi.json", "/docs"} {
		if a := c.do(0, "GET", path, nil, none); a.Status != 200 || len(a.Raw) == 0 {
			t.Errorf("GET %s: %d", path, a.Status)
		}
		c.want(c.do(0, "POST", path, nil, none), 405, policy.InvalidArgument)
	}
	if a := c.do(0, "GET", "/openapi.json", nil, none); a.Raw != string(controlv1.OpenAPI) {
		t.Errorf("/openapi.json serves %d bytes that are not the committed document of %d", len(a.Raw), len(controlv1.OpenAPI))
	}
	for _, auth := range []string{"", "Bearer", "Bearer x", "Bearer " + operatorToken + "x", "Basic b3BlcmF0b3I6eA==", operatorToken} {
		a := c.want(c.do(0, "GET", "/v1/tenants", nil, headers{"Authorization": auth}), 401, policy.Unauthenticated)
		if a.Header.Get("WWW-Authenticate") == "" {
			t.Error("401 without WWW-Authenticate")
		}
	}
	c.want(c.do(0, "GET", "/v1/nothing", nil, nil), 404, policy.NotFound)
	c.want(c.do(0, "DELETE", "/v1/regions", nil, nil), 405, policy.InvalidArgument)
	c.want(c.do(0, "GET", "/v1/tenants/%2e%2e%2fregions", nil, nil), 404, policy.NotFound)
}

func TestINV10_ATenantsTokenSeesItsTenantOnly(t *testing.T) {
	c := newCluster(t, 1)
	mine, other := c.tenant("mine", "ie1"), c.tenant("other", "us1")
	for _, role := range []string{"tenant_admin", "tenant_reader"} {
		h := c.token(role, mine.str("id"))
		c.want(c.do(0, "GET", "/v1/tenants/mine", nil, h), 200, "")
		list := c.want(c.do(0, "GET", "/v1/tenants", nil, h), 200, "")
		if n := len(list.Body["tenants"].([]any)); n != 1 {
			t.Errorf("%s lists %d tenants", role, n)
		}
		// TestINV11: what is foreign and what is absent look the same.
		for _, path := range []string{"/v1/tenants/%s", "/v1/tenants/%s/policy", "/v1/tenants/%s/keys", "/v1/tenants/%s/recipients",
			"/v1/tenants/%s/keys/SK00000000000000000000000000000000", "/v1/tenants/%s/recipients/RP00000000000000000000000000000000"} {
			foreign := c.want(c.do(0, "GET", sprintf(path, other.str("id")), nil, h), 404, policy.NotFound)
			absent := c.want(c.do(0, "GET", sprintf(path, "TN00000000000000000000000000000000"), nil, h), 404, policy.NotFound)
			if foreign.str("detail") != absent.str("detail") {
				t.Errorf("%s: foreign %q, absent %q", path, foreign.str("detail"), absent.str("detail"))
			}
			c.want(c.do(0, "GET", sprintf(path, "other"), nil, h), 404, policy.NotFound)
		}
		c.want(c.do(0, "POST", "/v1/tenants/other:checkPlacement", map[string]any{"region": "us1"}, h), 404, policy.NotFound)
		c.want(c.do(0, "POST", "/v1/decisions:explain", map[string]any{"tenant": "other", "operation": "store", "data_class": "call_record", "region": "us1"}, h), 404, policy.NotFound)
		c.want(c.do(0, "POST", "/v1/tenants", map[string]any{"slug": "third", "home_region": "ie1", "billing_country": "IE"}, h), 403, policy.PermissionDenied)
		c.want(c.do(0, "GET", "/v1/nodes", nil, h), 403, policy.PermissionDenied)
		c.want(c.do(0, "POST", "/v1/tokens", map[string]any{"role": "operator"}, h), 403, policy.PermissionDenied)
	}
	admin := c.token("tenant_admin", "mine")
	c.want(c.do(0, "POST", "/v1/tenants/other/keys", map[string]any{"region": "us1", "role": "ingest"}, admin), 404, policy.NotFound)
	c.want(c.do(0, "POST", "/v1/tenants/mine/keys", map[string]any{"region": "ie1", "role": "ingest"}, admin), 201, "")
	reader := c.token("tenant_reader", "mine")
	c.want(c.do(0, "POST", "/v1/tenants/mine/keys", map[string]any{"region": "ie1", "role": "ingest"}, reader), 403, policy.PermissionDenied)
}

func TestTokens(t *testing.T) {
	c := newCluster(t, 1)
	for _, body := range []map[string]any{{"role": "root"}, {"role": "operator", "tenant": "mine"}, {"role": "tenant_admin"},
		{"role": "operator", "lifetime": 7776001}, {"role": "operator", "lifetime": -1}, {}} {
		c.want(c.do(0, "POST", "/v1/tokens", body, nil), 400, policy.InvalidArgument)
	}
	c.want(c.do(0, "POST", "/v1/tokens", map[string]any{"role": "tenant_admin", "tenant": "absent"}, nil), 404, policy.NotFound)
	short := c.want(c.do(0, "POST", "/v1/tokens", map[string]any{"role": "auditor", "lifetime": 1}, nil), 201, "")
	h := headers{"Authorization": "Bearer " + short.str("secret")}
	eventually(t, func() error {
		if a := c.do(0, "GET", "/v1/regions", nil, h); a.Status != http.StatusUnauthorized {
			return errStatus(a.Status)
		}
		return nil
	}, "an expired token still works")
}
