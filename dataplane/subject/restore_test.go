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
	left, _, err := r.store.Quarantines(context.Background(), r.permit(policy.View), 100, "")
	must(t, err)
	for _, q := range left { // replayed, and gone: it mentioned nobody that is erased
		if string(q.Payload) == "nothing of anybody" {
			must(t, r.store.Unquarantine(context.Background(), r.permit(policy.Process), q.ID))
		}
	}
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
		if left, _, err := r.store.Quarantines(context.Background(), r.permit(policy.View), 100, ""); err != nil || len(left) != 1 {
			t.Errorf("%d payloads are left, %v", len(left), err)
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

// Between backup and restore the indexes were keyed anew: the backup's lead
// nowhere any more, and are built again from its records.
func TestINV22_RestoreOfABackupWhoseIndexKeyIsGone(t *testing.T) {
	r := newRegion(t)
	r.populate()
	backup := r.backup()
	r.erase(r.who(person))
	must(t, r.store.Reindex(context.Background(), r.permit(policy.Erase)))
	r.append(r.call("between", "+353866666666", friend, epoch.Add(time.Hour)))
	r.putBack(backup)
	r.append(r.call("early", "+353867777777", friend, epoch.Add(2*time.Hour))) // before it is made good
	must(t, r.service.Round(context.Background(), []policy.TenantID{tenant}))
	for range 2 {
		for _, f := range scanner().Bytes("store", r.everything(t, r.store)) {
			t.Errorf("after the restore: %+v", f)
		}
		if n := len(r.list(store.Query{Number: person})); n != 0 {
			t.Errorf("the number leads to %d calls", n)
		}
		if n := len(r.list(store.Query{Number: "+353867777777"})); n != 1 {
			t.Errorf("what came in before it was made good is found %d times", n)
		}
		calls := r.list(store.Query{})
		recounted, err := r.store.Recount(context.Background(), r.permit(policy.Process))
		must(t, err)
		sum := int64(0)
		for _, row := range recounted {
			sum += row.Calls
		}
		if sum != int64(len(calls)) {
			t.Errorf("counters say %d of %d calls", sum, len(calls))
		}
		r.reopen()
	}
	r.erase(r.who("+353867777777"))
}
