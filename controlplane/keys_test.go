package controlplane_test

import (
	"strings"
	"testing"

	"github.com/domicile-io/domicile/policy"
)

func TestKeys(t *testing.T) {
	c := newCluster(t, 1)
	tenant := c.tenant("acme", "ie1")
	c.tenant("other", "ie1")
	const path = "/v1/tenants/acme/keys"
	a := c.want(c.do(0, "POST", path, map[string]any{"region": "ie1", "role": "ingest"}, nil), 201, "")
	region, id, secret, err := policy.ParseKeyString(a.str("secret"))
	if err != nil || region != "ie1" || string(id) != a.str("id") || len(secret) != 64 {
		t.Fatalf("key string: %v %s", err, a.str("secret"))
	}
	if a.Body["distributed"] != false {
		t.Error("distributed, and no node runs")
	}
	got := c.want(c.do(0, "GET", path+"/"+a.str("id"), nil, nil), 200, "")
	if strings.Contains(got.Raw, secret) || strings.Contains(got.Raw, policy.HashSecret(secret)) {
		t.Errorf("a key's secret or its hash was shown: %s", got.Raw)
	}
	c.want(c.do(0, "GET", "/v1/tenants/other/keys/"+a.str("id"), nil, nil), 404, policy.NotFound)

	c.want(c.do(0, "POST", path, map[string]any{"role": "ingest"}, nil), 400, policy.RegionRequired)
	c.want(c.do(0, "POST", path, map[string]any{"region": "us1", "role": "ingest"}, nil), 409, policy.ResourceRegionMismatch)
	c.want(c.do(0, "POST", path, map[string]any{"region": "ie1", "role": "recipient"}, nil), 400, policy.InvalidArgument)
	c.want(c.do(0, "POST", "/v1/tenants/absent/keys", map[string]any{"region": "ie1", "role": "ingest"}, nil), 404, policy.NotFound)

	own := map[string]any{"region": "ie1", "role": "reader", "secret_sha256": policy.HashSecret(secret), "key_id": mustID(t, policy.KindKey)}
	b := c.want(c.do(0, "POST", path, own, nil), 201, "")
	if b.str("secret") != "" || b.str("id") != own["key_id"] {
		t.Errorf("a key with its own secret: %s", b.Raw)
	}
	shown := c.want(c.do(0, "GET", path+"/"+b.str("id"), nil, nil), 200, "") // its hash is a part of what the tenant signs
	if terms := shown.Body["terms"].(map[string]any); strings.Contains(shown.Raw, secret) || terms["secret_sha256"] != policy.HashSecret(secret) {
		t.Errorf("a key's secret was shown, or not what a signature covers: %s", shown.Raw)
	}
	c.want(c.do(0, "POST", path, own, nil), 409, policy.AlreadyExists)
	delete(own, "key_id")
	c.want(c.do(0, "POST", path, own, nil), 400, policy.InvalidArgument)

	list := c.want(c.do(0, "GET", "/v1/tenants/"+tenant.str("id")+"/keys", nil, nil), 200, "")
	if n := len(list.Body["keys"].([]any)); n != 2 {
		t.Errorf("%d keys listed", n)
	}
	c.want(c.do(0, "DELETE", path+"/"+a.str("id"), nil, nil), 428, policy.IfMatchRequired)
	c.want(c.do(0, "DELETE", path+"/"+a.str("id"), nil, headers{"If-Match": `"fffff"`}), 412, policy.ETagMismatch)
	c.want(c.do(0, "DELETE", path+"/"+a.str("id"), nil, headers{"If-Match": got.Header.Get("ETag")}), 200, "")
	c.want(c.do(0, "GET", path+"/"+a.str("id"), nil, nil), 404, policy.NotFound)
}
