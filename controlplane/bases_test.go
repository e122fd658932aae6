package controlplane_test

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/bundle"
	"github.com/domicile-io/domicile/policy"
)

// exporter creates a tenant in Ireland that exports to the United States.
func (c *cluster) exporter(slug, basis string) answer {
	c.t.Helper()
	return c.want(c.do(0, "POST", "/v1/tenants", map[string]any{"slug": slug, "home_region": "ie1", "billing_country": "IE", "policy": map[string]any{
		"classes": map[string]any{"call_record": map[string]any{"mode": "sealed"}},
		"egress":  map[string]any{"PSEUDONYMISED_EXPORT": map[string]any{"effect": "allow", "basis": basis}},
		"recipients": map[string]any{"list": []any{map[string]any{"region": "us1", "purpose": "fraud", "threshold": 10, "colluding": 3,
			"assessment_hash": strings.Repeat("a", 64), "assessment_expiry": "2030-01-01T00:00:00Z"}}},
	}}, nil), 201, "")
}

// grant is what the holder of the operator's root makes offline.
func (c *cluster) grant(key ed25519.PrivateKey, basis string, until *time.Time, sequence uint64) map[string]any {
	sig := policy.Sign(key, policy.BasisStatement(c.id, basis, until, sequence))
	g := map[string]any{"sequence": sequence, "key_id": sig.KeyID, "signature": sig.Value}
	if until != nil {
		g["until"] = until.Format(time.RFC3339)
	}
	return g
}

func (n *node) basis(id string) policy.BasisState {
	n.c.t.Helper()
	r, err := bundle.Decode(n.rows["b/"+id])
	if err != nil {
		n.c.t.Fatal(err)
	}
	return r.Basis.State
}

func TestBasisIsDrilledRevokedAndReinstated(t *testing.T) {
	c := newCluster(t, 1)
	tenant := c.exporter("acme", "SCC")
	c.tenant("quiet", "ie1")
	c.tenant("silent", "ie1")
	n := c.subscribe(0, "us1", 0, "")
	n.next()
	if n.basis("SCC") != policy.BasisActive {
		t.Fatal("the bundle has no transfer bases")
	}

	drill := c.want(c.do(0, "POST", "/v1/bases/SCC:revoke", map[string]any{}, nil), 200, "")
	flows := drill.Body["flows"].([]any)
	if len(flows) != 1 || drill.Body["tenants"] != 1.0 || drill.Body["enforced"] == true {
		t.Fatalf("drill: %s", drill.Raw)
	}
	flow := flows[0].(map[string]any)
	if flow["tenant"] != tenant.str("id") || flow["from_region"] != "ie1" || flow["to_region"] != "us1" || flow["purpose"] != "fraud" || flow["egress_class"] != "PSEUDONYMISED_EXPORT" {
		t.Errorf("flow: %v", flow)
	}
	b := c.want(c.do(0, "GET", "/v1/bases/SCC", nil, nil), 200, "")
	if b.str("state") != "active" || b.str("drill_time") == "" {
		t.Errorf("after a drill: %s", b.Raw)
	}
	explain := map[string]any{"tenant": "acme", "operation": "export", "data_class": "call_record", "region": "ie1", "egress_class": "PSEUDONYMISED_EXPORT",
		"recipient": flow["recipient"], "purpose": "fraud"}
	if e := c.want(c.do(0, "POST", "/v1/decisions:explain", explain, nil), 200, ""); e.str("effect") != "allow" {
		t.Errorf("after a drill: %s", e.Raw)
	}

	acked := make(chan struct{})
	go func() { // the node reads until it has the revocation
		defer close(acked)
		for n.basis("SCC") == policy.BasisActive {
			n.next()
		}
	}()
	done := c.want(c.do(0, "POST", "/v1/bases/SCC:revoke", map[string]any{"enforce": true}, nil), 200, "")
	<-acked
	if done.Body["enforced"] != true || done.Body["distributed"] != true || len(done.Body["flows"].([]any)) != 1 {
		t.Errorf("revoked: %s", done.Raw)
	}
	if e := c.want(c.do(0, "POST", "/v1/decisions:explain", explain, nil), 200, ""); e.str("effect") != "deny" || !strings.Contains(string(e.Raw), "BASIS_REVOKED") {
		t.Errorf("after the revocation: %s", e.Raw)
	}

	tag := headers{"If-Match": c.want(c.do(0, "GET", "/v1/bases/SCC", nil, nil), 200, "").Header.Get("ETag")}
	open := map[string]any{"state": "active"}
	refusal := c.want(c.do(0, "PUT", "/v1/bases/SCC", open, tag), 409, policy.LooseningNeedsApproval)
	if !strings.Contains(string(refusal.Raw), `"grant_sequence":"1"`) {
		t.Errorf("refusal: %s", refusal.Raw)
	}
	_, stranger, _ := ed25519.GenerateKey(nil)
	for name, bad := range map[string]map[string]any{"a stranger's": c.grant(stranger, "SCC", nil, 1), "another basis'": c.grant(c.rootKey, "BCR", nil, 1), "one too far": c.grant(c.rootKey, "SCC", nil, 2)} {
		open["grant"] = bad
		if a := c.do(0, "PUT", "/v1/bases/SCC", open, tag); a.Status != 400 {
			t.Errorf("a grant that is %s: %s", name, a.Raw)
		}
	}
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	open["grant"] = c.grant(c.rootKey, "SCC", &until, 1)
	c.want(c.do(0, "PUT", "/v1/bases/SCC", open, tag), 409, policy.LooseningNeedsApproval) // for ever was not granted
	open["expires_at"] = until.Format(time.RFC3339)
	up := c.want(c.do(0, "PUT", "/v1/bases/SCC", open, tag), 200, "")
	if up.str("state") != "active" || up.str("expires_at") != until.Format(time.RFC3339) {
		t.Errorf("reinstated: %s", up.Raw)
	}
	if e := c.want(c.do(0, "POST", "/v1/decisions:explain", explain, nil), 200, ""); e.str("effect") != "allow" {
		t.Errorf("reinstated: %s", e.Raw)
	}
	c.want(c.do(0, "POST", "/v1/bases/HANDSHAKE:revoke", map[string]any{}, nil), 404, policy.NotFound)
	c.want(c.do(0, "GET", "/v1/bases/HANDSHAKE/flows", nil, nil), 404, policy.NotFound)
	if l := c.want(c.do(0, "GET", "/v1/bases/NONE/flows?page_size=1", nil, nil), 200, ""); l.str("next_page_token") == "" {
		t.Errorf("flows: %s", l.Raw)
	}
}

