package controlplane_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/policy"
)

// Bodies and URLs that a second reader could take for something else.
func TestAmbiguousRequestsAreRefused(t *testing.T) {
	c := newCluster(t, 1)
	one, other := c.tenant("one", "ie1"), c.tenant("other", "ie1")
	path := "/v1/tenants/" + one.str("id")
	for name, body := range map[string]string{
		"camelCase":             `{"slug":"fine","homeRegion":"ie1","billing_country":"IE"}`,
		"camelCase deep inside": `{"slug":"fine","home_region":"ie1","billing_country":"IE","policy":{"recipients":{"denyAll":true}}}`,
		"camelCase in a map":    `{"slug":"fine","home_region":"ie1","billing_country":"IE","policy":{"classes":{"call_record":{"redactProfile":"x"}}}}`,
	} {
		a := c.do(0, "POST", "/v1/tenants", body, nil)
		if a.Status != 400 || !strings.Contains(a.str("detail"), "unknown field") {
			t.Errorf("%s: %d %s", name, a.Status, a.Raw)
		}
	}
	// A body that names another tenant than the path.
	key := map[string]any{"tenant": other.str("id"), "region": "ie1", "role": "admin"}
	a := c.want(c.do(0, "POST", path+"/keys", key, nil), 400, policy.InvalidArgument)
	if !strings.Contains(a.str("detail"), "path") {
		t.Errorf("a field of the path in the body: %s", a.Raw)
	}
	update := map[string]any{"tenant": other.str("id"), "billing_country": "DE"}
	c.want(c.do(0, "PATCH", path, update, headers{"If-Match": one.str("etag")}), 400, policy.InvalidArgument)
	for _, tn := range []answer{one, other} {
		keys := c.want(c.do(0, "GET", "/v1/tenants/"+tn.str("id")+"/keys", nil, nil), 200, "")
		if len(keys.Body["keys"].([]any)) != 0 {
			t.Errorf("a refused request made a key: %s", keys.Raw)
		}
	}
	for _, bad := range []string{"/v1/tenants/%ff", path + "%2fpolicy", path + "%5Cpolicy", "/v1/tenants/%c0%af", path + "%00"} {
		a := c.do(0, "GET", bad, nil, nil)
		if (a.Status != 404 && a.Status != 400) || a.str("reason") == "" || strings.Contains(a.Raw, "grpc") {
			t.Errorf("%s: %d %s", bad, a.Status, a.Raw)
		}
	}
	for _, bad := range []string{"/v1/tenants?state=pending", "/v1/regions?home_region=ie1", path + "?page_size=1", "/v1/tenants?page_token=%ff",
		"/v1/tenants?page_size=%zz", "/v1/tenants?page_size=1;page_size=2", "/v1/bases?page_token=U0ND0"} {
		c.want(c.do(0, "GET", bad, nil, nil), 400, policy.InvalidArgument)
	}
	c.want(c.do(0, "GET", "/v1/changes?state=pending&page_size=5", nil, nil), 200, "")
	c.want(c.do(0, "GET", path+"/keys?page_size=5", nil, nil), 200, "")
	c.want(c.do(0, "GET", path+"/recipients?page_size=5", nil, nil), 200, "")
}

// Every list is paged, also those that are short.
func TestShortListsArePaged(t *testing.T) {
	c := newCluster(t, 1)
	for _, path := range []string{"/v1/bases", "/v1/entities", "/v1/regions/ie1/features"} {
		kind := path[strings.LastIndexByte(path, '/')+1:]
		whole := c.want(c.do(0, "GET", path, nil, nil), 200, "").Body[kind].([]any)
		got := 0
		for token := ""; ; {
			a := c.want(c.do(0, "GET", path+"?page_size=2"+token, nil, nil), 200, "")
			page := a.Body[kind].([]any)
			if got += len(page); len(page) > 2 {
				t.Errorf("%s: a page of %d", path, len(page))
			}
			if a.str("next_page_token") == "" {
				break
			}
			token = "&page_token=" + a.str("next_page_token")
		}
		if got != len(whole) || got < 3 {
			t.Errorf("%s: %d in pages, %d at once", path, got, len(whole))
		}
		c.want(c.do(0, "GET", path+"?page_token=bm9uZQ", nil, nil), 400, policy.InvalidArgument)
	}
}

// Counters are JSON numbers, whatever protojson would make of 64 bits.
func TestCountersAreNumbers(t *testing.T) {
	c := newCluster(t, 1)
	a := c.tenant("acme", "ie1")
	for path, fields := range map[string][]string{
		"/v1/tenants/acme":        {"home_epoch"},
		"/v1/tenants/acme/policy": {"home_epoch", "revision"},
		"/v1/status":              {"revision", "applied_index", "term"},
	} {
		got := c.want(c.do(0, "GET", path, nil, nil), 200, "")
		for _, f := range fields {
			if n, ok := got.Body[f].(float64); !ok || n < 1 {
				t.Errorf("%s: %s is %T %v", path, f, got.Body[f], got.Body[f])
			}
		}
	}
	// What was read can be written back.
	p := c.want(c.do(0, "GET", "/v1/tenants/acme/policy", nil, nil), 200, "")
	rules, err := json.Marshal(p.Body["rules"])
	if err != nil {
		t.Fatal(err)
	}
	back := c.want(c.do(0, "PUT", "/v1/tenants/acme/policy", string(rules), headers{"If-Match": p.str("etag")}), 200, "")
	if back.str("etag") != p.str("etag") || a.str("id") != back.str("tenant") {
		t.Errorf("writing back what was read changed it: %s", back.Raw)
	}
}
