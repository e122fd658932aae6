package controlplane

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/domicile-io/domicile/audit/verify"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// seededApplier applies to a cluster that was just set up.
func seededApplier(t *testing.T) (*store.Store, *applier, func(store.Payload) store.Result) {
	t.Helper()
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
	return s, a, apply
}

// A tenant that was suspended or ended after the backup does not come back: it is
// suspended, and its end is among what the operator is told to repeat.
func TestINV22_ARestoreBringsNoEndedTenantBack(t *testing.T) {
	s, a, apply := seededApplier(t)
	ids := map[string]policy.TenantID{}
	for i, name := range []string{"alive", "purged", "deleted", "suspended", "suspended-before"} {
		id := policy.TenantID(fmt.Sprintf("TN%032x", i+1))
		if res := apply(store.CreateTenant{ID: id, Slug: policy.Slug(name), Home: "ie1", BillingCountry: "IE"}); res.Err != nil {
			t.Fatal(res.Err, res.Err.Fields)
		}
		ids[name] = id
	}
	apply(store.SetTenantState{ID: ids["suspended-before"], State: policy.TenantSuspended})
	leaf := func(action, name string) verify.Leaf { return verify.Leaf{Action: action, Resource: string(ids[name])} }
	a.beside.Slugs = map[policy.TenantID]policy.Slug{"TN000000000000000000000000000000ff": "came-and-went"}
	got, err := a.revoke([]verify.Leaf{leaf("tenant.suspend", "suspended"), leaf("tenant.purge", "purged"), leaf("tenant.receipt", "purged"),
		leaf("tenant.delete", "deleted"), leaf("tenant.suspend", "suspended-before"),
		{Action: "tenant.purge", Resource: "TN000000000000000000000000000000ff"}}) // made after the backup
	if err != nil || len(got.Revoked) != 4 {
		t.Fatalf("%+v %v", got, err)
	}
	for name, id := range ids {
		tn, err := s.Tenant(id)
		if err != nil || (tn.State == policy.TenantActive) != (name == "alive") {
			t.Errorf("%s is %s, %v", name, tn.State, err)
		}
	}
	var lost []string
	for _, l := range got.Lost {
		lost = append(lost, l.Action+" "+l.Resource)
	}
	if want := []string{"tenant.purge " + string(ids["purged"]), "tenant.delete " + string(ids["deleted"])}; !slices.Equal(lost, want) {
		t.Errorf("to be repeated by people: %v, want %v", lost, want)
	}
}

// A restore repeats the evictions of after the backup, also of nodes that the
// backup has never seen, which would otherwise be admitted as they come.
func TestARestoreBringsNoEvictedNodeBack(t *testing.T) {
	s, a, apply := seededApplier(t)
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