func TestPolicyNamesABasisThatExists(t *testing.T) {
	c := newCluster(t, 1)
	body := map[string]any{"slug": "acme", "home_region": "ie1", "billing_country": "IE", "policy": map[string]any{
		"egress": map[string]any{"AGGREGATE": map[string]any{"effect": "allow", "basis": "HANDSHAKE"}}, "recipients": map[string]any{"deny_all": true}}}
	a := c.want(c.do(0, "POST", "/v1/tenants", body, nil), 400, policy.InvalidArgument)
	if !strings.Contains(string(a.Raw), "egress.AGGREGATE.basis") {
		t.Errorf("refusal: %s", a.Raw)
	}
}

func TestFeaturesAndEntitiesAreWritten(t *testing.T) {
	c := newCluster(t, 1)
	c.tenant("acme", "ie1")
	f := c.want(c.do(0, "GET", "/v1/regions/ie1/features/voice", nil, nil), 200, "")
	tag := headers{"If-Match": f.Header.Get("ETag")}
	c.want(c.do(0, "PUT", "/v1/regions/ie1/features/voice", map[string]any{"stage": "ga"}, nil), 428, policy.IfMatchRequired)
	gone := c.want(c.do(0, "PUT", "/v1/regions/ie1/features/voice", map[string]any{"stage": "none"}, tag), 400, policy.InvalidArgument)
	if !strings.Contains(string(gone.Raw), `"tenants":"1"`) {
		t.Errorf("refusal: %s", gone.Raw)
	}
	spec := map[string]any{"stage": "ga", "limits": []any{map[string]any{"code": "CALLS_PER_SECOND", "amount": 50}}, "certifications": []any{"SOC-2", "ISO-27001"}}
	now := c.want(c.do(0, "PUT", "/v1/regions/ie1/features/voice", spec, tag), 200, "")
	if now.Body["certifications"].([]any)[0] != "ISO-27001" || now.Header.Get("ETag") == f.Header.Get("ETag") {
		t.Errorf("feature: %s", now.Raw)
	}
	c.want(c.do(0, "PUT", "/v1/regions/ie1/features/fax", map[string]any{"stage": "pilot"}, nil), 201, "")
	c.want(c.do(0, "PUT", "/v1/regions/zz9/features/voice", map[string]any{"stage": "ga"}, nil), 404, policy.NotFound)
	c.want(c.do(0, "PUT", "/v1/regions/ie1/features/fax", map[string]any{"stage": "soon"}, nil), 400, policy.InvalidArgument)

	e := c.want(c.do(0, "GET", "/v1/entities/IE", nil, nil), 200, "")
	c.want(c.do(0, "PUT", "/v1/entities/IE", map[string]any{"code": "DOM-EU", "suggested_region": "ie1"}, headers{"If-Match": e.Header.Get("ETag")}), 200, "")
	c.want(c.do(0, "PUT", "/v1/entities/ZW", map[string]any{"code": "DOM-EU"}, nil), 201, "")
	before := c.want(c.do(0, "GET", "/v1/tenants/acme", nil, nil), 200, "")
	after := c.want(c.do(0, "PATCH", "/v1/tenants/acme", map[string]any{"billing_country": "IE"}, headers{"If-Match": before.Header.Get("ETag")}), 200, "")
	if before.str("contracting_entity") != "DOM-IE" || after.str("contracting_entity") != "DOM-EU" {
		t.Errorf("re-contracted from %s to %s", before.str("contracting_entity"), after.str("contracting_entity"))
	}
}

