package controlplane_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// signatory is somebody with a key file, as seen by the REST API.
type signatory struct {
	key  ed25519.PrivateKey
	body map[string]any // of POST …/signing_keys
}

func (c *cluster) signatory(tenant policy.TenantID, by ed25519.PrivateKey, purpose policy.KeyPurpose) signatory {
	c.t.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	k, err := policy.NewSigningKey(purpose, hex.EncodeToString(public))
	if err != nil {
		c.t.Fatal(err)
	}
	body := map[string]any{"purpose": purpose, "public_key": k.PublicKey}
	if purpose == policy.ApproverKey {
		k.Principal, k.Entity, k.Boundary = "PR000000000000000000000000000000aa", "DOM-IE", "eu"
		body["principal"], body["entity"], body["boundary"] = k.Principal, k.Entity, k.Boundary
	}
	body["certificate"] = policy.Sign(by, k.Statement(c.id, tenant))
	return signatory{key, body}
}

// signsKeys gives a tenant's key as it is enrolled what it says of the tenant's API keys:
// that there is none above ingest, or its signatures over them.
func (c *cluster) signsKeys(s signatory, tenant policy.TenantID, number uint64, keys ...policy.APIKey) {
	sign := func(digest string) policy.Signature {
		return policy.Sign(s.key, policy.KeyStatement(c.id, tenant, number, digest))
	}
	list := []map[string]any{}
	for _, k := range keys {
		list = append(list, map[string]any{"key": k.ID, "number": number, "signature": sign(k.Digest())})
	}
	if len(keys) == 0 {
		list = append(list, map[string]any{"number": number, "signature": sign(policy.NoKey)})
	}
	s.body["api_keys"] = list
}

// signs a hash, hex, under a sequence.
func (c *cluster) signs(s signatory, tenant policy.TenantID, sequence uint64, hash string) policy.Signature {
	c.t.Helper()
	raw, err := hex.DecodeString(hash)
	if err != nil {
		c.t.Fatal(err)
	}
	return policy.Sign(s.key, policy.PolicyStatement(c.id, tenant, sequence, [32]byte(raw)))
}

