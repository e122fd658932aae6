package controlplane_test

import (
	"testing"

	"github.com/domicile-io/domicile/policy"
)

// outcomes are the parts of a batch's answer.
func outcomes(a answer) (out []map[string]any) {
	list, _ := a.Body["outcomes"].([]any)
	for _, o := range list {
		out = append(out, o.(map[string]any))
	}
	return out
}

func TestBatchesOverREST(t *testing.T) {
	c := newCluster(t, 1)
	place := func(slug, region string) map[string]any {
		return map[string]any{"slug": slug, "home_region": region, "billing_country": "IE"}
	}
	body := map[string]any{"requests": []any{place("one", "ie1"), place("two", "ie1"), place("one", "ie1"), place("lost", "zz9"), place("homeless", "")}}
	key := headers{"Idempotency-Key": "5f0c3e2a-0000-4000-8000-000000000001"}
	a := c.want(c.do(0, "POST", "/v1/tenants:batchCreate", body, key), 200, "")
	got := outcomes(a)
	for i, reason := range []any{nil, nil, string(policy.AlreadyExists), string(policy.InvalidArgument), string(policy.RegionRequired)} {
		if len(got) != 5 || reason != nil && got[i]["reason"] != reason || reason == nil && (got[i]["reason"] != "" || got[i]["tenant"] == "") {
			t.Fatalf("item %d: %s", i, a.Raw)
		}
	}
	if again := c.want(c.do(0, "POST", "/v1/tenants:batchCreate", body, key), 200, ""); again.Raw != a.Raw {
		t.Errorf("a repeat gave %s, first %s", again.Raw, a.Raw)
	}
	c.want(c.do(0, "POST", "/v1/tenants:batchCreate", map[string]any{"requests": []any{place("three", "ie1")}}, key), 409, policy.IdempotencyKeyReused)
	c.want(c.do(0, "POST", "/v1/tenants:batchCreate", map[string]any{"requests": []any{place("four", "ie1"), place("+353 1 555", "ie1")}}, nil), 400, policy.InvalidArgument)
	c.want(c.do(0, "GET", "/v1/tenants/four", nil, nil), 404, policy.NotFound) // a malformed item refuses all

	one, tag := c.rules("one")
	update := func(tenant, etag, mode string) map[string]any {
		return map[string]any{"tenant": tenant, "etag": etag, "rules": map[string]any{"recipients": one["recipients"],
			"classes": map[string]any{"call_record": map[string]any{"mode": mode, "retention": 86400}}}}
	}
	etag := tag[1 : len(tag)-1]
	_, tag2 := c.rules("two")
	a = c.want(c.do(0, "POST", "/v1/policies:batchUpdate", map[string]any{"requests": []any{
		update("one", etag, "sealed"), update("two", tag2[1:len(tag2)-1], "restricted"), update("two", "fffff", "sealed")}}, nil), 200, "")
	got = outcomes(a)
	if len(got) != 3 || got[0]["reason"] != "" || got[0]["etag"] == etag || got[1]["reason"] != string(policy.LooseningNeedsApproval) || got[2]["reason"] != string(policy.ETagMismatch) {
		t.Fatalf("updates: %s", a.Raw)
	}
	if ch := c.want(c.do(0, "GET", "/v1/changes/"+got[1]["change"].(string), nil, nil), 200, ""); ch.str("state") != "pending" {
		t.Errorf("the loosening: %s", ch.Raw)
	}
	admin := c.token("tenant_admin", "one")
	c.want(c.do(0, "POST", "/v1/policies:batchUpdate", map[string]any{"requests": []any{update("one", got[0]["etag"].(string), "sealed"), update("two", "fffff", "sealed")}}, admin), 404, policy.NotFound)
	c.want(c.do(0, "POST", "/v1/policies:batchUpdate", map[string]any{"requests": []any{update("one", got[0]["etag"].(string), "sealed")}}, admin), 200, "")
}
