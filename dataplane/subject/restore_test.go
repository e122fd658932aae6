package subject

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// putBack replaces the region's records by a copy made earlier. Keys, media and
// the ledger are not in a backup of records and stay.
func (r *region) putBack(backup string) {
	r.t.Helper()
	r.close()
	must(r.t, os.RemoveAll(filepath.Join(r.dir, "records")))
	copyTree(r.t, backup, filepath.Join(r.dir, "records"))
	r.open()
}

func (r *region) backup() string {
	r.t.Helper()
	to := filepath.Join(r.t.TempDir(), "backup")
	r.close()
	copyTree(r.t, filepath.Join(r.dir, "records"), to)
	r.open()
	return to
}

// TestINV22: a store that is put back from a backup of before an erasure shows
// nobody anything until the ledger's erasures are applied to it again.
func TestINV22_RestoreAppliesTheLedgerBeforeItServes(t *testing.T) {
	r := newRegion(t)
	r.populate()
	backup := r.backup()
	first := r.erase(r.who(person))
	r.append(r.call("later", friend, "+353864444444", epoch.Add(time.Hour)))
	second := r.erase(r.who("+353862222201"))
	r.putBack(backup)
	for _, op := range []policy.Operation{policy.View, policy.Process} {
		_, err := r.gate.Check(gate.Question{Tenant: tenant, Op: op, Class: policy.CallRecord})
		wantReason(t, err, policy.NotReady)
	}
	if _, err := r.gate.Check(gate.Question{Tenant: tenant, Op: policy.Ingest, Class: policy.CallRecord}); err != nil {
		t.Errorf("records are not taken in: %v", err)
	}
	must(t, r.service.Round(context.Background(), []policy.TenantID{tenant}))
	for range 2 {
		for _, id := range []string{first.ID, second.ID} {
			c, err := r.service.Certificate(context.Background(), tenant, id)
			if err != nil || c.State != Executed || len(c.Restored) != 1 || len(c.Signed) == 0 {
				t.Fatalf("%+v, %v", c, err)
			}
		}
		for _, f := range scanner().Bytes("store", r.everything(t, r.store)) {
			t.Errorf("after the restore: %+v", f)
		}
		for _, number := range []string{person, "+353862222201"} {
			if n := len(r.list(store.Query{Number: number})); n != 0 {
				t.Errorf("a number leads to %d calls", n)
			}
		}
		r.reopen()
	}
	// The store works: it takes in, and erases.
	r.append(r.call("after", "+353865555555", friend, epoch.Add(3*time.Hour)))
	if n := len(r.list(store.Query{Number: "+353865555555"})); n != 1 {
		t.Errorf("a new call is found %d times", n)
	}
	r.erase(r.who("+353865555555"))
}

// Cut short while it applies the ledger, it starts again, and serves nobody before.
func TestINV22_RestoreIsCutShort(t *testing.T) {
	r := newRegion(t)
	r.populate()
	backup := r.backup()
	r.erase(r.who(person))
	r.putBack(backup)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.service.Round(ctx, []policy.TenantID{tenant}); err == nil {
		t.Fatal("a round that was cancelled did everything")
	}
	r.reopen()
	_, err := r.gate.Check(gate.Question{Tenant: tenant, Op: policy.View, Class: policy.CallRecord})
	wantReason(t, err, policy.NotReady)
	must(t, r.service.Round(context.Background(), []policy.TenantID{tenant}))
	r.permit(policy.View)
}

// A ledger that is older than the records cannot say what a backup of them
// would bring back: nothing is shown.
func TestINV22_LostLedgerStopsReads(t *testing.T) {
	r := newRegion(t)
	r.populate()
	r.erase(r.who(person))
	r.close()
	must(t, os.Remove(filepath.Join(r.dir, "erasures", ledgerFile)))
	r.open()
	_, err := r.gate.Check(gate.Question{Tenant: tenant, Op: policy.View, Class: policy.CallRecord})
	wantReason(t, err, policy.NotReady)
	if _, err := r.gate.Check(gate.Question{Tenant: otherTenant, Op: policy.View, Class: policy.CallRecord}); err != nil {
		t.Errorf("another tenant is not served: %v", err)
	}
}
