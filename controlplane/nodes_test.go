package controlplane_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/instance/instancetest"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// An evicted node is cut off at once, and stays out: at the next leader too.
func TestINV06_AnEvictedNodeStaysOut(t *testing.T) {
	c := newCluster(t, 3)
	leader := c.leader()
	h := c.holder("ie1")
	n := h.come(leader, nil)
	if level := n.whole(); level != "declared" {
		t.Errorf("a node with a certificate alone is %q", level)
	}
	path := "/v1/nodes/" + string(h.id)
	a := c.want(c.do(leader, "GET", path, nil, nil), 200, "")
	if a.str("state") != "admitted" || a.str("attestation") != "declared" || a.Body["connected"] != true || a.str("changed_by") != string(h.id) {
		t.Errorf("the node: %s", a.Raw)
	}
	c.want(c.do(leader, "POST", path+":evict", map[string]any{"reason_code": "he left"}, nil), 400, policy.InvalidArgument)
	c.want(c.do(leader, "POST", path+":evict", map[string]any{"reason_code": "LOST"}, headers{"If-Match": `"1"`}), 412, policy.ETagMismatch)
	e := c.want(c.do(leader, "POST", path+":evict", map[string]any{"reason_code": "COMPROMISED"}, nil), 200, "")
	if e.str("state") != "evicted" || e.str("reason_code") != "COMPROMISED" {
		t.Errorf("evicted: %s", e.Raw)
	}
	if r := n.ended(); r != policy.PermissionDenied {
		t.Errorf("the open stream ended with %s", r)
	}
	if r := h.come(leader, nil).ended(); r != policy.PermissionDenied {
		t.Errorf("it came again: %s", r)
	}
	c.violation(leader, "EVICTED_NODE", "open")
	c.stop(leader)
	next := c.leader()
	eventually(t, func() error { return c.planes[next].Ready() }, "the next leader is not ready")
	if r := h.come(next, nil).ended(); r != policy.PermissionDenied {
		t.Errorf("the next leader answers %s", r)
	}
	c.violation(next, "EVICTED_NODE", "open")
	c.want(c.do(next, "POST", path+":admit", map[string]any{}, nil), 428, policy.IfMatchRequired)
	c.want(c.do(next, "POST", path+":admit", map[string]any{}, headers{"If-Match": e.Header.Get("ETag")}), 200, "")
	h.come(next, nil).whole()
	c.violation(next, "EVICTED_NODE", "resolved")
}

func TestARegionMayAskForAPerson(t *testing.T) {
	c := newCluster(t, 1)
	const path = "/v1/regions/ie1/node_admission"
	if a := c.want(c.do(0, "GET", path, nil, nil), 200, ""); a.str("mode") != "automatic" {
		t.Errorf("by default: %s", a.Raw)
	}
	early := c.holder("ie1")
	early.come(0, nil).whole()
	a := c.want(c.do(0, "PUT", path, map[string]any{"mode": "explicit"}, nil), 200, "")
	c.want(c.do(0, "PUT", path, map[string]any{"mode": "automatic"}, nil), 428, policy.IfMatchRequired)
	early.come(0, nil).whole() // what is admitted stays

	late := c.holder("ie1")
	if r := late.come(0, nil).ended(); r != policy.PermissionDenied {
		t.Errorf("a node that nobody admitted: %s", r)
	}
	v := c.violation(0, "NOT_ADMITTED", "open")
	if cmds := v["commands"].([]any); len(cmds) < 2 || cmds[1] != "domicile nodes admit "+string(late.id) {
		t.Errorf("what to type: %v", v["commands"])
	}
	list := c.want(c.do(0, "GET", "/v1/nodes?state=requested&region=ie1", nil, nil), 200, "")
	if l := list.Body["nodes"].([]any); len(l) != 1 || l[0].(map[string]any)["id"] != string(late.id) {
		t.Errorf("who waits: %s", list.Raw)
	}
	c.want(c.do(0, "POST", "/v1/nodes/"+string(late.id)+":admit", map[string]any{}, nil), 200, "")
	late.come(0, nil).whole()
	c.violation(0, "NOT_ADMITTED", "resolved")
	c.want(c.do(0, "PUT", path, map[string]any{"mode": "automatic"}, headers{"If-Match": a.Header.Get("ETag")}), 200, "")
	c.holder("ie1").come(0, nil).whole()

	unseen := c.holder("us1")
	c.want(c.do(0, "POST", "/v1/nodes/"+string(unseen.id)+":admit", map[string]any{}, nil), 400, policy.RegionRequired)
	c.want(c.do(0, "POST", "/v1/nodes/"+string(unseen.id)+":admit", map[string]any{"region": "us1"}, nil), 200, "")
}

