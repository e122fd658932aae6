package controlplane_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/policy"
)

// rules reads a tenant's rules for changing.
func (c *cluster) rules(slug string) (rules map[string]any, etag string) {
	c.t.Helper()
	a := c.want(c.do(0, "GET", "/v1/tenants/"+slug+"/policy", nil, nil), 200, "")
	return a.Body["rules"].(map[string]any), a.Header.Get("ETag")
}

func TestPutPolicyTightensAtOnceAndNeverLoosensSilently(t *testing.T) {
	c := newCluster(t, 1)
	c.tenant("acme", "ie1")
	const path = "/v1/tenants/acme/policy"
	rules, tag := c.rules("acme")
	c.want(c.do(0, "PUT", path, rules, nil), 428, policy.IfMatchRequired)
	c.want(c.do(0, "PUT", path, rules, headers{"If-Match": `"fffff"`}), 412, policy.ETagMismatch)

	classes := rules["classes"].(map[string]any)
	classes["call_record"].(map[string]any)["retention"] = 86400
	bad := c.want(c.do(0, "PUT", path, rules, headers{"If-Match": tag}), 400, policy.InvalidArgument) // INV21: what hangs on a call would outlive it
	for _, want := range []string{"rules.classes.recording.retention", "rules.classes.transcript.retention", "classes.call_record.retention", "write 1 to 86400 seconds"} {
		if !strings.Contains(bad.Raw, want) {
			t.Errorf("the refusal does not name %s: %s", want, bad.Raw)
		}
	}
	classes["recording"].(map[string]any)["retention"], classes["transcript"].(map[string]any)["retention"] = 86400, 3600
	a := c.want(c.do(0, "PUT", path, rules, headers{"If-Match": tag}), 200, "")
	if a.Header.Get("ETag") == tag {
		t.Error("a tightened policy kept its etag")
	}
	tag = a.Header.Get("ETag")

	classes["call_record"].(map[string]any)["mode"] = "restricted"
	first := c.want(c.do(0, "PUT", path, rules, headers{"If-Match": tag}), 409, policy.LooseningNeedsApproval)
	again := c.want(c.do(0, "PUT", path, rules, headers{"If-Match": tag}), 409, policy.LooseningNeedsApproval)
	change := first.Body["metadata"].(map[string]any)["change"].(string)
	if !policy.ValidID(policy.KindChange, change) || again.Body["metadata"].(map[string]any)["change"] != change {
		t.Errorf("changes: %s %s", first.Raw, again.Raw)
	}
	if now, _ := c.rules("acme"); now["classes"].(map[string]any)["call_record"].(map[string]any)["mode"] != "sealed" {
		t.Error("a loosening change was applied")
	}
	ch := c.want(c.do(0, "GET", "/v1/changes/"+change, nil, nil), 200, "")
	if ch.str("state") != "pending" || len(ch.Body["fields"].([]any)) != 1 {
		t.Errorf("change: %s", ch.Raw)
	}
	c.want(c.do(0, "POST", "/v1/changes/"+change+":approve", map[string]any{}, nil), 403, policy.ApprovalRequired)
	c.tenant("other", "ie1")
	c.want(c.do(0, "GET", "/v1/changes/"+change, nil, c.token("tenant_admin", "other")), 404, policy.NotFound)
	r := c.want(c.do(0, "POST", "/v1/changes/"+change+":reject", map[string]any{}, nil), 200, "")
	if r.str("state") != "rejected" {
		t.Errorf("rejected: %s", r.Raw)
	}
	c.want(c.do(0, "GET", "/v1/changes/CH00000000000000000000000000000000", nil, nil), 404, policy.NotFound)
}

func TestPutPolicyRefusals(t *testing.T) {
	c := newCluster(t, 1)
	c.tenant("acme", "ie1")
	for name, edit := range map[string]func(map[string]any){
		"unknown class":    func(r map[string]any) { r["classes"].(map[string]any)["gossip"] = map[string]any{"mode": "sealed"} },
		"unknown egress":   func(r map[string]any) { r["egress"].(map[string]any)["GOSSIP"] = map[string]any{"effect": "deny"} },
		"unknown mode":     func(r map[string]any) { r["classes"].(map[string]any)["recording"] = map[string]any{"mode": "open"} },
		"no recipients":    func(r map[string]any) { delete(r, "recipients") },
		"silent deny":      func(r map[string]any) { r["recipients"] = map[string]any{} },
		"allow, no basis":  func(r map[string]any) { r["egress"].(map[string]any)["AGGREGATE"] = map[string]any{"effect": "allow"} },
		"misspelt field":   func(r map[string]any) { r["recipient"] = map[string]any{} },
		"negative seconds": func(r map[string]any) { r["max_policy_staleness"] = -1 },
	} {
		rules, tag := c.rules("acme")
		edit(rules)
		if a := c.do(0, "PUT", "/v1/tenants/acme/policy", rules, headers{"If-Match": tag}); a.Status != 400 || a.str("reason") != "INVALID_ARGUMENT" {
			t.Errorf("%s: %d %s", name, a.Status, a.Raw)
		}
	}
	rules, tag := c.rules("acme")
	rules["on_region_unavailable"] = "failover_in_boundary"
	c.want(c.do(0, "PUT", "/v1/tenants/acme/policy", rules, headers{"If-Match": tag}), 501, policy.NotYet)
}

