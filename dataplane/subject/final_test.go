package subject

import (
	"context"
	"crypto/ed25519"
	"slices"
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// A certificate is final when the indexes are keyed anew, and the key generation
// that was current after that is beyond recovery: not one step before.
func TestCertificateBecomesFinal(t *testing.T) {
	ctx := context.Background()
	r := newRegion(t)
	r.populate()
	c := r.erase(r.who(person))
	look := func(state string, waits ...string) {
		t.Helper()
		must(t, r.service.Round(ctx, []policy.TenantID{tenant}))
		got, err := r.service.Certificate(ctx, tenant, c.ID)
		must(t, err)
		if got.State != state || !slices.Equal(got.Waits, waits) {
			t.Fatalf("%s, waits for %v; want %s, %v", got.State, got.Waits, state, waits)
		}
		c = got
	}
	rotate := func() {
		t.Helper()
		must(t, r.keys.Rotate(ctx))
		r.now = r.now.Add(24 * time.Hour) // past the caches
	}
	look(Executed, "INDEX_KEY", "KEY_GENERATION")
	rotate()
	look(Executed, "INDEX_KEY")
	must(t, r.store.Reindex(ctx, r.permit(policy.Erase)))
	r.reopen()
	look(Executed, "KEY_GENERATION") // copies of the table still had the old index key
	rotate()
	look(Final)
	if len(c.Signed) != 2 || c.Final == nil || c.Signed[1].State != Final || !ed25519.Verify(r.public, c.Signed[1].Statement, c.Signed[1].Value) {
		t.Fatalf("%+v", c)
	}
	r.reopen()
	look(Final)
	for _, f := range scanner().Bytes("store", r.everything(t, r.store)) {
		t.Errorf("after the rebuild: %+v", f)
	}
}