// A tenant that demands a level is not given to a node below it: the row is
// bare. The root's word, which no voter can write, changes that at once.
func TestINV06_OnlyTheRootsWordRaisesANode(t *testing.T) {
	c := newCluster(t, 1)
	id := c.tenant("acme", "ie1").str("id")
	plain := c.tenant("plain", "ie1").str("id")
	h, other := c.holder("ie1"), c.holder("ie1")
	n := h.come(0, nil)
	n.whole()
	if n.tenant(id).Policy == nil {
		t.Fatal("before it demands anything, a tenant's policy is left out")
	}
	c.demand("acme", "operator_signed")
	for n.tenant(id).Policy != nil { // by a delta
		n.next()
	}
	if r := n.tenant(id); r.Demands != policy.OperatorSigned || n.tenant(plain).Policy == nil {
		t.Errorf("left: %+v", r)
	}
	now := time.Now()
	admit := "/v1/nodes/" + string(h.id) + ":admit"
	good := h.signed(h.keyHash(), now, now.Add(time.Hour))
	for name, bad := range map[string]map[string]any{
		"another node's":         other.signed(h.keyHash(), now, now.Add(time.Hour)),
		"ended":                  h.signed(h.keyHash(), now.Add(-2*time.Hour), now.Add(-time.Hour)),
		"of more than ten years": h.signed(h.keyHash(), now, now.Add(10*366*24*time.Hour)),
	} {
		if a := c.do(0, "POST", admit, bad, nil); a.Status != 400 {
			t.Errorf("an admission that is %s: %s", name, a.Raw)
		}
	}
	forged := h.signed(h.keyHash(), now, now.Add(time.Hour))
	forged["admission"].(map[string]any)["key_sha256"] = other.keyHash()
	c.want(c.do(0, "POST", admit, forged, nil), 400, policy.InvalidArgument)
	c.want(c.do(0, "POST", admit, good, nil), 200, "")
	if r := n.ended(); r != policy.NotReady {
		t.Errorf("the stream of before ended with %s", r)
	}
	n = h.come(0, nil)
	if level := n.whole(); level != "operator_signed" || n.tenant(id).Policy == nil || n.tenant(id).Demands != 0 {
		t.Errorf("admitted by the root it is %s and got %+v", level, n.tenant(id))
	}
	if _, told := n.rows["n/"+string(h.id)]; !told {
		t.Error("the bundle does not carry the root's word")
	}
	other.claims = "cloud_signed"
	o := other.come(0, nil) // beside it, and still below, whatever it says
	if level := o.whole(); level != "declared" || o.tenant(id).Policy != nil {
		t.Errorf("another node is %s and got %+v", level, o.tenant(id))
	}
	// A new certificate of the same id is not what the root signed.
	f, err := c.ca.Issue(filepath.Join(t.TempDir(), "again"), mtls.Identity{Cluster: c.id, Region: "ie1", Role: mtls.DataPlane, Node: h.id}, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	thief := &holder{c: c, region: "ie1", id: h.id, files: f}
	if level := thief.come(0, nil).whole(); level != "declared" {
		t.Errorf("with another key the node is %s", level)
	}
	c.violation(0, "ADMISSION_ENDED", "open")
	// Bound to the authority instead, certificates may be renewed.
	ca, err := mtls.ReadLeaf(h.files.CA)
	if err != nil {
		t.Fatal(err)
	}
	c.want(c.do(0, "POST", admit, h.signed(mtls.KeyHash(ca), now, now.Add(time.Hour)), nil), 200, "")
	if level := thief.come(0, nil).whole(); level != "operator_signed" {
		t.Errorf("by its authority's key the node is %s", level)
	}
	c.violation(0, "ADMISSION_ENDED", "resolved")
	code, metrics := plainGet(t, "http://"+c.configs[0].OpsAddress+"/metrics")
	if code != 200 {
		t.Fatalf("metrics: %d", code)
	}
	for _, want := range []string{`domicile_control_nodes{level="operator_signed",state="admitted"} 1`, `domicile_control_violations{category="ATTESTATION",state="resolved"} 1`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no metric %s", want)
		}
	}
}

