package controlplane_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/policy"
)

func sprintf(format string, args ...any) string { return fmt.Sprintf(format, args...) }

func errStatus(code int) error { return fmt.Errorf("status is %d", code) }

func TestBadBodies(t *testing.T) {
	c := newCluster(t, 1)
	good := `{"slug":"fine","home_region":"ie1","billing_country":"IE"`
	for name, body := range map[string]string{
		"unknown field":   good + `,"home_regoin":"us1"}`,
		"two values":      good + `}{"slug":"more"}`,
		"duplicate field": good + `,"slug":"other"}`,
		"truncated":       good,
		"not JSON":        `slug=fine`,
		"wrong type":      `{"slug":5,"home_region":"ie1","billing_country":"IE"}`,
		"list":            `[]`,
		"empty list":      `null`,
		"deep unknown":    good + `,"policy":{"classes":{"call_record":{"mode":"sealed","secret":1}}}}`,
	} {
		a := c.do(0, "POST", "/v1/tenants", body, nil)
		if a.Status != 400 || (a.str("reason") != "INVALID_ARGUMENT" && a.str("reason") != "REGION_REQUIRED") {
			t.Errorf("%s: %d %s", name, a.Status, a.Raw)
		}
		if strings.Contains(a.Raw, "regoin") {
			t.Errorf("%s: the answer repeats what was sent: %s", name, a.Raw)
		}
	}
	c.want(c.do(0, "POST", "/v1/tenants", `{"slug":"`+strings.Repeat("a", 1<<20)+`"}`, nil), 413, policy.PayloadTooLarge)
	c.want(c.do(0, "POST", "/v1/tenants", good+"}", headers{"Content-Type": "text/xml"}), 415, policy.UnsupportedMediaType)
	c.want(c.do(0, "GET", "/v1/tenants/fine", nil, nil), 404, policy.NotFound)
	if a := c.do(0, "GET", "/v1/regions", nil, headers{"X-Filler": strings.Repeat("a", 64<<10)}); a.Status != 431 {
		t.Errorf("64 KiB of headers: %d", a.Status)
	}
}

func TestHeaderSmuggling(t *testing.T) {
	c := newCluster(t, 1)
	reader := c.token("auditor", "")
	body := map[string]any{"slug": "smuggled", "home_region": "ie1", "billing_country": "IE"}
	for _, h := range []headers{
		{"Grpc-Metadata-Authorization": "Bearer " + operatorToken},
		{"Grpc-Metadata-Authorization": "Bearer " + operatorToken, "Authorization": ""},
		{"Grpcgateway-Authorization": "Bearer " + operatorToken, "Authorization": ""},
		{"X-Domicile-Forwarded": "cp1"},
		{"Grpc-Metadata-X-Domicile-Forwarded": "cp1"},
	} {
		if _, own := h["Authorization"]; !own {
			h["Authorization"] = reader["Authorization"]
		}
		if a := c.do(0, "POST", "/v1/tenants", body, h); a.Status != 401 && a.Status != 403 {
			t.Errorf("%v: %d %s", h, a.Status, a.Raw)
		}
	}
	c.tenant("victim", "ie1")
	if a := c.do(0, "POST", "/v1/tenants/victim", nil, headers{"X-HTTP-Method-Override": "DELETE"}); a.Status != 405 {
		t.Errorf("method override: %d %s", a.Status, a.Raw)
	}
	if a := c.do(0, "GET", "/v1/regions", nil, headers{"Grpc-Timeout": "1n"}); a.Status != 200 {
		t.Errorf("a client's Grpc-Timeout was obeyed: %d", a.Status)
	}
	a := c.want(c.do(0, "GET", "/v1/regions", nil, headers{"X-Request-Id": "+353861234567"}), 200, "")
	if strings.Contains(a.Header.Get("X-Request-Id"), "353") {
		t.Error("a request id that looks like a number was kept")
	}
	c.want(c.do(0, "GET", "/v1/regions?owner=x", nil, nil), 400, policy.InvalidArgument)
	c.want(c.do(0, "GET", "/v1/regions?page_size=1&page_size=2", nil, nil), 400, policy.InvalidArgument)
	c.want(c.do(0, "POST", "/v1/tenants?slug=other", body, nil), 400, policy.InvalidArgument)
	c.want(c.do(0, "GET", "/v1/tenants/smuggled", nil, nil), 404, policy.NotFound)
}

func TestIdempotencyKeys(t *testing.T) {
	c := newCluster(t, 1)
	h := headers{"Idempotency-Key": "0b0e7c2e-6a0c-4c57-9d5f-52b7bd2dd1c4"}
	body := map[string]any{"slug": "once", "home_region": "ie1", "billing_country": "IE"}
	first := c.want(c.do(0, "POST", "/v1/tenants", body, h), 201, "")
	again := c.want(c.do(0, "POST", "/v1/tenants", body, h), 201, "")
	if first.str("id") != again.str("id") {
		t.Error("TestINV31: one idempotency key had two effects")
	}
	body["slug"] = "twice"
	c.want(c.do(0, "POST", "/v1/tenants", body, h), 409, policy.IdempotencyKeyReused)
	c.want(c.do(0, "POST", "/v1/tenants", body, headers{"Idempotency-Key": "today"}), 400, policy.InvalidArgument)
	k := headers{"Idempotency-Key": "0b0e7c2e-6a0c-4c57-9d5f-52b7bd2dd1c5"}
	key := map[string]any{"region": "ie1", "role": "ingest"}
	one := c.want(c.do(0, "POST", "/v1/tenants/once/keys", key, k), 201, "")
	two := c.want(c.do(0, "POST", "/v1/tenants/once/keys", key, k), 201, "")
	if one.str("secret") == "" || two.str("secret") != "" || one.str("id") != two.str("id") {
		t.Errorf("a repeat must give the same key and no secret: %s", two.Raw)
	}
}

func TestConsistencyHeaders(t *testing.T) {
	c := newCluster(t, 1)
	made := c.tenant("seen", "ie1")
	token := made.Header.Get("X-Policy-Token")
	c.want(c.do(0, "GET", "/v1/tenants/seen", nil, headers{"X-Policy-Token": token, "X-Consistency": "at_least_as_fresh"}), 200, "")
	c.want(c.do(0, "GET", "/v1/tenants/seen", nil, headers{"X-Consistency": "minimize_latency"}), 200, "")
	c.want(c.do(0, "GET", "/v1/tenants/seen", nil, headers{"X-Consistency": "eventual"}), 400, policy.InvalidArgument)
	c.want(c.do(0, "GET", "/v1/tenants/seen", nil, headers{"X-Policy-Token": "12"}), 400, policy.InvalidArgument)
	future := "ZG9taWNpbGUtcmV2aXNpb24tMTo5OTk5OTk" // revision 999999
	a := c.want(c.do(0, "GET", "/v1/tenants/seen", nil, headers{"X-Policy-Token": future, "X-Consistency": "at_least_as_fresh"}), 503, policy.PolicyStale)
	if a.Header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
}
