package dataplane

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// TestINV24_AHoldComesWhileARetentionEnds: it comes between the look at the holds
// and the drop, of calls and then of payloads in quarantine. The round looks again,
// and keeps what it keeps.
func TestINV24_AHoldComesWhileARetentionEnds(t *testing.T) { onBothStores(t, aHoldComes) }

func aHoldComes(t *testing.T, r *retention, clock *storetest.Clock, s store.Store) {
	ctx := context.Background()
	for n := range 3 {
		if _, err := s.Append(ctx, storetest.Permit(t, storetest.TenantA, policy.Ingest), []record.Record{storetest.Native(n)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Quarantine(ctx, storetest.Permit(t, storetest.TenantA, policy.Ingest), []store.Quarantined{{Source: record.Asterisk, Payload: []byte("broken"), ReceivedAt: clock.Now()}}); err != nil {
		t.Fatal(err)
	}
	clock.Advance(60 * 24 * time.Hour)
	looks := 0
	r.held = func(ctx context.Context, _ policy.Permit, calls []string) (map[string]bool, error) {
		holds, seen, err := s.Holds(ctx, storetest.TenantA)
		store.LookedAt(ctx, seen)
		if looks++; looks%2 == 1 {
			id, idErr := policy.NewID(store.HoldItem.IDKind(), rand.Reader)
			if idErr != nil {
				t.Fatal(idErr)
			}
			if _, err := s.PutItem(context.Background(), storetest.PermitOf(t, storetest.TenantA, policy.Erase, policy.AccountConfig), store.Item{Kind: store.HoldItem, ID: id}, 0); err != nil {
				t.Fatal(err)
			}
		}
		kept := map[string]bool{}
		for _, id := range calls {
			kept[id] = len(holds) > (looks-1)/2 // calls by the first hold, payloads by the second
		}
		return kept, err
	}
	if err := r.round(ctx); err != nil {
		t.Fatal(err)
	}
	if got := len(callsOf(t, s, storetest.TenantA)); got != 3 || looks != 4 {
		t.Errorf("%d calls of 3 are left after %d looks", got, looks)
	}
	items, _, err := s.Quarantines(ctx, storetest.Permit(t, storetest.TenantA, policy.View), 100, "")
	if err != nil || len(items) != 1 {
		t.Errorf("%d payloads of 1 wait, %v", len(items), err)
	}
	r.held = nil
	if err := r.round(ctx); err != nil || len(callsOf(t, s, storetest.TenantA)) != 0 {
		t.Errorf("without holds: %v", err)
	}
}
