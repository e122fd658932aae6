package storetest

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/sealed"
	"github.com/domicile-io/domicile/policy"
)

// Merger merges what is small.
type Merger interface {
	Merge(ctx context.Context, id policy.TenantID, o sealed.MergeOptions) (sealed.Merged, error)
}

// RunMerged runs the suite, or those of its tests that are named, over stores in
// which everything but the newest chunk is merged after each write and before each
// read.
func RunMerged(t *testing.T, open Open, names ...string) {
	var covers atomic.Uint64
	run(t, names, func(t *testing.T, o Options) Reopenable {
		r := open(t, o)
		r.Store = &merging{r.Store, t, &covers}
		return r
	})
	if covers.Load() == 0 && !t.Failed() {
		t.Error("no cover was made: the suite shows nothing")
	}
}

// MergeAll merges everything but the newest chunk of a tenant.
func MergeAll(t testing.TB, s Merger, id policy.TenantID) (all sealed.Merged) {
	t.Helper()
	for {
		m, err := s.Merge(context.Background(), id, sealed.MergeOptions{All: true})
		if err != nil {
			t.Fatalf("merge: %v", err)
		}
		if all.Add(m); !m.More {
			return all
		}
	}
}

// merging is a store that is merged all the time.
type merging struct {
	store.Store
	t      *testing.T
	covers *atomic.Uint64
}

func (m *merging) merge() {
	for _, id := range []policy.TenantID{TenantA, TenantB} {
		for {
			done, err := m.Store.(Merger).Merge(context.Background(), id, sealed.MergeOptions{All: true})
			m.covers.Add(done.Covers)
			if err != nil && !isReason(err, policy.Destroyed) && !isReason(err, policy.NotReady) {
				m.t.Errorf("merge: %v", err)
			}
			if err != nil || !done.More {
				break
			}
		}
	}
}

func (m *merging) Append(ctx context.Context, permit policy.Permit, recs []record.Record) ([]store.Appended, error) {
	defer m.merge()
	return m.Store.Append(ctx, permit, recs)
}

func (m *merging) List(ctx context.Context, permit policy.Permit, q store.Query) (store.Page, error) {
	m.merge()
	return m.Store.List(ctx, permit, q)
}

func (m *merging) Scan(ctx context.Context, permit policy.Permit, q store.Query, yield func(*store.Call) bool, turn func(store.Page) bool) (store.Page, error) {
	m.merge()
	return m.Store.Scan(ctx, permit, q, yield, func(p store.Page) bool {
		m.merge()
		return turn != nil && turn(p)
	})
}

func (m *merging) Window(ctx context.Context, permit policy.Permit, from, to time.Time, yield func(store.Call) error) error {
	m.merge()
	return m.Store.Window(ctx, permit, from, to, func(c store.Call) error {
		m.merge()
		return yield(c)
	})
}

func (m *merging) Rewrite(ctx context.Context, permit policy.Permit, w store.Rewrite) (store.Rewritten, error) {
	m.merge()
	defer m.merge()
	return m.Store.Rewrite(ctx, permit, w)
}

func (m *merging) Reindex(ctx context.Context, permit policy.Permit) error {
	m.merge()
	defer m.merge()
	return m.Store.Reindex(ctx, permit)
}

func (m *merging) Unlink(ctx context.Context, permit policy.Permit, u store.Unlinking) error {
	m.merge()
	defer m.merge()
	return m.Store.Unlink(ctx, permit, u)
}