func TestTwoPeopleApproveOverREST(t *testing.T) {
	c := newCluster(t, 3)
	made := c.tenant("acme", "ie1")
	id := policy.TenantID(made.str("id"))
	const keys = "/v1/tenants/acme/signing_keys"
	home := policy.DefaultPolicy(id, policy.Region{ID: "ie1", Boundary: "eu"}, made.str("contracting_entity"))
	inForce, err := policy.PolicyHash(&home)
	if err != nil {
		t.Fatal(err)
	}
	tenant, person := c.signatory(id, c.rootKey, policy.TenantKey), c.signatory(id, c.rootKey, policy.ApproverKey)
	tenant.body["policy_signature"] = c.signs(tenant, id, 1, hex.EncodeToString(inForce[:]))
	c.signsKeys(tenant, id, 1)

	// Who may enrol what.
	_, stranger, _ := ed25519.GenerateKey(nil)
	c.want(c.do(0, "POST", keys, c.signatory(id, stranger, policy.TenantKey).body, nil), 400, policy.InvalidArgument)
	c.want(c.do(0, "POST", keys, c.signatory("TN000000000000000000000000000000ff", c.rootKey, policy.TenantKey).body, nil), 400, policy.InvalidArgument)
	c.want(c.do(0, "POST", keys, person.body, nil), 403, policy.ApprovalRequired)
	c.tenant("other", "ie1")
	for name, h := range map[string]headers{"tenant_reader": c.token("tenant_reader", "acme"), "auditor": c.token("auditor", ""), "terraform": c.token("terraform", "")} {
		if a := c.do(0, "POST", keys, tenant.body, h); a.Status != 403 {
			t.Errorf("%s enrolled a key: %d %s", name, a.Status, a.Raw)
		}
	}
	admin, foreign := c.token("tenant_admin", "acme"), c.token("tenant_admin", "other")
	c.want(c.do(0, "POST", keys, tenant.body, foreign), 404, policy.NotFound)
	c.want(c.do(0, "GET", keys, nil, foreign), 404, policy.NotFound)
	once := headers{"Authorization": admin["Authorization"], "Idempotency-Key": "11111111-2222-4333-8444-555555555555"}
	first := c.want(c.do(c.follower(), "POST", keys, tenant.body, once), 201, "")
	if again := c.want(c.do(0, "POST", keys, tenant.body, once), 201, ""); again.str("id") != first.str("id") {
		t.Errorf("the repeat enrolled %s", again.Raw)
	}
	c.want(c.do(0, "POST", keys, person.body, nil), 403, policy.PermissionDenied)   // an operator does not choose the second person
	c.want(c.do(0, "POST", keys, person.body, admin), 403, policy.PermissionDenied) // nor the tenant's own
	c.want(c.do(0, "POST", keys, person.body, officer), 201, "")
	if a := c.want(c.do(0, "GET", "/v1/tenants/acme", nil, nil), 200, ""); a.str("assurance") != "signed" {
		t.Errorf("assurance: %s", a.Raw)
	}

	// A tightening waits for the tenant, a loosening for two.
	rules, tag := c.rules("acme")
	rules["classes"].(map[string]any)["recording"].(map[string]any)["retention"] = 86400
	tight := c.want(c.do(0, "PUT", "/v1/tenants/acme/policy", rules, headers{"If-Match": tag}), 403, policy.ApprovalRequired)
	rules["classes"].(map[string]any)["call_record"].(map[string]any)["mode"] = "restricted"
	loose := c.want(c.do(0, "PUT", "/v1/tenants/acme/policy", rules, headers{"If-Match": tag}), 409, policy.LooseningNeedsApproval)
	approve := func(of answer, who ...signatory) answer {
		change := of.Body["metadata"].(map[string]any)["change"].(string)
		ch := c.want(c.do(0, "GET", "/v1/changes/"+change, nil, admin), 200, "")
		var given []policy.Signature
		for _, s := range who {
			given = append(given, c.signs(s, id, uint64(ch.Body["sequence"].(float64)), ch.str("hash")))
		}
		return c.do(c.follower(), "POST", "/v1/changes/"+change+":approve", map[string]any{"signatures": given}, admin)
	}
	if a := c.want(approve(loose, tenant), 200, ""); a.str("state") != "pending" {
		t.Errorf("one signature: %s", a.Raw)
	}
	if a := c.want(approve(loose, person), 200, ""); a.str("state") != "applied" {
		t.Errorf("two signatures: %s", a.Raw)
	}
	c.want(approve(tight, tenant), 412, policy.ETagMismatch) // it was made for the former policy
	after := c.want(c.do(0, "GET", "/v1/tenants/acme/policy", nil, nil), 200, "")
	if now, _ := c.rules("acme"); now["classes"].(map[string]any)["call_record"].(map[string]any)["mode"] != "restricted" || len(after.Body["signatures"].([]any)) != 2 {
		t.Errorf("policy: %s", after.Raw)
	}
	// Re-contracting changes what was signed, so it waits like a loosening.
	recontract := func() answer {
		return c.do(c.follower(), "PATCH", "/v1/tenants/acme", map[string]any{"billing_country": "US"}, headers{"If-Match": c.do(0, "GET", "/v1/tenants/acme", nil, nil).Header.Get("ETag")})
	}
	waiting := c.want(recontract(), 409, policy.LooseningNeedsApproval)
	change := waiting.Body["metadata"].(map[string]any)["change"].(string)
	if again := c.want(recontract(), 409, policy.LooseningNeedsApproval); again.Body["metadata"].(map[string]any)["change"] != change {
		t.Errorf("the repeat proposed another change: %s", again.Raw)
	}
	if a := c.want(c.do(0, "GET", "/v1/tenants/acme", nil, nil), 200, ""); a.str("billing_country") != "IE" {
		t.Errorf("re-contracted without a signature: %s", a.Raw)
	}
	if a := c.want(c.do(0, "GET", "/v1/changes/"+change, nil, nil), 200, ""); a.str("billing_country") != "US" || a.str("contracting_entity") == home.ContractingEntity || !loosens(a, "contracting_entity") {
		t.Errorf("the change does not show what it would do: %s", a.Raw)
	}
	if a := c.want(approve(waiting, tenant), 200, ""); a.str("state") != "pending" {
		t.Errorf("one signature: %s", a.Raw)
	}
	if a := c.want(approve(waiting, person), 200, ""); a.str("state") != "applied" {
		t.Errorf("two signatures: %s", a.Raw)
	}
	moved := c.want(c.do(0, "GET", "/v1/tenants/acme", nil, nil), 200, "")
	named := c.want(c.do(0, "GET", "/v1/tenants/acme/policy", nil, nil), 200, "")
	if moved.str("billing_country") != "US" || moved.str("contracting_entity") != named.str("contracting_entity") || moved.str("contracting_entity") == home.ContractingEntity {
		t.Errorf("re-contracted: %s, %s", moved.Raw, named.Raw)
	}
}

