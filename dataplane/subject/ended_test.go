package subject

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// A hold that does not parse keeps its own tenant, and nobody else: holds of other
// tenants that end are seen and released.
func TestINV24_AnUnreadableHoldKeepsItsTenantAlone(t *testing.T) {
	ctx := context.Background()
	r := newRegion(t)
	h, err := r.service.PutHold(ctx, tenant, nil, Hold{Everybody: true, Reason: "LITIGATION", By: "SK00000000000000000000000000000001"})
	must(t, err)
	id, err := policy.NewID(store.HoldItem.IDKind(), rand.Reader)
	must(t, err)
	_, err = r.store.PutItem(ctx, storetest.PermitOf(t, otherTenant, policy.Erase, policy.AccountConfig), store.Item{Kind: store.HoldItem, ID: id, Body: []byte("{")}, 0)
	must(t, err)
	for _, order := range [][]policy.TenantID{{tenant, otherTenant}, {otherTenant, tenant}} {
		holds, err := r.service.EveryHold(ctx, slices.Values(order))
		if err == nil || !strings.Contains(err.Error(), string(otherTenant)) || strings.Contains(err.Error(), string(tenant)) {
			t.Errorf("of the unreadable hold is told: %v", err)
		}
		if _, has := holds[otherTenant]; has || len(holds[tenant]) != 1 || holds[tenant][0].ID != h.ID {
			t.Errorf("beside an unreadable hold there are %v", holds)
		}
	}
	if _, err := r.service.Standing(ctx, otherTenant); err == nil {
		t.Error("a tenant with a hold that nobody can read may end")
	}
	released, err := r.service.ReleaseEnded(ctx, tenant, h.ID, "OP00000000000000000000000000000001")
	if err != nil || released.Released.IsZero() {
		t.Errorf("%+v, %v", released, err)
	}
}
