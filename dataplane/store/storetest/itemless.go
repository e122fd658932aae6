package storetest

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// testItemsOfCalls looks for the items of calls of a tenant that has none, again and
// again, while the first one comes and the last one goes: what was put is found.
func testItemsOfCalls(t *testing.T, f *fixture) {
	q := store.ItemQuery{Kind: store.RecordingItem, Call: callX}
	permit := PermitOf(t, TenantA, policy.View, q.Kind.Class())
	done := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := f.store.Items(context.Background(), permit, q); err != nil {
				t.Errorf("look: %v", err)
				return
			}
		}
	})
	for n := range 30 {
		if ids := f.itemIDs(TenantA, q); len(ids) != 0 {
			t.Fatalf("a call without items has %v", ids)
		}
		put := f.mustPut(TenantA, item(n, callX), 0)
		if ids := f.itemIDs(TenantA, q); !slices.Equal(ids, []string{put.ID}) {
			t.Fatalf("round %d: the call has %v, and %s was put", n, ids, put.ID)
		}
		if err := f.deleteItem(TenantA, put, 0); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	looking.Wait()
}