func TestACloudsDocumentIsOneNodesAndOneRegions(t *testing.T) {
	c := prepare(t, 1)
	ireland, virginia := instancetest.New(t, "eu-west-1"), instancetest.New(t, "us-east-1")
	c.configs[0].Attestation = ireland.Config()
	c.configs[0].Attestation.Certificates["us-east-1"] = virginia.File
	c.startAll()
	id := c.tenant("acme", "ie1").str("id")
	c.demand("acme", "cloud_signed")
	const machine = "i-0123456789abcdef0"
	h, second := c.holder("ie1"), c.holder("ie1")
	n := h.come(0, ireland.Document(machine))
	if level := n.whole(); level != "cloud_signed" || n.tenant(id).Policy == nil {
		t.Errorf("with its document the node is %s and got %+v", level, n.tenant(id))
	}
	a := c.want(c.do(0, "GET", "/v1/nodes/"+string(h.id), nil, nil), 200, "")
	if a.str("instance") != machine || a.str("account") != instancetest.Account || a.str("attestation") != "cloud_signed" {
		t.Errorf("the node: %s", a.Raw)
	}
	refused := func(who *holder, document []byte, cause string) {
		t.Helper()
		n := who.come(0, document)
		if level := n.whole(); level != "declared" || (who.region == "ie1" && n.tenant(id).Policy != nil) {
			t.Errorf("%s: the node is %s", cause, level)
		}
		if v := c.violation(0, cause, "open", string(who.id)); v["category"] != "ATTESTATION" {
			t.Errorf("%s: %v", cause, v)
		}
	}
	refused(second, ireland.Document(machine), "DOCUMENT_REPLAYED")
	refused(c.holder("ie1"), virginia.Document("i-0123456789abcdef1"), "DOCUMENT_SIGNATURE")
	refused(c.holder("us1"), ireland.Document("i-0123456789abcdef2"), "DOCUMENT_SIGNATURE")
	refused(c.holder("au1"), ireland.Document("i-0123456789abcdef3"), "DOCUMENT_UNCONFIGURED")
	if level := h.come(0, nil).whole(); level != "declared" {
		t.Errorf("without its document the node is %s: what it proved once is no proof of now", level)
	}
	if level := second.come(0, ireland.Document("i-0123456789abcdef4")).whole(); level != "cloud_signed" {
		t.Errorf("with a document of its own the second node is %s", level)
	}
}

func TestViolationsEndByThemselvesAndAreAcknowledged(t *testing.T) {
	c := newCluster(t, 3)
	leader := c.leader()
	h := c.holder("ie1")
	n := h.come(leader, nil)
	first := n.next()
	refuse := func(nonce uint64) {
		n.say(&controlv1.NodeMessage{Message: &controlv1.NodeMessage_Nack{Nack: &controlv1.Nack{LastGood: 1, Nonce: nonce, Reason: "STATE_HASH"}}})
	}
	refuse(first.GetNonce())
	v := c.violation(leader, "STATE_HASH", "open")
	if v["category"] != "ENCRYPTION" || v["resource"] != string(h.id) || len(v["commands"].([]any)) == 0 {
		t.Errorf("the violation: %v", v)
	}
	path := "/v1/violations/" + v["id"].(string)
	c.want(c.do(leader, "POST", path+":acknowledge", map[string]any{"reason_code": "call Aoife"}, nil), 400, policy.InvalidArgument)
	c.want(c.do(leader, "POST", path+":acknowledge", map[string]any{"reason_code": "INVESTIGATING"}, c.token("auditor", "")), 403, policy.PermissionDenied)
	a := c.want(c.do(leader, "POST", path+":acknowledge", map[string]any{"reason_code": "INVESTIGATING"}, nil), 200, "")
	if a.str("state") != "acknowledged" || !policy.ValidID(policy.KindPrincipal, a.str("acknowledged_by")) {
		t.Errorf("acknowledged: %s", a.Raw)
	}
	for i := range c.planes { // it is known everywhere, and to the next leader
		got := c.want(c.do(i, "GET", path, nil, nil), 200, "")
		if got.str("state") != "acknowledged" {
			t.Errorf("voter %d: %s", i+1, got.Raw)
		}
	}
	n.whole() // what the node takes is good again
	c.violation(leader, "STATE_HASH", "resolved")
	c.want(c.do(leader, "POST", path+":acknowledge", map[string]any{"reason_code": "INVESTIGATING"}, nil), 409, policy.AlreadyExists)
	c.want(c.do(leader, "GET", "/v1/violations/"+mustID(t, policy.KindViolation), nil, nil), 404, policy.NotFound)
	if l := c.want(c.do(leader, "GET", "/v1/violations?state=open", nil, nil), 200, ""); len(l.Body["violations"].([]any)) != 0 {
		t.Errorf("open ones: %s", l.Raw)
	}
}

