package controlplane_test

import (
	"testing"

	"github.com/domicile-io/domicile/policy"
)

func TestThinPathOnOneVoter(t *testing.T) {
	c := newCluster(t, 1)
	a := c.tenant("acme-ie", "ie1")
	for _, key := range []string{"id", "slug", "home_region", "boundary", "contracting_entity", "etag"} {
		if a.str(key) == "" {
			t.Errorf("created tenant has no %s: %s", key, a.Raw)
		}
	}
	if a.str("boundary") != "eu" || a.Header.Get("X-Policy-Token") == "" || a.Header.Get("ETag") != `"`+a.str("etag")+`"` {
		t.Errorf("answer: %v %s", a.Header, a.Raw)
	}
	if b := c.want(c.do(0, "GET", "/v1/tenants/acme-ie", nil, nil), 200, ""); b.str("id") != a.str("id") {
		t.Errorf("got another tenant by slug: %s", b.Raw)
	}
	c.want(c.do(0, "GET", "/v1/tenants/"+a.str("id"), nil, nil), 200, "")
}

func TestCreateTenantRefusals(t *testing.T) {
	c := newCluster(t, 1)
	c.tenant("taken", "ie1")
	make := func(slug, region, country string) answer {
		return c.do(0, "POST", "/v1/tenants", map[string]any{"slug": slug, "home_region": region, "billing_country": country}, nil)
	}
	c.want(make("fine", "", "IE"), 400, policy.RegionRequired)
	c.want(c.do(0, "POST", "/v1/tenants", `{}`, nil), 400, policy.RegionRequired)
	c.want(make("taken", "ie1", "IE"), 409, policy.AlreadyExists)
	for _, slug := range []string{"", "a", "Acme", "353861234567", "tel-353861234567", "t-3-5-3-8-6-1", "über", "a b", "a_b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"} {
		c.want(make(slug, "ie1", "IE"), 400, policy.InvalidArgument)
	}
	for _, region := range []string{"IE1", "ie", "ie123", "zz9", "jp1", "../ie1", "ie1 "} {
		c.want(make("fine", region, "IE"), 400, policy.InvalidArgument)
	}
	for _, country := range []string{"", "ie", "IRL", "ZZ"} {
		c.want(make("fine", "ie1", country), 400, policy.InvalidArgument)
	}
	a := c.want(make("A", "IE", "ireland"), 400, policy.InvalidArgument)
	if fields, _ := a.Body["errors"].([]any); len(fields) != 3 {
		t.Errorf("not every bad field is named: %s", a.Raw)
	}
	c.want(make("fine", "ie1", "IE"), 201, "")
}

func TestUpdateTenant(t *testing.T) {
	c := newCluster(t, 1)
	a := c.tenant("acme", "ie1")
	patch := func(body map[string]any, tag string) answer {
		return c.do(0, "PATCH", "/v1/tenants/acme", body, headers{"If-Match": tag})
	}
	c.want(patch(map[string]any{"billing_country": "AU"}, ""), 428, policy.IfMatchRequired)
	c.want(patch(map[string]any{"billing_country": "AU"}, `"ffff"`), 412, policy.ETagMismatch)
	c.want(patch(map[string]any{"billing_country": "AU"}, `*`), 400, policy.InvalidArgument)
	c.want(patch(map[string]any{"home_region": "us1"}, ""), 422, policy.RegionImmutable)
	c.want(patch(map[string]any{"home_region": "nowhere at all, really", "billing_country": "x"}, "?"), 422, policy.RegionImmutable)
	c.want(patch(map[string]any{}, a.Header.Get("ETag")), 400, policy.InvalidArgument)
	b := c.want(patch(map[string]any{"billing_country": "AU"}, a.Header.Get("ETag")), 200, "")
	if b.str("home_region") != "ie1" || b.str("contracting_entity") == a.str("contracting_entity") || b.str("etag") == a.str("etag") {
		t.Errorf("re-contracted: %s", b.Raw)
	}
	c.want(c.do(0, "DELETE", "/v1/tenants/acme", nil, headers{"If-Match": b.Header.Get("ETag")}), 400, policy.InvalidArgument)
}

func TestListTenantsByPages(t *testing.T) {
	c := newCluster(t, 1)
	for _, slug := range []string{"one", "two", "three"} {
		c.tenant(slug, "ie1")
	}
	c.tenant("far", "us1")
	seen, token := map[string]bool{}, ""
	for range 10 {
		a := c.want(c.do(0, "GET", "/v1/tenants?page_size=2&home_region=ie1&page_token="+token, nil, nil), 200, "")
		for _, x := range a.Body["tenants"].([]any) {
			seen[x.(map[string]any)["slug"].(string)] = true
		}
		if token = a.str("next_page_token"); token == "" {
			break
		}
	}
	if len(seen) != 3 || seen["far"] {
		t.Errorf("pages gave %v", seen)
	}
	c.want(c.do(0, "GET", "/v1/tenants?page_size=1001", nil, nil), 400, policy.InvalidArgument)
	c.want(c.do(0, "GET", "/v1/tenants?page_token=AAAA", nil, nil), 400, policy.InvalidArgument)
}

func TestCheckPlacement(t *testing.T) {
	c := newCluster(t, 1)
	c.tenant("acme", "ie1")
	check := func(region string, features ...string) answer {
		return c.want(c.do(0, "POST", "/v1/tenants/acme:checkPlacement", map[string]any{"region": region, "features": features}, nil), 200, "")
	}
	codes := func(a answer) map[string]string {
		out := map[string]string{}
		for _, f := range a.Body["findings"].([]any) {
			m := f.(map[string]any)
			out[m["code"].(string)] = m["severity"].(string)
		}
		return out
	}
	if a := check("us1", "voice"); a.Body["possible"] != true || codes(a)["BOUNDARY_CHANGES"] != "differs" {
		t.Errorf("to us1: %s", a.Raw)
	}
	if a := check("jp1"); a.Body["possible"] != false || codes(a)["REGION_NOT_ACTIVE"] != "blocks" {
		t.Errorf("to a planned region: %s", a.Raw)
	}
	if a := check("us1", "telepathy"); a.Body["possible"] != false || codes(a)["FEATURE_NOT_IN_REGION"] != "blocks" {
		t.Errorf("with a feature that nobody has: %s", a.Raw)
	}
	c.want(c.do(0, "POST", "/v1/tenants/acme:checkPlacement", map[string]any{"region": "zz9"}, nil), 404, policy.NotFound)
}
