package local_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/sealed"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// model is what a tenant's store must hold, in the plainest form there is.
type model struct {
	calls map[int]*modelCall
	over  []*modelCall    // dropped before the indexes were built anew
	dead  map[string]bool // texts that nothing stored may hold
}

type modelCall struct {
	id     string
	native string // of its current view
	gone   bool
	closed bool
}

// TestMergedStoreIsAPlainModel: whatever is appended, changed, dropped, redacted,
// merged and played again, over restarts, each reader tells what a plain model does.
func TestMergedStoreIsAPlainModel(t *testing.T) {
	dir, clock := t.TempDir(), storetest.NewClock()
	s, stop := openAt(t, dir, clocked(clock))
	covers := uint64(0)
	rapid.Check(t, func(rt *rapid.T) {
		raw, err := policy.NewID(policy.KindTenant, rand.Reader)
		if err != nil {
			rt.Fatal(err)
		}
		tenant, m := policy.TenantID(raw), &model{calls: map[int]*modelCall{}, dead: map[string]bool{}}
		ctx, began := context.Background(), clock.Now()
		add := func(rt *rapid.T) {
			var recs []record.Record
			var ns []int
			for range rapid.IntRange(1, 3).Draw(rt, "records") {
				n := rapid.IntRange(0, 30).Draw(rt, "call")
				if slices.Contains(ns, n) {
					continue
				}
				r := storetest.Native(n)
				v := rapid.IntRange(0, 2).Draw(rt, "version")
				r.Native = fmt.Appendf(nil, "%s native %d of %d;", raw, v, n)
				ns, recs = append(ns, n), append(recs, storetest.Hashed(r))
			}
			out, err := s.Append(ctx, storetest.Permit(t, tenant, policy.Ingest), recs)
			if err != nil {
				rt.Fatal(err)
			}
			for i, n := range ns {
				c := m.calls[n]
				if c == nil {
					c = &modelCall{id: out[i].ID}
					m.calls[n] = c
				}
				if out[i].ID != c.id {
					rt.Fatalf("call %d is %s and was %s", n, out[i].ID, c.id)
				}
				if out[i].State != store.Duplicate {
					if c.gone || c.closed {
						rt.Fatalf("call %d is over, and its event is %s", n, out[i].State)
					}
					c.native = string(recs[i].Native)
					delete(m.dead, c.native) // it came again, to a call that begins anew
				}
			}
		}
		rewrite := func(rt *rapid.T, fate store.Fate) {
			var ids []string
			var whom []*modelCall
			for _, n := range slices.Sorted(maps.Keys(m.calls)) {
				if c := m.calls[n]; !c.gone && rapid.IntRange(0, 3).Draw(rt, "this one") == 0 {
					ids, whom = append(ids, c.id), append(whom, c)
				}
			}
			w := store.Rewrite{Calls: ids, Fate: func(store.Call) store.Fate { return fate }, Redact: func(r *record.Record) { r.From, r.CallerName, r.Native = record.Party{}, "", nil }}
			if _, err := s.Rewrite(ctx, storetest.Permit(t, tenant, policy.Erase), w); err != nil {
				rt.Fatal(err)
			}
			for _, c := range whom {
				if c.native != "" {
					m.dead[c.native] = true
				}
				c.gone, c.closed, c.native = fate == store.Drop, true, ""
			}
		}
		check := func(rt *rapid.T) { checkModel(rt, t, s, tenant, m, began, clock.Now()) }
		rt.Repeat(map[string]func(*rapid.T){
			"append": add, "append more": add, "append alone": func(rt *rapid.T) { add(rt); clock.Advance(61 * time.Second) },
			"drop":   func(rt *rapid.T) { rewrite(rt, store.Drop) },
			"redact": func(rt *rapid.T) { rewrite(rt, store.Redact) },
			"merge": func(rt *rapid.T) {
				done, err := s.Merge(ctx, tenant, sealed.MergeOptions{All: true})
				if err != nil {
					rt.Fatal(err)
				}
				covers += done.Covers
			},
			"merge what is old": func(rt *rapid.T) {
				if _, err := s.Merge(ctx, tenant, sealed.MergeOptions{After: time.Duration(rapid.IntRange(1, 300).Draw(rt, "seconds")) * time.Second}); err != nil {
					rt.Fatal(err)
				}
			},
			"reindex": func(rt *rapid.T) {
				if err := s.Reindex(ctx, storetest.Permit(t, tenant, policy.Erase)); err != nil {
					rt.Fatal(err)
				}
				for n, c := range m.calls { // of these nobody knows any more: what comes is a new call
					if c.gone {
						m.over = append(m.over, c)
						delete(m.calls, n)
					}
				}
			},
			"restart": func(rt *rapid.T) {
				if rapid.IntRange(0, 3).Draw(rt, "now") == 0 {
					stop()
					s, stop = openAt(t, dir, clocked(clock))
				}
			},
			"": check,
		})
	})
	if covers < 20 {
		t.Errorf("only %d covers were made: the test shows nothing", covers)
	}
}

func checkModel(rt *rapid.T, t *testing.T, s *local.Store, tenant policy.TenantID, m *model, from, to time.Time) {
	ctx := context.Background()
	want := map[string]string{}
	for _, c := range append(slices.Collect(maps.Values(m.calls)), m.over...) {
		if !c.gone {
			want[c.id] = c.native
		}
		got, err := s.Call(ctx, storetest.Permit(t, tenant, policy.View), c.id)
		if c.gone != errors.Is(err, &policy.Error{Reason: policy.NotFound}) || !c.gone && (err != nil || string(got.Record.Native) != c.native) {
			rt.Fatalf("call %s: gone %v, got %q, want %q, %v", c.id, c.gone, got.Record.Native, c.native, err)
		}
	}
	read := map[string]string{}
	take := func(c store.Call) error {
		if _, twice := read[c.ID]; twice {
			rt.Fatalf("call %s is there twice", c.ID)
		}
		read[c.ID] = string(c.Record.Native)
		return nil
	}
	page, err := s.List(ctx, storetest.Permit(t, tenant, policy.View), store.Query{PageSize: 1000})
	if err != nil || page.Corrupt != 0 {
		rt.Fatalf("list: %d corrupt, %v", page.Corrupt, err)
	}
	for _, c := range page.Calls {
		_ = take(c)
	}
	if !maps.Equal(read, want) {
		rt.Fatalf("a list of %v, want %v", read, want)
	}
	clear(read)
	if err := s.Window(ctx, storetest.Permit(t, tenant, policy.Export), from.Add(-time.Hour), to.Add(time.Hour), take); err != nil {
		rt.Fatal(err)
	}
	if !maps.Equal(read, want) {
		rt.Fatalf("a window of %v, want %v", read, want)
	}
	err = s.Everything(ctx, storetest.Permit(t, tenant, policy.Process), func(r record.Record) error {
		if m.dead[string(r.Native)] || len(r.Native) > 0 && !bytes.Contains(r.Native, []byte("native")) {
			rt.Fatalf("%q is still stored", r.Native)
		}
		return nil
	})
	rollups, err2 := s.Rollups(ctx, storetest.Permit(t, tenant, policy.View), "0001-01-01", "9999-12-31")
	sums, err3 := s.Recount(ctx, storetest.Permit(t, tenant, policy.Process))
	if err := errors.Join(err, err2, err3); err != nil || fmt.Sprint(rollups) != fmt.Sprint(sums) {
		rt.Fatalf("counters %v, recount %v, %v", rollups, sums, err)
	}
}