// A node whose stream has ended still has what it had. A revocation names it and
// says until when it may export; asked again after that, it is everywhere.
func TestARevocationNamesTheNodesThatWereNotHeard(t *testing.T) {
	c := prepare(t, 1)
	c.timing.FreshFor = 5 * time.Second
	c.startAll()
	c.exporter("acme", "SCC")
	gone, here := c.holder("ie1"), c.holder("us1")
	left := gone.come(0, nil)
	left.whole()
	if err := left.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if a := c.do(0, "GET", "/v1/nodes/"+string(gone.id), nil, nil); a.Body["connected"] == true {
			return errors.New("its stream is open")
		}
		return nil
	}, "the node has left")
	n := here.come(0, nil)
	n.whole()
	acked := make(chan struct{})
	go func() {
		defer close(acked)
		for n.basis("SCC") == policy.BasisActive {
			n.next()
		}
	}()
	before := time.Now()
	revoke := func() answer {
		return c.want(c.do(0, "POST", "/v1/bases/SCC:revoke", map[string]any{"enforce": true}, nil), 200, "")
	}
	first := revoke()
	<-acked
	unheard, _ := first.Body["unheard"].([]any)
	if first.Body["distributed"] != false || first.Body["unheard_nodes"] != 1.0 || len(unheard) != 1 {
		t.Fatalf("with a node that was not heard: %s", first.Raw)
	}
	if u := unheard[0].(map[string]any); u["node"] != string(gone.id) || u["region"] != "ie1" || u["connected"] == true || u["last_contact"] == nil {
		t.Errorf("the node: %v", u)
	}
	end, err := time.Parse(time.RFC3339, first.str("exports_end_time"))
	if err != nil || end.Before(before.Add(c.timing.FreshFor)) || end.After(time.Now().Add(c.timing.FreshFor+time.Second)) {
		t.Errorf("it may export until %s (%v)", first.str("exports_end_time"), err)
	}
	eventually(t, func() error {
		if a := revoke(); a.Body["distributed"] == true && time.Now().Before(end) {
			t.Fatalf("distributed before the node had to stop: %s", a.Raw)
		} else if a.Body["distributed"] != true {
			return errors.New(string(a.Raw))
		}
		return nil
	}, "the node must have stopped")
	if a := revoke(); a.str("exports_end_time") != first.str("exports_end_time") || a.Body["unheard_nodes"] != 1.0 {
		t.Errorf("afterwards: %s", a.Raw)
	}
}
