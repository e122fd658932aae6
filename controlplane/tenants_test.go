package controlplane_test

import "testing"

func TestThinPathOnOneVoter(t *testing.T) {
	c := newCluster(t, 1)
	a := c.tenant("acme-ie", "ie1")
	for _, key := range []string{"id", "slug", "home_region", "boundary", "home_epoch", "contracting_entity", "etag"} {
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
