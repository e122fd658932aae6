package local_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// TestINV34_DamagedCover: a flipped byte anywhere in a cover is found, what it held
// is never served, and everything else is. Whoever is erased from it is gone for
// good: its keys are known from the part that vouches for them.
func TestINV34_DamagedCover(t *testing.T) {
	for _, at := range []int{0, 1, 20, 33, 40, 60, -40, -1} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			clock, dir, ctx := storetest.NewClock(), t.TempDir(), context.Background()
			s, stop := openAt(t, dir, clocked(clock))
			ids := alone(t, s, clock, 0, 20)
			storetest.MergeAll(t, s, storetest.TenantA)
			ids = append(ids, alone(t, s, clock, 20, 40)...)
			storetest.MergeAll(t, s, storetest.TenantA)
			if covers, pointers := s.Covered(storetest.TenantA); covers != 2 || pointers != 39 {
				t.Fatalf("%d covers, %d pointers", covers, pointers)
			}
			if err := s.DamageCovers(storetest.TenantA, at, func(n int) bool { return n == 0 }); err != nil {
				t.Fatal(err)
			}
			view := storetest.Permit(t, storetest.TenantA, policy.View)
			for range 2 {
				page, err := s.List(ctx, view, store.Query{PageSize: 1000})
				if err != nil || len(page.Calls) != 21 || page.Corrupt != 19 || page.Calls[0].ID != ids[19] {
					t.Fatalf("%d calls, %d corrupt, %v", len(page.Calls), page.Corrupt, err)
				}
				wantScanned(t, s, 21, 19)
				_, err = s.Call(ctx, view, ids[3])
				wantReason(t, err, policy.Internal)
				until(t, "the cover is moved aside", func() bool { n, err := s.Aside(); return err == nil && n == 20 })
				stop()
				s, stop = openAt(t, dir, clocked(clock))
			}
			windowed := 0
			err := s.Window(ctx, storetest.Permit(t, storetest.TenantA, policy.Export), storetest.Epoch, clock.Now(), func(store.Call) error { windowed++; return nil })
			if err != nil || windowed != 21 {
				t.Fatalf("a window of %d calls, %v", windowed, err)
			}
			done, err := s.Rewrite(ctx, storetest.Permit(t, storetest.TenantA, policy.Erase), store.Rewrite{Calls: []string{ids[3], ids[30]}})
			header := at < 0 || at > 33+1+20*2+16
			if err != nil || done.Dropped != 2 || (done.Damaged == 0) != header {
				t.Fatalf("dropped %+v, %v", done, err)
			}
			if err := s.Reindex(ctx, storetest.Permit(t, storetest.TenantA, policy.Erase)); err != nil {
				t.Fatal(err)
			}
			page, err := s.List(ctx, view, store.Query{PageSize: 1000})
			if err != nil || len(page.Calls) != 20 || page.Corrupt != 18 {
				t.Fatalf("after it was dropped: %d calls, %d corrupt, %v", len(page.Calls), page.Corrupt, err)
			}
		})
	}
}

// wantScanned is that one scan in small pages has so many calls, and counts each that
// it lacks on the page that lacks it.
func wantScanned(t *testing.T, s *local.Store, calls, corrupt int) {
	t.Helper()
	got, lacking := 0, 0
	last, err := s.Scan(context.Background(), storetest.Permit(t, storetest.TenantA, policy.View), store.Query{PageSize: 5}, func(*store.Call) bool {
		got++
		return true
	}, func(p store.Page) bool {
		lacking += p.Corrupt
		return true
	})
	if lacking += last.Corrupt; err != nil || got != calls || lacking != corrupt {
		t.Fatalf("scanned: %d calls, %d corrupt, %v", got, lacking, err)
	}
}

// A damaged row of a covered frame is made anew from its cover, and nothing is lost.
func TestINV34_DamagedPointer(t *testing.T) {
	for at := range 11 {
		clock, dir, ctx := storetest.NewClock(), t.TempDir(), context.Background()
		s, stop := openAt(t, dir, clocked(clock))
		ids := alone(t, s, clock, 0, 10)
		storetest.MergeAll(t, s, storetest.TenantA)
		if err := s.Damage(storetest.TenantA, at, func(n int) bool { return n == 4 }); err != nil {
			t.Fatal(err)
		}
		view := storetest.Permit(t, storetest.TenantA, policy.View)
		_, err := s.Call(ctx, view, ids[4])
		wantReason(t, err, policy.Internal)
		until(t, "the row is made anew", func() bool { c, err := s.Call(ctx, view, ids[4]); return err == nil && c.ID == ids[4] })
		if at%2 == 0 { // erased at once, before anybody looked
			if err := s.Damage(storetest.TenantA, at, func(n int) bool { return n == 5 }); err != nil {
				t.Fatal(err)
			}
			done, err := s.Rewrite(ctx, storetest.Permit(t, storetest.TenantA, policy.Erase), store.Rewrite{Calls: []string{ids[5]}})
			if err != nil || done.Dropped != 1 || done.Damaged != 0 || done.Keys == 0 {
				t.Fatalf("%+v, %v", done, err)
			}
			if n := mentions(t, s, "call-5"); n != 0 {
				t.Fatalf("%d records mention who is erased", n)
			}
		}
		if p, err := s.Scrub(ctx, local.ScrubOptions{}); err != nil || p.Corrupt != 0 {
			t.Fatalf("%+v, %v", p, err)
		}
		if n, err := s.Aside(); err != nil || n != 0 {
			t.Fatalf("%d aside, %v", n, err)
		}
		stop()
	}
}

// A scrub opens covers, and moves a damaged one aside that nobody asked for.
func TestINV34_ScrubOpensCovers(t *testing.T) {
	clock, ctx := storetest.NewClock(), context.Background()
	s, _ := openAt(t, t.TempDir(), clocked(clock))
	alone(t, s, clock, 0, 20)
	storetest.MergeAll(t, s, storetest.TenantA)
	if p, err := s.Scrub(ctx, local.ScrubOptions{}); err != nil || p.Corrupt != 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	if err := s.DamageCovers(storetest.TenantA, -1, func(int) bool { return true }); err != nil {
		t.Fatal(err)
	}
	p, err := s.Scrub(ctx, local.ScrubOptions{})
	if n, asideErr := s.Aside(); err != nil || asideErr != nil || p.Corrupt < 1 || n != 20 {
		t.Fatalf("%+v, %d aside, %v", p, n, errors.Join(err, asideErr))
	}
}