// An approver goes without a successor by the word of the root or of the tenant's
// present key, and of nobody else, whatever role brings it.
func TestAnApproverIsWithdrawnOverREST(t *testing.T) {
	c := newCluster(t, 3)
	made := c.tenant("acme", "ie1")
	id := policy.TenantID(made.str("id"))
	const keys = "/v1/tenants/acme/signing_keys"
	home := policy.DefaultPolicy(id, policy.Region{ID: "ie1", Boundary: "eu"}, made.str("contracting_entity"))
	inForce, err := policy.PolicyHash(&home)
	c.must(err)
	tenant, person := c.signatory(id, c.rootKey, policy.TenantKey), c.signatory(id, c.rootKey, policy.ApproverKey)
	tenant.body["policy_signature"] = c.signs(tenant, id, 1, hex.EncodeToString(inForce[:]))
	c.signsKeys(tenant, id, 1)
	c.want(c.do(0, "POST", keys, tenant.body, nil), 201, "")
	second := c.want(c.do(0, "POST", keys, person.body, officer), 201, "").str("id")
	next := c.signatory(id, tenant.key, policy.TenantKey)
	next.body["policy_signature"] = c.signs(next, id, 2, hex.EncodeToString(inForce[:]))
	c.signsKeys(next, id, 2)
	c.want(c.do(0, "POST", keys, next.body, nil), 201, "")

	body := func(by ed25519.PrivateKey, of policy.TenantID, key string) map[string]any {
		return map[string]any{"signature": policy.Sign(by, policy.Withdrawal{Key: key}.Statement(c.id, of))}
	}
	path := keys + "/" + second + ":withdraw"
	_, stranger, _ := ed25519.GenerateKey(nil)
	for who, b := range map[string]map[string]any{"a stranger": body(stranger, id, second), "the approver": body(person.key, id, second), "the tenant's former key": body(tenant.key, id, second),
		"for another tenant": body(c.rootKey, "TN000000000000000000000000000000ff", second), "of another key": body(c.rootKey, id, policy.KeyIDOf(publicHalf(next.key)))} {
		if a := c.do(0, "POST", path, b, nil); a.Status != 400 {
			t.Errorf("withdrawn by %s: %d %s", who, a.Status, a.Raw)
		}
	}
	c.tenant("other", "ie1")
	c.want(c.do(0, "POST", path, body(next.key, id, second), c.token("tenant_admin", "other")), 404, policy.NotFound)
	c.want(c.do(0, "POST", path, body(next.key, id, second), c.token("tenant_reader", "acme")), 403, policy.PermissionDenied)
	c.want(c.do(0, "POST", keys+"/"+policy.KeyIDOf(publicHalf(next.key))+":withdraw", body(c.rootKey, id, policy.KeyIDOf(publicHalf(next.key))), nil), 404, policy.NotFound)

	once := headers{"Authorization": officer["Authorization"], "Idempotency-Key": "21111111-2222-4333-8444-555555555555"}
	done := c.want(c.do(c.follower(), "POST", path, body(next.key, id, second), once), 200, "")
	if again := c.want(c.do(0, "POST", path, body(next.key, id, second), once), 200, ""); again.Raw != done.Raw || done.Body["active"] == true || done.Body["withdrawal"] == nil {
		t.Errorf("withdrawn: %s, and repeated: %s", done.Raw, again.Raw)
	}
	c.want(c.do(0, "POST", path, body(c.rootKey, id, second), nil), 409, policy.AlreadyExists)
	listed := c.want(c.do(c.follower(), "GET", keys, nil, nil), 200, "")
	for _, k := range listed.Body["keys"].([]any) {
		if k := k.(map[string]any); (k["withdrawal"] != nil) != (k["id"] == second) || k["id"] == second && k["active"] == true {
			t.Errorf("listed: %v", k)
		}
	}
	c.audited("signing_key.withdraw")
}

// What proves the policy in force is read in one piece at any voter, and holds against
// the root; of a tenant without a signing key nothing does, and the answer says so.
func TestTheSignedPolicyOverREST(t *testing.T) {
	c := newCluster(t, 3)
	made := c.tenant("acme", "ie1")
	id := policy.TenantID(made.str("id"))
	const path = "/v1/tenants/acme/signed_policy"
	read := func(voter int) *policy.TenantRow {
		t.Helper()
		e := &controlv1.SignedPolicy{}
		c.must(protojson.Unmarshal([]byte(c.want(c.do(voter, "GET", path, nil, nil), 200, "").Raw), e))
		row, err := control.SignedRowFrom(e)
		c.must(err)
		return row
	}
	if row := read(0); row.Signers != nil || row.ID != id {
		t.Errorf("before it signs: %+v", row)
	}
	home := policy.DefaultPolicy(id, policy.Region{ID: "ie1", Boundary: "eu"}, made.str("contracting_entity"))
	inForce, err := policy.PolicyHash(&home)
	c.must(err)
	tenant := c.signatory(id, c.rootKey, policy.TenantKey)
	tenant.body["policy_signature"] = c.signs(tenant, id, 1, hex.EncodeToString(inForce[:]))
	c.signsKeys(tenant, id, 1)
	c.want(c.do(0, "POST", "/v1/tenants/acme/signing_keys", tenant.body, nil), 201, "")
	for voter := range c.planes {
		row := read(voter)
		if err := policy.VerifyRow(c.id, c.root, nil, row); err != nil || row.Signers.Sequence != 1 || !row.Signers.SignsKeys() {
			t.Errorf("voter %d: %v, %+v", voter, err, row.Signers)
		}
	}
	c.tenant("other", "ie1")
	c.want(c.do(0, "GET", path, nil, c.token("tenant_admin", "other")), 404, policy.NotFound)
}

func publicHalf(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// loosens reports whether a change says that it loosens a field.
func loosens(a answer, field string) bool {
	list, _ := a.Body["fields"].([]any)
	for _, f := range list {
		if m, _ := f.(map[string]any); m["field"] == field && m["effect"] == "loosen" {
			return true
		}
	}
	return false
}
