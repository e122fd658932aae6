package store

import (
	"bytes"
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

const (
	instance = "i-0123456789abcdef0"
	account  = "123456789012"
)

func nodeID(n int) policy.NodeID { return id[policy.NodeID](policy.KindNode, n) }

// refused wants a refusal of the reason that leaves the revision as it was.
func (f *fixture) refused(p Payload, reason policy.Reason) {
	f.t.Helper()
	before := f.Revision()
	if r := f.apply(p); r.Err == nil || r.Err.Reason != reason || f.Revision() != before {
		f.t.Errorf("%T: %v at revision %d after %d, want %s and no effect", p, r.Err, f.Revision(), before, reason)
	}
}

func (f *fixture) admission(n int, region policy.RegionID) *policy.NodeAdmission {
	return &policy.NodeAdmission{Node: nodeID(n), Region: region, Level: policy.OperatorSigned, KeySHA256: hexHash("key"),
		IssuedAt: f.now.Unix(), NotAfter: f.now.Add(time.Hour).Unix()}
}

func TestNodesAreAdmittedAsTheirRegionSays(t *testing.T) {
	f := seeded(t)
	n := body[Node](t, f.must(RegisterNode{ID: nodeID(1), Region: "ie1"}))
	if n.State != NodeAdmitted || n.Level != policy.Declared {
		t.Errorf("without a setting: %+v", n)
	}
	before := f.Revision()
	f.must(RegisterNode{ID: nodeID(1), Region: "ie1"})
	if f.Revision() != before {
		t.Error("a node that is known took a revision")
	}
	f.must(PutNodeAdmission{Region: "ie1", Mode: AdmitExplicit})
	f.refused(PutNodeAdmission{Region: "ie1", Mode: AdmitAutomatic}, policy.IfMatchRequired)
	f.refused(PutNodeAdmission{Region: "ie1", Mode: "maybe"}, policy.InvalidArgument)
	f.refused(PutNodeAdmission{Region: "zz1", Mode: AdmitExplicit}, policy.NotFound)
	waits := body[Node](t, f.must(RegisterNode{ID: nodeID(2), Region: "ie1", Instance: instance, Account: account}))
	if waits.State != NodeRequested || waits.Admits() || waits.Level != policy.Declared {
		t.Errorf("in a region that asks a person: %+v", waits)
	}
	if n := body[Node](t, f.must(AdmitNode{ID: nodeID(2), Region: "ie1"})); !n.Admits() || n.By != actor {
		t.Errorf("after a person admitted it: %+v", n)
	}
	f.refused(RegisterNode{ID: nodeID(1), Region: "us1"}, policy.PermissionDenied)
	f.refused(AdmitNode{ID: nodeID(1), Region: "us1"}, policy.ResourceRegionMismatch)
	f.refused(RegisterNode{ID: "ND1", Region: "ie1"}, policy.InvalidArgument)
	f.refused(RegisterNode{ID: nodeID(9), Region: "zz1"}, policy.NotFound)
	f.refused(RegisterNode{ID: nodeID(9), Region: "ie1", Instance: "a name", Account: account}, policy.InvalidArgument)
}

// INV06 for what a certificate does not say: an evicted id does not come back by
// itself, nor by what the root had signed before.
func TestINV06_AnEvictedNodeNeedsANewAdmission(t *testing.T) {
	f := seeded(t)
	f.must(AdmitNode{ID: nodeID(1), Region: "ie1", Admission: f.admission(1, "ie1")})
	old := f.admission(1, "ie1")
	f.now = f.now.Add(time.Minute)
	f.refused(EvictNode{ID: nodeID(1), Reason: "he left"}, policy.InvalidArgument)
	f.refused(EvictNode{ID: "ND7", Reason: "LOST"}, policy.InvalidArgument)
	f.must(EvictNode{ID: nodeID(7), Reason: "LOST"}) // before it ever came
	f.refused(RegisterNode{ID: nodeID(7), Region: "ie1"}, policy.PermissionDenied)
	gone := body[Node](t, f.must(EvictNode{ID: nodeID(1), Reason: "COMPROMISED"}))
	if gone.Admits() || gone.row() != nil {
		t.Errorf("evicted and still %+v", gone)
	}
	check := func(f *fixture) {
		t.Helper()
		f.refused(RegisterNode{ID: nodeID(1), Region: "ie1"}, policy.PermissionDenied)
		f.refused(RegisterNode{ID: nodeID(1), Region: "ie1", Instance: instance, Account: account}, policy.PermissionDenied)
		f.refused(AdmitNode{ID: nodeID(1), Region: "ie1"}, policy.IfMatchRequired)
		f.refused(AdmitNode{ID: nodeID(1), Region: "ie1", IfMatch: gone.ETag, Admission: old}, policy.InvalidArgument)
	}
	check(f)
	other := empty(t) // and neither does a voter forget that was away
	if err := other.Restore(bytes.NewReader(snapshotOf(t, f.Store))); err != nil {
		t.Fatal(err)
	}
	other.index, other.now = f.index, f.now
	check(other)
	f.now = f.now.Add(time.Minute)
	n := body[Node](t, f.must(AdmitNode{ID: nodeID(1), Region: "ie1", IfMatch: gone.ETag, Admission: f.admission(1, "ie1")}))
	if !n.Admits() || n.Level != policy.OperatorSigned || n.Reason != "" {
		t.Errorf("admitted anew: %+v", n)
	}
}

func TestAnInstanceIsOneNode(t *testing.T) {
	f := seeded(t)
	n := body[Node](t, f.must(RegisterNode{ID: nodeID(1), Region: "ie1", Instance: instance, Account: account}))
	if n.Level != policy.CloudSigned || n.Instance != instance {
		t.Fatalf("with a document: %+v", n)
	}
	f.refused(RegisterNode{ID: nodeID(2), Region: "ie1", Instance: instance, Account: account}, policy.AlreadyExists)
	f.must(EvictNode{ID: nodeID(1), Reason: "REPLACED"})
	f.refused(RegisterNode{ID: nodeID(2), Region: "ie1", Instance: instance, Account: account}, policy.AlreadyExists)
	f.must(RegisterNode{ID: nodeID(2), Region: "ie1", Instance: "i-0123456789abcdef1", Account: account})
}

// The bundle speaks of nodes that are more than declared, in their region only.
func TestRowsOfNodes(t *testing.T) {
	f := seeded(t)
	f.must(RegisterNode{ID: nodeID(1), Region: "ie1"})
	f.must(RegisterNode{ID: nodeID(2), Region: "ie1"})
	rows := func(region policy.RegionID) (keys []string) {
		if _, err := f.Rows(region, func(r policy.Row) error {
			if r.Node != nil {
				keys = append(keys, r.RowKey())
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return keys
	}
	if got := rows("ie1"); len(got) != 0 {
		t.Errorf("declared nodes have rows: %v", got)
	}
	from := f.Revision()
	f.must(AdmitNode{ID: nodeID(2), Region: "ie1", Admission: f.admission(2, "ie1")})
	if got := rows("ie1"); len(got) != 1 || got[0] != "n/"+string(nodeID(2)) || len(rows("us1")) != 0 {
		t.Errorf("rows %v, and abroad %v", got, rows("us1"))
	}
	if d := got(f.RowsChanged("ie1", from))(t); len(d.Rows) != 1 || d.Rows[0].Node == nil || d.Rows[0].Node.Admission == nil {
		t.Errorf("the admission's delta: %+v", d)
	}
	f.must(EvictNode{ID: nodeID(2), Reason: "LOST"})
	if d := got(f.RowsChanged("ie1", from))(t); len(d.Removed) != 1 || len(rows("ie1")) != 0 {
		t.Errorf("the eviction's delta: %+v", d)
	}
	if f.NodesRevision() != f.Revision() {
		t.Error("the revision of nodes lags")
	}
}

func TestAdmissionsAreOfTheNode(t *testing.T) {
	f := seeded(t)
	f.refused(AdmitNode{ID: nodeID(1), Region: "ie1", Admission: f.admission(2, "ie1")}, policy.InvalidArgument)
	f.refused(AdmitNode{ID: nodeID(1), Region: "ie1", Admission: f.admission(1, "us1")}, policy.InvalidArgument)
	cloud := f.admission(1, "ie1")
	cloud.Level = policy.CloudSigned
	f.refused(AdmitNode{ID: nodeID(1), Region: "ie1", Admission: cloud}, policy.InvalidArgument)
	f.refused(AdmitNode{ID: nodeID(1), Region: "ie1", IfMatch: "1"}, policy.ETagMismatch)
	f.must(AdmitNode{ID: nodeID(1), Region: "ie1"})
	f.refused(AdmitNode{ID: nodeID(1), Region: "ie1", IfMatch: "1"}, policy.ETagMismatch)
}
