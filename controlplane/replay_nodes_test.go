package controlplane

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/domicile-io/domicile/audit/verify"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// A restore repeats the evictions of after the backup, also of nodes that the
// backup has never seen, which would otherwise be admitted as they come.
func TestARestoreBringsNoEvictedNodeBack(t *testing.T) {
	s, err := store.Open(store.Options{Path: filepath.Join(t.TempDir(), "state.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	a := &applier{store: s, term: 1, now: time.Now()}
	apply := func(p store.Payload) store.Result {
		t.Helper()
		res, err := a.apply(p)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	first, err := seed(Bootstrap{}, "CL00000000000000000000000000000001")
	if err != nil {
		t.Fatal(err)
	}
	first.Tokens = nil
	if res := apply(first); res.Err != nil {
		t.Fatal(res.Err, res.Err.Fields)
	}
	const known, unseen = policy.NodeID("ND000000000000000000000000000000a1"), policy.NodeID("ND000000000000000000000000000000a2")
	apply(store.RegisterNode{ID: known, Region: "ie1"})
	leaf := func(action string, resource policy.NodeID) verify.Leaf {
		return verify.Leaf{Action: action, Resource: string(resource)}
	}
	got, err := a.revoke([]verify.Leaf{leaf("node.register", unseen), leaf("violation.open", unseen), leaf("node.evict", unseen), leaf("node.evict", known), leaf("node.evict", known)})
	if err != nil || len(got.Revoked) != 2 || len(got.Lost) != 0 {
		t.Fatalf("%+v %v", got, err)
	}
	for _, id := range []policy.NodeID{known, unseen} {
		if res := apply(store.RegisterNode{ID: id, Region: "ie1"}); res.Err == nil || res.Err.Reason != policy.PermissionDenied {
			t.Errorf("%s came back: %+v", id, res)
		}
	}
	n, err := s.Node(unseen)
	if err != nil {
		t.Fatal(err)
	}
	if res := apply(store.AdmitNode{ID: unseen, Region: "ie1", IfMatch: n.ETag}); res.Err != nil {
		t.Errorf("and a person cannot admit it: %v", res.Err)
	}
}
