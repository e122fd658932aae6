package subject

import (
	"context"
	"crypto/ed25519"
	"slices"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
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

// lossy is a store of which a chunk of each dropped call did not open.
type lossy struct{ store.Store }

func (l lossy) Rewrite(ctx context.Context, p policy.Permit, w store.Rewrite) (store.Rewritten, error) {
	out, err := l.Store.Rewrite(ctx, p, w)
	out.Damaged = uint64(len(w.Calls))
	return out, err
}

// A key that may live never lets a certificate become final.
func TestINV21_DamagedChunkKeepsACertificateFromBeingFinal(t *testing.T) {
	ctx := context.Background()
	r := newRegion(t)
	r.populate()
	r.service.o.Store = lossy{r.store}
	c := r.erase(r.who(person))
	for range 3 {
		must(t, r.keys.Rotate(ctx))
		must(t, r.store.Reindex(ctx, r.permit(policy.Erase)))
		r.now = r.now.Add(25 * time.Hour)
		must(t, r.service.Round(ctx, []policy.TenantID{tenant}))
	}
	c, err := r.service.Certificate(ctx, tenant, c.ID)
	must(t, err)
	if c.State != Executed || !slices.Equal(c.Waits, []string{"DAMAGED_CHUNK"}) || c.Counts.Damaged == 0 {
		t.Fatalf("%s, waits for %v, %d damaged", c.State, c.Waits, c.Counts.Damaged)
	}
}
