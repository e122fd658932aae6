package dataplane

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	sqlstore "github.com/domicile-io/domicile/dataplane/store/sql"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/internal/postgres"
	"github.com/domicile-io/domicile/policy"
)

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

// onBothStores runs a test of the rounds on the embedded store, and on one in a database.
func onBothStores(t *testing.T, test func(t *testing.T, r *retention, clock *storetest.Clock, s store.Store)) {
	for _, kind := range []string{"local", "sql"} {
		t.Run(kind, func(t *testing.T) {
			r, clock, s := retentionFixture(t, kind)
			test(t, r, clock, s)
		})
	}
}

// retentionFixture is a store with a clock that tests move, and the rounds over it.
func retentionFixture(t *testing.T, kind string) (*retention, *storetest.Clock, store.Store) {
	t.Helper()
	dir, clock := t.TempDir(), storetest.NewClock()
	keys, err := local.OpenKeyring(local.Options{Dir: filepath.Join(dir, "keys"), Region: storetest.Region})
	if err != nil {
		t.Fatal(err)
	}
	var s interface {
		store.Store
		Close() error
	}
	if kind == "sql" {
		s, err = sqlstore.Open(t.Context(), sqlstore.Options{DSN: postgres.Database(t), Dial: (&net.Dialer{}).DialContext, Region: storetest.Region, Keys: keys, Now: clock.Now, Connections: 4})
	} else {
		s, err = localstore.Open(localstore.Options{Dir: filepath.Join(dir, "records"), Region: storetest.Region, Keys: keys, Now: clock.Now})
	}
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := local.OpenBlobs(filepath.Join(dir, "media"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), blobs.Close(), keys.Close()); err != nil {
			t.Error(err)
		}
	})
	library, err := media.New(media.Options{Region: storetest.Region, Keys: keys, Store: s, Blobs: blobs, Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	return newRetention(retention{store: s, media: library, now: clock.Now, log: slog.New(slog.DiscardHandler),
		end: func(ctx context.Context, _ policy.Permit, _ []string, destroy func(context.Context) error) error {
			return destroy(ctx)
		},
		check: func(q gate.Question) (policy.Permit, error) { return storetest.Permit(t, q.Tenant, q.Op), nil },
		tenants: func() (iter.Seq2[policy.TenantID, time.Duration], error) {
			return func(yield func(policy.TenantID, time.Duration) bool) { yield(storetest.TenantA, 30*24*time.Hour) }, nil
		}}), clock, s
}

func callsOf(t *testing.T, s store.Store, tenant policy.TenantID) (names []string) {
	t.Helper()
	p, err := s.List(context.Background(), storetest.Permit(t, tenant, policy.View), store.Query{PageSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range p.Calls {
		names = append(names, c.Record.Key.NativeID)
	}
	return names
}

// TestINV24_RetentionEnds: what is older than the policy keeps is gone after a
// round, held calls and other tenants' aside, and what it was counted for stays.
func TestINV24_RetentionEnds(t *testing.T) { onBothStores(t, retentionEnds) }

func retentionEnds(t *testing.T, r *retention, clock *storetest.Clock, s store.Store) {
	ctx := context.Background()
	var ids []string
	for n := range 6 {
		r := storetest.Native(n)
		r.Start = clock.Now()
		for _, tenant := range []policy.TenantID{storetest.TenantA, storetest.TenantB} {
			out, err := s.Append(ctx, storetest.Permit(t, tenant, policy.Ingest), []record.Record{r})
			if err != nil {
				t.Fatal(err)
			}
			if tenant == storetest.TenantA {
				ids = append(ids, out[0].ID)
			}
		}
		if _, err := s.Quarantine(ctx, storetest.Permit(t, storetest.TenantA, policy.Ingest), []store.Quarantined{{Source: record.Asterisk, Payload: []byte("broken"), ReceivedAt: clock.Now()}}); err != nil {
			t.Fatal(err)
		}
		clock.Advance(24 * time.Hour)
	}
	r.held = func(_ context.Context, permit policy.Permit, calls []string) (map[string]bool, error) {
		if permit.Tenant() != storetest.TenantA {
			t.Errorf("asked for holds of %s", permit.Tenant())
		}
		return map[string]bool{ids[1]: true}, nil
	}
	all := "[call-0 call-1 call-2 call-3 call-4 call-5]"
	for _, step := range []struct {
		advance time.Duration
		left    string
		waiting int
	}{
		{0, all, 6},
		{24*24*time.Hour - time.Second, all, 6},
		{2 * time.Second, "[call-1 call-2 call-3 call-4 call-5]", 5},
		{72 * time.Hour, "[call-1 call-4 call-5]", 2},
		{100 * 24 * time.Hour, "[call-1]", 0},
	} {
		clock.Advance(step.advance)
		if err := r.round(ctx); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(callsOf(t, s, storetest.TenantA)); got != step.left {
			t.Errorf("after %s: %s are left, want %s", step.advance, got, step.left)
		}
		items, _, err := s.Quarantines(ctx, storetest.Permit(t, storetest.TenantA, policy.View), 100, "")
		if err != nil || len(items) != step.waiting {
			t.Errorf("after %s: %d payloads wait, want %d, %v", step.advance, len(items), step.waiting, err)
		}
	}
	if got := fmt.Sprint(callsOf(t, s, storetest.TenantB)); got != all {
		t.Errorf("another tenant has %s", got)
	}
	rows, err := s.Rollups(ctx, storetest.Permit(t, storetest.TenantA, policy.View), "2026-01-01", "2026-12-31")
	calls := int64(0)
	for _, row := range rows {
		calls += row.Calls
	}
	if err != nil || calls != 6 {
		t.Errorf("%d calls are counted, %v", calls, err)
	}
	// The hold ends, and with it the call.
	r.held = nil
	if err := r.round(ctx); err != nil || len(callsOf(t, s, storetest.TenantA)) != 0 {
		t.Errorf("after the hold ended: %v", err)
	}
}

// When nobody can say what is held, nothing is dropped.
func TestINV24_HoldsInDoubtKeep(t *testing.T) { onBothStores(t, holdsInDoubtKeep) }

func holdsInDoubtKeep(t *testing.T, r *retention, clock *storetest.Clock, s store.Store) {
	old := storetest.Native(1)
	if _, err := s.Append(context.Background(), storetest.Permit(t, storetest.TenantA, policy.Ingest), []record.Record{old}); err != nil {
		t.Fatal(err)
	}
	clock.Advance(100 * 24 * time.Hour)
	r.held = func(context.Context, policy.Permit, []string) (map[string]bool, error) {
		return nil, errors.New("injected: holds cannot be read")
	}
	if err := r.round(context.Background()); err == nil || len(callsOf(t, s, storetest.TenantA)) != 1 {
		t.Errorf("dropped while holds could not be read: %v", err)
	}
}

// TestINV21_IndexesAreBuiltAnewOnceADay: an erasure makes a rebuild due, not
// before the key has been used for a day.
func TestINV21_IndexesAreBuiltAnewOnceADay(t *testing.T) {
	onBothStores(t, indexesAreBuiltAnewOnceADay)
}

func indexesAreBuiltAnewOnceADay(t *testing.T, r *retention, clock *storetest.Clock, s store.Store) {
	ctx := context.Background()
	out, err := s.Append(ctx, storetest.Permit(t, storetest.TenantA, policy.Ingest), []record.Record{storetest.Native(1), storetest.Native(2), storetest.Native(3)})
	if err != nil {
		t.Fatal(err)
	}
	erase := storetest.Permit(t, storetest.TenantA, policy.Erase)
	state := func() (time.Time, bool) {
		t.Helper()
		began, waiting, err := s.Reindexed(ctx, erase)
		if err != nil {
			t.Fatal(err)
		}
		return began, !waiting.IsZero()
	}
	first, waits := state()
	if waits {
		t.Fatal("something waits before anything was erased")
	}
	for n, step := range []struct {
		advance time.Duration
		anew    bool
	}{{time.Hour, false}, {24 * time.Hour, true}, {time.Hour, false}} {
		if n != 1 {
			if _, err := s.Rewrite(ctx, erase, store.Rewrite{Calls: []string{out[n].ID}}); err != nil {
				t.Fatal(err)
			}
		}
		clock.Advance(step.advance)
		if err := r.forget(ctx); err != nil {
			t.Fatal(err)
		}
		began, waits := state()
		if began.Equal(first) == step.anew || waits == step.anew {
			t.Errorf("step %d: built anew at %s, waiting %v, want anew %v", n, began, waits, step.anew)
		}
		first = began
	}
}
