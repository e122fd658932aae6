package controlplane_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/policy"
)

// keyOf is an API key as REST shows it, for whoever signs it.
func keyOf(a map[string]any) policy.APIKey {
	terms, _ := a["terms"].(map[string]any) // of ingest none are shown
	text := func(m map[string]any, name string) string { s, _ := m[name].(string); return s }
	epoch, _ := terms["home_epoch"].(float64)
	return policy.APIKey{ID: policy.KeyID(text(a, "id")), Tenant: policy.TenantID(text(a, "tenant")), Region: policy.RegionID(text(a, "region")), Role: policy.KeyRole(text(a, "role")),
		SecretSHA256: text(terms, "secret_sha256"), HomeEpoch: uint64(epoch), Recipient: policy.RecipientID(text(a, "recipient"))}
}

// API keys are signed as their tenant's signing key is enrolled, and each by itself
// afterwards, with what REST shows of them and by the tenant's key alone.
func TestAPIKeysAreSignedOverREST(t *testing.T) {
	c := newCluster(t, 3)
	made := c.tenant("acme", "ie1")
	id := policy.TenantID(made.str("id"))
	const keys, api = "/v1/tenants/acme/signing_keys", "/v1/tenants/acme/keys"
	issue := func(role string) answer {
		return c.want(c.do(0, "POST", api, map[string]any{"region": "ie1", "role": role}, nil), 201, "")
	}
	ingest, reader := issue("ingest"), issue("reader")
	if ingest.str("signing") != "not_needed" || reader.str("signing") != "not_needed" {
		t.Errorf("before: %s %s", ingest.Raw, reader.Raw)
	}
	home := policy.DefaultPolicy(id, policy.Region{ID: "ie1", Boundary: "eu"}, made.str("contracting_entity"))
	inForce, err := policy.PolicyHash(&home)
	c.must(err)
	tenant := c.signatory(id, c.rootKey, policy.TenantKey)
	tenant.body["policy_signature"] = c.signs(tenant, id, 1, hex.EncodeToString(inForce[:]))
	if a := c.want(c.do(0, "POST", keys, tenant.body, nil), 400, policy.InvalidArgument); !strings.Contains(string(a.Raw), "api_keys") {
		t.Errorf("the refusal does not name what would stop working: %s", a.Raw)
	}
	c.signsKeys(tenant, id, 7, keyOf(reader.Body))
	c.want(c.do(0, "POST", keys, tenant.body, nil), 201, "")
	if a := c.want(c.do(0, "GET", keys, nil, nil), 200, ""); a.Body["signs_api_keys"] != true || a.Body["newest_api_key"].(float64) != 7 {
		t.Errorf("listed: %s", a.Raw)
	}
	admin := issue("admin")
	if admin.str("signing") != "refused" {
		t.Errorf("an unsigned key: %s", admin.Raw)
	}
	body := func(by signatory, number uint64, k policy.APIKey) map[string]any {
		return map[string]any{"number": number, "signature": policy.Sign(by.key, policy.KeyStatement(c.id, id, number, k.Digest()))}
	}
	path, k := api+"/"+admin.str("id")+":sign", keyOf(admin.Body)
	wider := keyOf(reader.Body)
	wider.Role = policy.RoleAdmin
	for name, b := range map[string]map[string]any{"a stranger's": body(c.signatory(id, c.rootKey, policy.TenantKey), 8, k), "an old number": body(tenant, 7, k), "of another key": body(tenant, 8, wider)} {
		if a := c.do(0, "POST", path, b, nil); a.Status != 400 {
			t.Errorf("%s signature: %d %s", name, a.Status, a.Raw)
		}
	}
	c.want(c.do(0, "POST", api+"/"+ingest.str("id")+":sign", body(tenant, 8, keyOf(ingest.Body)), nil), 400, policy.InvalidArgument)
	c.tenant("other", "ie1")
	c.want(c.do(0, "POST", path, body(tenant, 8, k), c.token("tenant_admin", "other")), 404, policy.NotFound)
	c.want(c.do(0, "POST", "/v1/tenants/other/keys/"+admin.str("id")+":sign", body(tenant, 8, k), nil), 404, policy.NotFound)
	c.want(c.do(0, "POST", path, body(tenant, 8, k), c.token("tenant_reader", "acme")), 403, policy.PermissionDenied)

	once := headers{"Authorization": c.token("tenant_admin", "acme")["Authorization"], "Idempotency-Key": "31111111-2222-4333-8444-555555555555"}
	done := c.want(c.do(c.follower(), "POST", path, body(tenant, 8, k), once), 200, "")
	again := c.want(c.do(0, "POST", path, body(tenant, 8, k), once), 200, "")
	if done.str("signing") != "signed" || done.Body["number"].(float64) != 8 || again.str("etag") != done.str("etag") {
		t.Errorf("signed: %s, and repeated: %s", done.Raw, again.Raw)
	}
	for _, k := range c.want(c.do(c.follower(), "GET", api, nil, nil), 200, "").Body["keys"].([]any) {
		if k := k.(map[string]any); (k["signing"] == "signed") != (k["role"] != "ingest") {
			t.Errorf("listed: %v", k)
		}
	}
	c.audited("key.sign")
}