func TestExplainDecision(t *testing.T) {
	c := newCluster(t, 1)
	c.tenant("acme", "ie1")
	ask := func(op, region string) answer {
		return c.want(c.do(0, "POST", "/v1/decisions:explain", map[string]any{"tenant": "acme", "operation": op, "data_class": "call_record", "region": region}, nil), 200, "")
	}
	if a := ask("store", "ie1"); a.str("effect") != "allow" {
		t.Errorf("at home: %s", a.Raw)
	}
	a := ask("store", "us1")
	if a.str("effect") != "deny" || a.str("home_region") != "ie1" {
		t.Errorf("abroad: %s", a.Raw)
	}
	first := a.Body["reasons"].([]any)[0].(map[string]any)
	if first["rule"] == "" || first["explanation"] == "" {
		t.Errorf("a reason says nothing: %s", a.Raw)
	}
	c.want(c.do(0, "POST", "/v1/decisions:explain", map[string]any{"tenant": "acme", "operation": "sell", "data_class": "call_record", "region": "ie1"}, nil), 400, policy.InvalidArgument)
}

const recipientID = "RP0123456789abcdef0123456789abcdef"

func recipientSpec() map[string]any {
	return map[string]any{"region": "us1", "purpose": "fraud_analysis", "assessment_hash": policy.HashSecret("assessment"), "assessment_expiry": "2030-01-01T00:00:00Z"}
}

func TestRecipients(t *testing.T) {
	c := newCluster(t, 1)
	c.tenant("closed", "ie1")
	_, tag := c.rules("closed")
	c.want(c.do(0, "PUT", "/v1/tenants/closed/recipients/"+recipientID, recipientSpec(), headers{"If-Match": tag}), 409, policy.LooseningNeedsApproval)
	c.want(c.do(0, "PUT", "/v1/tenants/closed/recipients/"+recipientID, recipientSpec(), nil), 428, policy.IfMatchRequired)

	template, _ := c.rules("closed")
	spec := recipientSpec()
	template["recipients"] = map[string]any{"list": []any{spec}}
	template["egress"].(map[string]any)["PSEUDONYMISED_EXPORT"] = map[string]any{"effect": "allow", "basis": "PSEUDONYMISED-UC2"}
	c.want(c.do(0, "POST", "/v1/tenants", map[string]any{"slug": "open", "home_region": "ie1", "billing_country": "IE", "policy": template}, nil), 201, "")
	list := c.want(c.do(0, "GET", "/v1/tenants/open/recipients", nil, nil), 200, "")
	r := list.Body["recipients"].([]any)[0].(map[string]any)
	id := r["id"].(string)
	if !policy.ValidID(policy.KindRecipient, id) || r["threshold"] != json.Number("10") && r["threshold"] != 10.0 {
		t.Errorf("recipient: %s", list.Raw)
	}
	k := c.want(c.do(0, "POST", "/v1/tenants/open/recipients/"+id+"/keys", map[string]any{}, nil), 201, "")
	if region, _, _, err := policy.ParseKeyString(k.str("secret")); err != nil || region != "us1" || k.str("region") != "us1" {
		t.Errorf("a recipient's key belongs to its region: %s", k.Raw)
	}
	c.want(c.do(0, "POST", "/v1/tenants/open/recipients/"+recipientID+"/keys", map[string]any{}, nil), 404, policy.NotFound)
	got := c.want(c.do(0, "GET", "/v1/tenants/open/recipients/"+id, nil, nil), 200, "")
	spec["threshold"] = 20 // tighter: applies at once
	c.want(c.do(0, "PUT", "/v1/tenants/open/recipients/"+id, spec, headers{"If-Match": got.Header.Get("ETag")}), 200, "")
}
