package local_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// spread is calls on several days, both ways.
func spread(first, n int) (out []record.Record) {
	for i := first; i < first+n; i++ {
		r := storetest.Native(i)
		r.Start = r.Start.Add(time.Duration(i%5) * 24 * time.Hour)
		if i%3 == 0 {
			r.Direction = record.Outbound
		}
		out = append(out, r)
	}
	return out
}

// A counter that is not what was written is never shown: it is counted anew from
// the calls, whoever found it, while ingest, redactions and drops go on.
func TestINV34_DamagedCountersAreCountedAnew(t *testing.T) {
	every := func(int) bool { return true }
	for name, find := range map[string]func(t *testing.T, s *local.Store){
		"by a scrub": func(t *testing.T, s *local.Store) {
			if p, err := s.Scrub(context.Background(), local.ScrubOptions{}); err != nil || p.Corrupt == 0 {
				t.Fatalf("%+v, %v", p, err)
			}
		},
		"by a question": func(t *testing.T, s *local.Store) {
			_, err := s.Rollups(context.Background(), storetest.Permit(t, storetest.TenantA, policy.View), "0001-01-01", "9999-12-31")
			wantReason(t, err, policy.Internal)
		},
		"by what comes next": func(t *testing.T, s *local.Store) {
			if _, err := ingest(t, s, spread(200, 10)...); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, stop := openAt(t, dir, nil)
			out, err := ingest(t, s, spread(0, 100)...)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.DamageCells(storetest.TenantA, every); err != nil {
				t.Fatal(err)
			}
			stop()
			s, _ = openAt(t, dir, nil)
			find(t, s)
			if _, err := ingest(t, s, spread(300, 20)...); err != nil { // goes on
				t.Fatal(err)
			}
			if _, err := s.Rewrite(context.Background(), storetest.Permit(t, storetest.TenantA, policy.Erase), store.Rewrite{Calls: []string{out[0].ID, out[1].ID}}); err != nil {
				t.Fatal(err)
			}
			counted(t, s)
		})
	}
}

// A count that was cut short begins again with the next start.
func TestINV34_CountingAnewCutShort(t *testing.T) {
	dir := t.TempDir()
	s, stop := openAt(t, dir, nil)
	if _, err := ingest(t, s, spread(0, 50)...); err != nil {
		t.Fatal(err)
	}
	if err := s.SetCellsAside(storetest.TenantA, second); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Rollups(context.Background(), storetest.Permit(t, storetest.TenantA, policy.View), "0001-01-01", "9999-12-31"); err == nil {
		t.Fatal("half a count was shown")
	}
	stop()
	s, _ = openAt(t, dir, nil)
	counted(t, s)
}

// counted waits until the counters can be had, and wants what a recount says.
func counted(t *testing.T, s *local.Store) {
	t.Helper()
	until(t, "the counters are counted anew", func() bool {
		got, err := s.Rollups(context.Background(), storetest.Permit(t, storetest.TenantA, policy.View), "0001-01-01", "9999-12-31")
		if err != nil {
			return false
		}
		want, err := s.Recount(context.Background(), storetest.Permit(t, storetest.TenantA, policy.Process))
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) || len(got) == 0 {
			t.Fatalf("counters %v\nrecount  %v, %v", got, want, err)
		}
		return true
	})
}

// A dropped call whose chunk did not open at all says so, also when the drop is
// repeated after a crash: its key is not known and may live.
func TestINV21_DropOfADamagedChunkIsSaidAgain(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	s, stop := openAt(t, dir, nil)
	out, err := ingest(t, s, storetest.Native(0))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Damage(storetest.TenantA, -1, func(int) bool { return true }); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		done, err := s.Rewrite(ctx, storetest.Permit(t, storetest.TenantA, policy.Erase), store.Rewrite{Calls: []string{out[0].ID}})
		if err != nil || done.Damaged != 1 {
			t.Fatalf("%+v, %v", done, err)
		}
		stop()
		s, stop = openAt(t, dir, nil)
	}
	sound, err := ingest(t, s, storetest.Native(1))
	if err != nil {
		t.Fatal(err)
	}
	if done, err := s.Rewrite(ctx, storetest.Permit(t, storetest.TenantA, policy.Erase), store.Rewrite{Calls: []string{sound[0].ID}}); err != nil || done.Damaged != 0 {
		t.Fatalf("%+v, %v", done, err)
	}
}
