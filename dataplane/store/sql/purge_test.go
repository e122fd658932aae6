package sql_test

import (
	"context"
	"testing"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// A node has destroyed a tenant's records, and perhaps not yet what else there is of
// it; another, which has not heard of the order yet, is asked for a hold. The end waits for it there, and the
// first node's administrator can release it too: the node that placed it may be gone.
func TestINV24_AHoldIsReleasedWhereThePurgeHasBegun(t *testing.T) {
	all := nodes(t, 2)
	ctx := context.Background()
	account := storetest.PermitOf(t, storetest.TenantA, policy.Store, policy.AccountConfig)
	if _, err := all[0].Append(ctx, permit(t, policy.Ingest), []record.Record{storetest.Native(1)}); err != nil {
		t.Fatal(err)
	}
	if _, err := all[0].Purge(ctx, storetest.TenantA); err != nil {
		t.Fatal(err)
	}
	hold := store.Item{Kind: store.HoldItem, ID: "LH000102030405060708090a0b0c0d0e0f", Body: []byte(`{"everybody":true,"reason":"LITIGATION","by":""}`)}
	if _, err := all[1].PutItem(ctx, account, hold, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := all[0].PutItem(ctx, account, store.Item{Kind: store.HoldItem, ID: "LH100102030405060708090a0b0c0d0e0f"}, 0); !isReason(err, policy.Destroyed) {
		t.Errorf("a hold is placed where the tenant has ended: %v", err)
	}
	decided := store.WithHolds(ctx)
	holds, seen, err := all[0].Holds(decided, storetest.TenantA)
	if err != nil || seen != 1 || len(holds) != 1 {
		t.Fatalf("%d holds: %+v, %v", seen, holds, err)
	}
	store.LookedAt(decided, seen)
	hold.Body = []byte(`{"everybody":true,"reason":"LITIGATION","by":"","released":"2026-03-14T00:00:00Z"}`)
	if now, err := all[0].ReplaceHold(ctx, storetest.TenantA, hold, 1); err != nil || now.Version != 2 {
		t.Fatalf("%+v, %v", now, err)
	}
	for n, s := range all {
		if _, err := s.Purge(decided, storetest.TenantA); err != nil {
			t.Fatalf("node %d: %v", n, err)
		}
		store.LookedAt(decided, 0)
	}
	if _, err := all[0].ReplaceHold(ctx, storetest.TenantA, hold, 2); !isReason(err, policy.NotFound) {
		t.Errorf("a hold that was purged is replaced: %v", err)
	}
}
