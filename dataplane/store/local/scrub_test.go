package local_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// until waits for a condition that work in the background brings about.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

func second(n int) bool { return n == 1 }

// TestINV34_OneDamagedCall: a page goes without it and says so, its bytes are
// moved aside, its feed is still taken in, and it can be dropped.
func TestINV34_OneDamagedCall(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	var reported atomic.Int64
	note := func(o *local.Options) { o.OnCorrupt = func(string) { reported.Add(1) } }
	s, stop := openAt(t, dir, note)
	var ids []string
	for n := range 3 {
		out, err := ingest(t, s, storetest.Native(n))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, out[0].ID)
	}
	if err := s.Damage(storetest.TenantA, -1, second); err != nil {
		t.Fatal(err)
	}
	view := storetest.Permit(t, storetest.TenantA, policy.View)
	for range 2 {
		page, err := s.List(ctx, view, store.Query{})
		if err != nil || len(page.Calls) != 2 || page.Corrupt != 1 || page.Calls[0].ID != ids[0] || page.Calls[1].ID != ids[2] {
			t.Fatalf("a page of %d calls and %d corrupt ones, %v", len(page.Calls), page.Corrupt, err)
		}
		_, err = s.Call(ctx, view, ids[1])
		wantReason(t, err, policy.Internal)
		until(t, "the frame is moved aside", func() bool { n, err := s.Aside(); return err == nil && n == 1 })
		stop()
		s, stop = openAt(t, dir, note)
	}
	if reported.Load() == 0 {
		t.Error("nobody was told")
	}
	again := storetest.Native(1)
	again.Native = append(again.Native, "later"...)
	out, err := ingest(t, s, storetest.Hashed(again), storetest.Native(0))
	if err != nil || out[0].State != store.Stored || out[0].ID == ids[1] || out[1].State != store.Duplicate {
		t.Fatalf("the damaged call's next event: %+v, %v", out, err)
	}
	windowed := 0
	err = s.Window(ctx, storetest.Permit(t, storetest.TenantA, policy.Export), storetest.Epoch, time.Now().Add(time.Hour), func(store.Call) error { windowed++; return nil })
	if err != nil || windowed != 3 {
		t.Fatalf("a window yields %d calls, %v", windowed, err)
	}
	done, err := s.Rewrite(ctx, storetest.Permit(t, storetest.TenantA, policy.Erase), store.Rewrite{Calls: []string{ids[1], ids[2]}})
	if err != nil || done.Dropped != 2 || done.Damaged != 0 || done.Keys == 0 {
		t.Fatalf("dropped %+v, %v", done, err)
	}
	if page, err := s.List(ctx, view, store.Query{}); err != nil || len(page.Calls) != 2 || page.Corrupt != 0 {
		t.Fatalf("after it was dropped: %d calls, %d corrupt, %v", len(page.Calls), page.Corrupt, err)
	}
}

// TestINV34_ScrubFindsEveryDamage: a scrub reads all, finds what nobody asked
// for, goes on where it was cut short, and finds nothing where nothing is.
func TestINV34_ScrubFindsEveryDamage(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	s, stop := openAt(t, dir, nil)
	fill(t, s)
	clean, err := s.Scrub(ctx, local.ScrubOptions{})
	if err != nil || clean.Corrupt != 0 || clean.Checked < 80*4 || clean.Ended.IsZero() || clean.Share() != 1 {
		t.Fatalf("a sound store: %+v, %v", clean, err)
	}
	if err := s.Damage(storetest.TenantA, -1, func(n int) bool { return n%10 == 5 }); err != nil {
		t.Fatal(err)
	}
	// Cut short after its first slice, and gone on with by the next process.
	short, cancel := context.WithCancel(ctx)
	began, err := s.Scrub(short, local.ScrubOptions{BytesPerSecond: 1, Progress: func(local.ScrubState) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("cut short: %+v, %v", began, err)
	}
	stop()
	s, _ = openAt(t, dir, nil)
	whole, err := s.Scrub(ctx, local.ScrubOptions{})
	if err != nil || !whole.Began.Equal(began.Began) || whole.Checked <= began.Checked {
		t.Fatalf("gone on with: %+v, %v", whole, err)
	}
	// Each damaged frame, and each call that stands in one.
	if n, err := s.Aside(); err != nil || n != 4 || whole.Corrupt != 4+8 {
		t.Fatalf("%d values are aside and %d were found, %v", n, whole.Corrupt, err)
	}
	page, err := s.List(ctx, storetest.Permit(t, storetest.TenantA, policy.View), store.Query{PageSize: 1000})
	if err != nil || len(page.Calls) != 72 || page.Corrupt != 8 {
		t.Fatalf("a page of %d calls and %d corrupt ones, %v", len(page.Calls), page.Corrupt, err)
	}
}

// A frame whose header names another key must not cost that key's owner his data.
func TestINV34_PurgeDestroysNobodyElsesKey(t *testing.T) {
	s, _ := openAt(t, t.TempDir(), nil)
	ctx := context.Background()
	for _, tenant := range []policy.TenantID{storetest.TenantB, storetest.TenantA} {
		if _, err := s.Append(ctx, storetest.Permit(t, tenant, policy.Ingest), []record.Record{storetest.Native(1)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Misname(storetest.TenantA, storetest.TenantB); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Purge(ctx, storetest.TenantA); err != nil {
		t.Fatal(err)
	}
	page, err := s.List(ctx, storetest.Permit(t, storetest.TenantB, policy.View), store.Query{})
	if err != nil || len(page.Calls) != 1 || page.Corrupt != 0 {
		t.Fatalf("another tenant's call is gone: %d corrupt, %v", page.Corrupt, err)
	}
}
