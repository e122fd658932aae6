package controlplane_test

import (
	"testing"

	"github.com/domicile-io/domicile/policy"
)

func TestRegions(t *testing.T) {
	c := newCluster(t, 1)
	list := c.want(c.do(0, "GET", "/v1/regions?page_size=3", nil, nil), 200, "")
	if len(list.Body["regions"].([]any)) != 3 || list.str("next_page_token") == "" {
		t.Errorf("first page: %s", list.Raw)
	}
	ie1 := c.want(c.do(0, "GET", "/v1/regions/ie1", nil, nil), 200, "")
	if ie1.str("base_url") != "https://127.0.0.1:7001" || ie1.str("boundary") != "eu" || ie1.str("lifecycle") != "active" {
		t.Errorf("ie1: %s", ie1.Raw)
	}
	put := func(id string, spec map[string]any, tag string) answer {
		return c.do(0, "PUT", "/v1/regions/"+id, spec, headers{"If-Match": tag})
	}
	spec := func(boundary, country, lifecycle string) map[string]any {
		return map[string]any{"boundary": boundary, "country": country, "cloud": "aws-eu-west-1", "backup_region": "none", "lifecycle": lifecycle}
	}
	c.want(put("ie1", spec("eu", "IE", "active"), ""), 428, policy.IfMatchRequired)
	c.want(put("ie1", spec("eu", "IE", "active"), `"fffff"`), 412, policy.ETagMismatch)
	c.want(put("ie1", spec("us", "IE", "active"), ie1.Header.Get("ETag")), 400, policy.InvalidArgument)
	c.want(put("ie1", spec("eu", "FR", "active"), ie1.Header.Get("ETag")), 400, policy.InvalidArgument)
	c.want(put("fr1", spec("eu", "FR", "planned"), ""), 201, "")
	c.want(c.do(0, "GET", "/v1/regions/fr1", nil, nil), 200, "")
	for id, bad := range map[string]map[string]any{"FR1": spec("eu", "FR", "planned"), "fr": spec("eu", "FR", "planned"), "fr2": spec("Europe", "FR", "planned"),
		"fr3": spec("eu", "France", "planned"), "fr4": spec("eu", "FR", "open"), "fr5": {"boundary": "eu"}} {
		c.want(put(id, bad, ""), 400, policy.InvalidArgument)
	}
	c.want(c.do(0, "GET", "/v1/regions/zz9", nil, nil), 404, policy.NotFound)
	features := c.want(c.do(0, "GET", "/v1/regions/ie1/features", nil, nil), 200, "")
	if len(features.Body["features"].([]any)) == 0 {
		t.Error("ie1 has no features")
	}
	for _, path := range []string{"/v1/entities", "/v1/bases", "/v1/nodes", "/v1/violations", "/v1/changes"} {
		c.want(c.do(0, "GET", path, nil, nil), 200, "")
	}
	c.want(c.do(0, "GET", "/v1/bases/SCC", nil, nil), 200, "")
	c.want(c.do(0, "GET", "/v1/bases/HANDSHAKE", nil, nil), 404, policy.NotFound)
	st := c.want(c.do(0, "GET", "/v1/status", nil, nil), 200, "")
	if st.str("leader") != "cp1" || st.str("answered_by") != "cp1" || st.str("cluster_id") != c.id {
		t.Errorf("status: %s", st.Raw)
	}
}
