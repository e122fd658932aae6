package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

const recycled = "+353861234567" // the caller of Native

// from is a call of the recycled number that began at a time.
func from(n int, start time.Time) record.Record {
	r := Native(n)
	r.Start = start
	return r
}

// ownersOf finds the number's owners and, for each, the calls of its time.
func (f *fixture) ownersOf() (owners []store.Owner, calls [][]string) {
	f.t.Helper()
	owners, err := f.store.Owners(context.Background(), Permit(f.t, TenantA, policy.Process), recycled, "")
	if err != nil {
		f.t.Fatal(err)
	}
	for _, o := range owners {
		seen, ids := map[string]bool{}, []string{}
		for _, subject := range o.Subjects() {
			for _, c := range f.list(TenantA, store.Query{Subject: subject, Start: o.Since, End: o.Until}) {
				if !seen[c.ID] {
					seen[c.ID] = true
					ids = append(ids, c.Record.Key.NativeID)
				}
			}
		}
		calls = append(calls, ids)
	}
	return owners, calls
}

// testReassign: a number that changed hands at a time. The change is recorded
// later, and records of the former owner's time come later still.
func testReassign(t *testing.T, f *fixture) {
	ctx, process := context.Background(), Permit(t, TenantA, policy.Process)
	handed := Epoch.Add(24 * time.Hour)
	_, err := f.store.Reassign(ctx, process, recycled, "", handed)
	wantReason(t, err, policy.NotFound)
	f.append(TenantA, from(1, handed.Add(-time.Hour)), from(2, handed), from(3, handed.Add(time.Hour)))
	before, _ := f.ownersOf()
	after, err := f.store.Reassign(ctx, process, recycled, "", handed)
	if err != nil || len(after) != 2 || after[0].Subject != before[0].Subject || after[1].Subject == before[0].Subject ||
		!after[0].Until.Equal(handed) || !after[1].Since.Equal(handed) || !after[1].Until.IsZero() {
		t.Fatalf("%v %v", after, err)
	}
	_, err = f.store.Reassign(ctx, process, recycled, "", handed)
	wantReason(t, err, policy.AlreadyExists)
	for range 2 {
		f.reopen()
		_, calls := f.ownersOf()
		if len(calls) != 2 || len(calls[0]) != 1 || len(calls[1]) != 2 {
			t.Fatalf("calls of the owners: %v", calls)
		}
	}
	// From now on ingest tells them apart: also a late one, and a version of an
	// earlier call, which belongs to where the call does.
	f.append(TenantA, from(4, handed.Add(-time.Minute)), from(5, handed.Add(time.Minute)))
	again := from(1, handed.Add(time.Hour))
	again.Native = append(again.Native, "corrected"...)
	f.append(TenantA, Hashed(again))
	got := f.list(TenantA, store.Query{Number: recycled})
	if len(got) != 5 {
		t.Fatalf("the number leads to %d calls, want all 5", len(got))
	}
	want := map[string]string{"call-1": after[0].Subject, "call-2": before[0].Subject, "call-3": before[0].Subject, "call-4": after[0].Subject, "call-5": after[1].Subject}
	for _, c := range got {
		if c.Record.From.Subject != want[c.Record.Key.NativeID] {
			t.Errorf("%s has another subject than its owner", c.Record.Key.NativeID)
		}
	}
	if _, calls := f.ownersOf(); len(calls[0]) != 2 || len(calls[1]) != 3 {
		t.Fatalf("calls of the owners: %v", calls)
	}
}

// testUnlinkOneOwner lets one owner go; the other keeps the number and its calls.
func testUnlinkOneOwner(t *testing.T, f *fixture) {
	ctx, process, erase := context.Background(), Permit(t, TenantA, policy.Process), Permit(t, TenantA, policy.Erase)
	handed := Epoch.Add(24 * time.Hour)
	f.append(TenantA, from(1, handed.Add(-time.Hour)), from(2, handed.Add(time.Hour)))
	owners, err := f.store.Reassign(ctx, process, recycled, "", handed)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.store.Unlink(ctx, erase, store.Unlinking{Number: recycled, Owners: owners[:1]}); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	left, calls := f.ownersOf()
	if len(left) != 2 || len(left[0].Subjects()) != 0 || len(calls[0]) != 0 || len(calls[1]) != 1 || left[1].Subject != owners[1].Subject {
		t.Fatalf("after letting the former go: %v %v", left, calls)
	}
	f.append(TenantA, from(3, handed.Add(-time.Minute)), from(4, handed.Add(time.Minute)), from(5, handed.Add(-time.Second)))
	fresh, calls := f.ownersOf()
	if len(calls[0]) != 2 || len(calls[1]) != 2 || fresh[0].Subject == owners[0].Subject || fresh[0].Subject == owners[1].Subject {
		t.Fatalf("a late record of its time: %v", calls)
	}
	if err := f.store.Unlink(ctx, erase, store.Unlinking{Owners: fresh[1:]}); err != nil {
		t.Fatal(err)
	}
	if _, calls := f.ownersOf(); len(calls[0]) != 2 || len(calls[1]) != 0 {
		t.Fatalf("after letting the latter go: %v", calls)
	}
}

// testAnyVersion: who stands in an earlier version only is found all the same.
func testAnyVersion(t *testing.T, f *fixture) {
	first := Native(1)
	f.append(TenantA, first)
	other := first
	other.From = record.Party{E164: "+353861111111", Country: "IE"}
	other.Native = append(append([]byte{}, other.Native...), "corrected"...)
	f.append(TenantA, Hashed(other))
	owners, err := f.store.Owners(context.Background(), Permit(t, TenantA, policy.Process), recycled, "")
	if err != nil || len(owners) != 1 {
		t.Fatalf("%d owners, %v", len(owners), err)
	}
	if n := len(f.list(TenantA, store.Query{Subject: owners[0].Subject})); n != 0 {
		t.Fatalf("the current view names it in %d calls", n)
	}
	q := store.Query{Subject: owners[0].Subject, AnyVersion: true}
	got := f.list(TenantA, q)
	if len(got) != 1 {
		t.Fatalf("found in %d calls, want the one", len(got))
	}
	f.rewrite(TenantA, store.Rewrite{Calls: []string{got[0].ID}, Fate: func(store.Call) store.Fate { return store.Redact }, Redact: func(r *record.Record) {
		if r.From.Subject == owners[0].Subject {
			r.From = record.Party{}
		}
		r.Native = nil
	}})
	if n := len(f.list(TenantA, q)); n != 0 {
		t.Fatalf("found in %d calls after it was redacted", n)
	}
	if n := len(f.list(TenantA, store.Query{Number: "+353861111111"})); n != 1 {
		t.Fatalf("the other caller is found in %d calls", n)
	}
}
