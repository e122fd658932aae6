package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// testPurge: everything of one tenant goes, for good and across a restart;
// nothing of another does.
func testPurge(t *testing.T, f *fixture) {
	ctx := context.Background()
	for _, tenant := range []policy.TenantID{TenantA, TenantB} {
		ingest := Permit(t, tenant, policy.Ingest)
		for n := range 2 {
			if _, err := f.store.Append(ctx, ingest, []record.Record{Native(n)}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.store.Quarantine(ctx, ingest, []store.Quarantined{{Source: record.Asterisk, Instance: "pbx", Payload: []byte("broken"), ReceivedAt: Epoch}}); err != nil {
			t.Fatal(err)
		}
		if err := f.store.PutFeed(ctx, PermitOf(t, tenant, policy.Store, policy.AccountConfig), store.Feed{Source: record.Twilio, Name: "main", SignatureSecret: "s"}); err != nil {
			t.Fatal(err)
		}
		f.mustPut(tenant, item(1, callX), 0)
	}
	kept := everything(t, f, TenantB)
	gone, err := f.store.Purge(ctx, TenantA)
	if err != nil || gone.Calls != 2 || gone.Quarantined != 1 || gone.Items != 1 || gone.Keys < 2 {
		t.Fatalf("purged %+v, %v", gone, err)
	}
	_, err = f.store.Append(ctx, Permit(t, TenantA, policy.Ingest), []record.Record{Native(3)})
	wantReason(t, err, policy.Destroyed)
	_, err = f.store.Quarantine(ctx, Permit(t, TenantA, policy.Ingest), []store.Quarantined{{Source: record.Asterisk, Payload: []byte("late")}})
	wantReason(t, err, policy.Destroyed)
	wantReason(t, f.store.PutFeed(ctx, PermitOf(t, TenantA, policy.Store, policy.AccountConfig), store.Feed{Source: record.Twilio, Name: "late"}), policy.Destroyed)
	_, err = f.put(TenantA, item(2, ""), 0)
	wantReason(t, err, policy.Destroyed)
	for range 2 {
		if n := everything(t, f, TenantA); n != 0 {
			t.Errorf("%d things of the purged tenant are left", n)
		}
		if n := everything(t, f, TenantB); n != kept {
			t.Errorf("%d things of the other tenant are left of %d", n, kept)
		}
		f.reopen()
	}
	if again, err := f.store.Purge(ctx, TenantA); err != nil || again != (store.Purged{}) {
		t.Errorf("purged again: %+v, %v", again, err)
	}
}

// everything counts what a tenant can still read.
func everything(t *testing.T, f *fixture, tenant policy.TenantID) int {
	t.Helper()
	ctx, view := context.Background(), Permit(t, tenant, policy.View)
	page, err := f.store.List(ctx, view, store.Query{Start: Epoch.Add(-24 * 365 * time.Hour), End: Epoch.Add(24 * 365 * time.Hour), PageSize: 100})
	if err != nil {
		t.Fatal(err)
	}
	items, _, err := f.store.Quarantines(ctx, view, 100, "")
	if err != nil {
		t.Fatal(err)
	}
	days, err := f.store.Rollups(ctx, view, "2026-01-01", "2026-12-31")
	if err != nil {
		t.Fatal(err)
	}
	n := len(page.Calls) + len(items) + len(days)
	if _, err := f.store.Feed(ctx, PermitOf(t, tenant, policy.Process, policy.AccountConfig), record.Twilio, "main"); err == nil {
		n++
	}
	return n + len(f.itemIDs(tenant, store.ItemQuery{Kind: store.RecordingItem}))
}
