package subject

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// A call is deleted, as a DELETE of the Twilio shape does, while its source goes on
// to tell of it and its caller is erased: in whatever order, it is gone when all have
// ended, nothing that the source says brings it back, and another's call is whole.
func TestINV21_DeletionsRaceWithIngestAndErasures(t *testing.T) {
	onBothStores(t, deletionsRaceWithIngestAndErasures)
}

func deletionsRaceWithIngestAndErasures(t *testing.T, region func() *region) {
	ctx := context.Background()
	r := region()
	other := r.append(r.call("another's", bystander(1), bystander(2), epoch))[0].ID
	gone := func(err error) bool { return errors.Is(err, &policy.Error{Reason: policy.NotFound}) }
	for n := range 12 {
		rec := r.call(fmt.Sprintf("race-%d", n), someone(n), bystander(3), epoch)
		id := r.append(rec)[0].ID
		var all sync.WaitGroup
		for w := range byte(2) {
			all.Go(func() {
				for v := range byte(10) {
					next := rec
					next.ContentHash[5], next.ContentHash[6] = v+1, w
					got, err := r.store.Append(ctx, r.permit(policy.Ingest), []record.Record{next})
					if err != nil || got[0].State == store.Stored {
						t.Errorf("a version of a call that was there is %v, %v", got, err)
					}
				}
			})
		}
		all.Go(func() {
			if err := r.service.DeleteCall(ctx, tenant, id); err != nil && !gone(err) {
				t.Errorf("delete: %v", err)
			}
		})
		if n%2 == 0 {
			all.Go(func() {
				if _, err := r.service.Erase(ctx, tenant, r.who(someone(n))); err != nil && !gone(err) {
					t.Errorf("erase: %v", err)
				}
			})
		}
		all.Wait()
		must(t, r.service.Round(ctx, []policy.TenantID{tenant}))
		_, err := r.store.Call(ctx, r.permit(policy.View), id)
		wantReason(t, err, policy.NotFound)
		if got := r.append(rec); got[0].State != store.Duplicate {
			t.Errorf("the source's retry is %s", got[0].State)
		}
	}
	if left := r.list(store.Query{}); len(left) != 1 || left[0].ID != other {
		t.Errorf("%d calls are left, want another's alone", len(left))
	}
}