func TestPlacementNeedsANodeOfTheLevel(t *testing.T) {
	c := newCluster(t, 1)
	c.tenant("acme", "ie1")
	c.demand("acme", "operator_signed")
	found := func() bool {
		a := c.want(c.do(0, "POST", "/v1/tenants/acme:checkPlacement", map[string]any{"region": "us1"}, nil), 200, "")
		for _, x := range a.Body["findings"].([]any) {
			if f := x.(map[string]any); f["code"] == "ATTESTATION" {
				if f["severity"] != "blocks" || f["subject"] != "operator_signed" || a.Body["possible"] != false {
					t.Errorf("the finding: %s", a.Raw)
				}
				return true
			}
		}
		return false
	}
	h := c.holder("us1")
	h.come(0, nil).whole()
	if !found() {
		t.Error("a region whose nodes are declared is no obstacle")
	}
	now := time.Now()
	c.want(c.do(0, "POST", "/v1/nodes/"+string(h.id)+":admit", h.signed(h.keyHash(), now, now.Add(time.Hour)), nil), 200, "")
	if found() {
		t.Error("a region with a node of the level is an obstacle")
	}
	c.want(c.do(0, "POST", "/v1/nodes/"+string(h.id)+":evict", map[string]any{"reason_code": "REPLACED"}, nil), 200, "")
	if !found() {
		t.Error("an evicted node counts")
	}
}

// What a node finds in its own region is among the violations, by a cause of the
// closed list, until the node says that it is over; what is not of the list is nothing.
func TestFindingsOfNodesAreViolations(t *testing.T) {
	c := newCluster(t, 1)
	n := c.holder("ie1").come(0, nil)
	say := func(causes ...string) {
		t.Helper()
		a := &controlv1.Ack{}
		for p := n.next(); ; p = n.next() {
			if p.GetSeal() != nil {
				a.Revision, a.Nonce = p.GetRevision(), p.GetNonce()
				break
			}
		}
		for _, cause := range causes {
			a.Findings = append(a.Findings, &controlv1.Finding{Cause: cause})
		}
		n.say(&controlv1.NodeMessage{Message: &controlv1.NodeMessage_Ack{Ack: a}})
	}
	say("CALL_ME", "BUCKET_REPLICATION", "CORRUPT_VALUES") // the first of a category counts
	v := c.violation(0, "BUCKET_REPLICATION", "open")
	if v["category"] != "LOCATION" || len(v["commands"].([]any)) < 3 {
		t.Errorf("the violation: %v", v)
	}
	c.violation(0, "CORRUPT_VALUES", "open")
	if l := c.want(c.do(0, "GET", "/v1/violations", nil, nil), 200, ""); len(l.Body["violations"].([]any)) != 2 {
		t.Errorf("violations: %s", l.Raw)
	}
	say("CORRUPT_VALUES")
	c.violation(0, "BUCKET_REPLICATION", "resolved")
	c.violation(0, "CORRUPT_VALUES", "open")
	say()
	c.violation(0, "CORRUPT_VALUES", "resolved")
}
