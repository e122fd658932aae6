package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

func (f *fixture) reindex(tenant policy.TenantID) {
	f.t.Helper()
	if err := f.store.Reindex(context.Background(), Permit(f.t, tenant, policy.Erase)); err != nil {
		f.t.Fatalf("reindex: %v", err)
	}
}

// unchanged wants the tenant's calls to be what they were.
func (f *fixture) unchanged(tenant policy.TenantID, before []store.Call) {
	f.t.Helper()
	after := f.list(tenant, store.Query{})
	if len(after) != len(before) {
		f.t.Fatalf("%d calls, want %d", len(after), len(before))
	}
	for i := range after {
		if after[i].ID != before[i].ID || after[i].Versions != before[i].Versions || diff(after[i].Record, before[i].Record) != "" {
			f.t.Fatal("a call changed")
		}
	}
}

// testReindex builds the indexes anew, twice: everything is found and folded as
// before, and what was let go is not found.
func testReindex(t *testing.T, f *fixture) {
	ctx, view := context.Background(), Permit(t, TenantA, policy.View)
	raw := Native(5)
	raw.From, raw.Key.Instance = record.Party{Raw: "1000"}, "pbx"
	recs := []record.Record{Native(1), Native(2), Native(3), raw, Acc(1, "INVITE", 200, Epoch), Callback(1, 2, record.Completed), Callback(1, 1, record.Ringing)}
	for v := range 40 { // more events than a fold row holds
		recs = append(recs, Acc(1, "BYE", 200, Epoch.Add(time.Duration(v)*time.Second)))
	}
	var ids []string
	for _, a := range f.append(TenantA, recs...) {
		ids = append(ids, a.ID)
	}
	f.append(TenantB, Native(1))
	if _, err := f.store.Reassign(ctx, Permit(t, TenantA, policy.Process), "+353861234567", "", Epoch.Add(2*time.Second)); err != nil {
		t.Fatal(err)
	}
	owners, err := f.store.Owners(ctx, view, "+353861234567", "")
	if err != nil || len(owners) != 2 {
		t.Fatalf("%d owners, %v", len(owners), err)
	}
	f.rewrite(TenantA, store.Rewrite{Calls: []string{ids[2]}})
	if _, waiting, err := f.store.Reindexed(ctx, view); err != nil || waiting.IsZero() {
		t.Fatalf("after an erasure nothing waits to be forgotten, %v", err)
	}
	if waiting, err := f.store.Waiting(ctx); err != nil || len(waiting) != 1 || waiting[0] != TenantA {
		t.Fatalf("%v wait to be forgotten, %v", waiting, err)
	}
	before := f.list(TenantA, store.Query{})
	for round := range 3 {
		f.clock.Advance(time.Hour)
		f.reindex(TenantA)
		began, waiting, err := f.store.Reindexed(ctx, view)
		if err != nil || !began.Equal(f.clock.Now()) || !waiting.IsZero() {
			t.Fatalf("built anew at %s, waiting since %s, %v", began, waiting, err)
		}
		if round == 1 {
			f.reopen()
		}
		f.unchanged(TenantA, before)
		for i, a := range f.append(TenantA, recs...) {
			if i == 2 {
				continue // its stone is gone with the old key
			}
			if wantState(t, a, store.Duplicate); a.ID != ids[i] {
				t.Fatalf("record %d is of %s, was of %s", i, a.ID, ids[i])
			}
		}
		for number, want := range map[string]int{"+353861234567": 5, "1000": 2, "+35315550002": 1} {
			if n := len(f.list(TenantA, store.Query{Number: number})); n != want {
				t.Fatalf("%d calls of %s, want %d", n, number, want)
			}
		}
		now, err := f.store.Owners(ctx, view, "+353861234567", "")
		if err != nil || fmt.Sprint(now) != fmt.Sprint(owners) {
			t.Fatalf("owners %v, were %v, %v", now, owners, err)
		}
		wantState(t, f.append(TenantA, Acc(1, "BYE", 200, Epoch.Add(time.Duration(1000+round)*time.Second)))[0], store.Stored)
		before = f.list(TenantA, store.Query{})
	}
	calls, _ := f.rollups(TenantA)
	if calls != int64(len(before)) {
		t.Fatalf("%d calls counted, %d there", calls, len(before))
	}
	f.reindex("TN00000000000000000000000000000001") // has nothing
	wantState(t, f.append(TenantB, Native(1))[0], store.Duplicate)
}

// testReindexUnderIngest builds the indexes anew while calls and their events
// arrive: none is lost, none is there twice.
func testReindexUnderIngest(t *testing.T, f *fixture) {
	ingest := Permit(t, TenantA, policy.Ingest)
	const calls, writers = 80, 4
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for n := range calls {
				at := Epoch.Add(time.Duration(w) * time.Second)
				for range 2 { // the second is a duplicate, whichever index it meets
					if _, err := f.store.Append(context.Background(), ingest, []record.Record{Acc(n, "BYE", 200, at), Native(1000*(w+1) + n)}); err != nil {
						t.Errorf("append: %v", err)
						return
					}
				}
			}
		})
	}
	stop := make(chan struct{})
	go func() { writing.Wait(); close(stop) }()
	rounds := 0
	for last := false; !last; rounds++ {
		select {
		case <-stop:
			last = true
		default:
		}
		f.reindex(TenantA)
	}
	if rounds < 2 {
		t.Fatal("built anew only once: the test shows nothing")
	}
	for range 2 {
		got := f.list(TenantA, store.Query{PageSize: 1000})
		if len(got) != calls+writers*calls {
			t.Fatalf("%d calls, want %d", len(got), calls+writers*calls)
		}
		for _, c := range got {
			if want := map[record.SourceKind]int{record.Kamailio: writers, record.Native: 1}[c.Record.Key.Source]; c.Versions != want {
				t.Fatalf("a call has %d events, want %d", c.Versions, want)
			}
		}
		if n := len(f.list(TenantA, store.Query{Number: "+353861234567", PageSize: 1000})); n != len(got) {
			t.Fatalf("%d calls are found by their caller, want %d", n, len(got))
		}
		f.reopen()
	}
}
