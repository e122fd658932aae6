package storetest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

func (f *fixture) rewrite(tenant policy.TenantID, w store.Rewrite) store.Rewritten {
	f.t.Helper()
	out, err := f.store.Rewrite(context.Background(), Permit(f.t, tenant, policy.Erase), w)
	if err != nil {
		f.t.Fatalf("rewrite: %v", err)
	}
	return out
}

func (f *fixture) rollups(tenant policy.TenantID) (calls, billsec int64) {
	f.t.Helper()
	rows, err := f.store.Rollups(context.Background(), Permit(f.t, tenant, policy.View), "2026-01-01", "2026-12-31")
	if err != nil {
		f.t.Fatalf("rollups: %v", err)
	}
	for _, r := range rows {
		calls, billsec = calls+r.Calls, billsec+r.Billsec
	}
	return calls, billsec
}

// windowed counts what an export of everything would be given.
func (f *fixture) windowed(tenant policy.TenantID) int {
	f.t.Helper()
	n := 0
	err := f.store.Window(context.Background(), Permit(f.t, tenant, policy.Export), Epoch.Add(-time.Hour), f.clock.Now().Add(time.Hour), func(store.Call) error { n++; return nil })
	if err != nil {
		f.t.Fatalf("window: %v", err)
	}
	return n
}

// testDrop drops calls out of the middle of chunks: nothing leads to them any
// more, everything else is byte for byte as it was, and they do not come back.
func testDrop(t *testing.T, f *fixture) {
	var ids []string
	for n := range 40 {
		ids = append(ids, f.append(TenantA, Native(n))[0].ID)
		if n%10 == 0 {
			f.clock.Advance(2 * time.Minute) // another chunk
		}
	}
	foreign := f.append(TenantB, Native(3))[0].ID
	before := f.list(TenantA, store.Query{})
	gone := map[string]bool{ids[3]: true, ids[17]: true, ids[18]: true, ids[39]: true}
	w := store.Rewrite{Calls: []string{ids[3], ids[17], ids[18], ids[39], ids[3], foreign, "CA00000000000000000000000000000000", "nonsense"}}
	if out := f.rewrite(TenantA, w); out.Dropped != 4 || out.Redacted != 0 || out.Versions != 4 || out.Chunks == 0 || out.Keys < out.Chunks {
		t.Fatalf("rewritten: %+v", out)
	}
	for range 2 {
		after := f.list(TenantA, store.Query{})
		if len(after) != 36 {
			t.Fatalf("%d calls are left, want 36", len(after))
		}
		next := 0
		for _, c := range before {
			if gone[c.ID] {
				_, err := f.store.Call(context.Background(), Permit(t, TenantA, policy.View), c.ID)
				wantReason(t, err, policy.NotFound)
				continue
			}
			a := after[next]
			if next++; a.ID != c.ID || diff(a.Record, c.Record) != "" || !a.ListedAt.Equal(c.ListedAt) || !a.UpdatedAt.Equal(c.UpdatedAt) {
				t.Fatalf("another call was changed:\n%s", diff(a.Record, c.Record))
			}
			if got := f.call(TenantA, c.ID); diff(got.Record, c.Record) != "" {
				t.Fatal("a call reads otherwise by its id")
			}
		}
		if n := len(f.list(TenantA, store.Query{Number: "+35315550017"})); n != 0 {
			t.Fatalf("a dropped call is found by its number, %d times", n)
		}
		if calls, billsec := f.rollups(TenantA); calls != 36 || billsec != 36*90 {
			t.Fatalf("rollups count %d calls, %d s", calls, billsec)
		}
		if n := f.windowed(TenantA); n != 36 {
			t.Fatalf("a window yields %d calls", n)
		}
		// A feed's retry, and an event that nobody had seen yet.
		again := Native(17)
		again.Native = append(again.Native, "other"...)
		for _, r := range []record.Record{Native(17), Hashed(again)} {
			out := f.append(TenantA, r)[0]
			if wantState(t, out, store.Duplicate); out.ID != ids[17] {
				t.Fatalf("the retry is answered as %s", out.ID)
			}
		}
		f.reopen()
	}
	if out := f.rewrite(TenantA, w); out != (store.Rewritten{}) {
		t.Fatalf("repeated: %+v", out)
	}
	if n := len(f.list(TenantB, store.Query{})); n != 1 {
		t.Fatalf("another tenant has %d calls", n)
	}
	wantState(t, f.append(TenantA, Native(100))[0], store.Stored)
}

// testDropAll: chunks of which nothing is left go as a whole, the one that was
// written last included in what reads nothing, and ids are not given twice.
func testDropAll(t *testing.T, f *fixture) {
	var ids []string
	for n := range 30 {
		ids = append(ids, f.append(TenantA, Native(n))[0].ID)
		f.clock.Advance(20 * time.Second)
	}
	if out := f.rewrite(TenantA, store.Rewrite{Calls: ids, KeepCounts: true}); out.Dropped != 30 {
		t.Fatalf("rewritten: %+v", out)
	}
	f.reopen()
	if n := len(f.list(TenantA, store.Query{})) + f.windowed(TenantA); n != 0 {
		t.Fatalf("%d calls are left", n)
	}
	if calls, billsec := f.rollups(TenantA); calls != 30 || billsec != 30*90 {
		t.Fatalf("counts that were to be kept: %d calls, %d s", calls, billsec)
	}
	fresh := f.append(TenantA, Native(1000))[0].ID
	for _, id := range ids {
		if id == fresh {
			t.Fatal("an id was given twice")
		}
	}
	if calls, _ := f.rollups(TenantA); calls != 31 {
		t.Fatalf("%d calls counted", calls)
	}
	f.rewrite(TenantA, store.Rewrite{Calls: []string{fresh}})
	if calls, _ := f.rollups(TenantA); calls != 30 {
		t.Fatalf("%d calls counted after an erasure", calls)
	}
}

// forget takes the caller out of a record.
func forget(r *record.Record) {
	r.From, r.CallerName, r.Native = record.Party{}, "", nil
	r.CallKey, r.Key.NativeID, r.Key.Event = "gone", "gone", ""
}

// testRedact takes the caller out of merged calls whose events stand in many
// chunks; the calls stay, with what is the callee's.
func testRedact(t *testing.T, f *fixture) {
	var ids []string
	for n := range 4 {
		ids = append(ids, f.append(TenantA, Acc(n, "INVITE", 200, Epoch))[0].ID)
	}
	for v := range 40 { // more events than a fold row holds
		f.clock.Advance(2 * time.Minute)
		f.append(TenantA, Acc(1, "BYE", 200, Epoch.Add(time.Duration(v)*time.Second)), Acc(2, "BYE", 200, Epoch.Add(time.Duration(v)*time.Second)))
	}
	f.append(TenantA, CDR(1, Epoch, time.Minute))
	other := f.call(TenantA, ids[2])
	asked := 0
	out := f.rewrite(TenantA, store.Rewrite{Calls: []string{ids[0], ids[1]}, Redact: forget, Fate: func(c store.Call) store.Fate {
		if asked++; c.ID == ids[0] {
			return store.Keep
		}
		if c.ID != ids[1] || c.Record.From.E164 == "" {
			t.Errorf("asked about %s", c.ID)
		}
		return store.Redact
	}})
	if out.Redacted != 1 || out.Dropped != 0 || out.Versions != 42 || asked < 2 {
		t.Fatalf("rewritten: %+v after %d questions", out, asked)
	}
	for range 2 {
		c := f.call(TenantA, ids[1])
		if c.Record.From != (record.Party{}) || c.Record.CallerName != "" || c.Record.Native != nil || c.Record.ContentHash != [32]byte{} || c.Record.Key.NativeID != "gone" {
			t.Fatal("the view still names the caller")
		}
		if c.Record.Billsec != time.Minute || c.Record.To.Raw != "1000" || c.Versions != 42 {
			t.Fatalf("the view lost what is not the caller's: %s, %d versions", c.Record.Billsec, c.Versions)
		}
		if d := diff(f.call(TenantA, ids[2]).Record, other.Record); d != "" {
			t.Fatalf("another call in the same chunks was changed:\n%s", d)
		}
		if n := len(f.list(TenantA, store.Query{Number: "+353861234567"})); n != 3 {
			t.Fatalf("%d calls of the caller are found, want the 3 others", n)
		}
		if n := len(f.list(TenantA, store.Query{})); n != 4 {
			t.Fatalf("%d calls are left", n)
		}
		for _, r := range []record.Record{Acc(1, "INVITE", 200, Epoch), CDR(1, Epoch, 2*time.Minute)} {
			wantState(t, f.append(TenantA, r)[0], store.Duplicate)
		}
		f.reopen()
	}
	// A redacted call can be redacted again, and dropped.
	if out := f.rewrite(TenantA, store.Rewrite{Calls: []string{ids[1]}, Redact: forget, Fate: func(store.Call) store.Fate { return store.Redact }}); out.Redacted != 1 || out.Versions != 42 {
		t.Fatalf("redacted again: %+v", out)
	}
	if out := f.rewrite(TenantA, store.Rewrite{Calls: []string{ids[1]}}); out.Dropped != 1 || out.Versions != 42 {
		t.Fatalf("dropped: %+v", out)
	}
	if calls, _ := f.rollups(TenantA); calls != 3 {
		t.Fatalf("%d calls counted", calls)
	}
	wantState(t, f.append(TenantA, CDR(1, Epoch, 3*time.Minute))[0], store.Duplicate)
}

// testRewriteRaces drops calls while their events, and other records, arrive.
func testRewriteRaces(t *testing.T, f *fixture) {
	ingest, erase := Permit(t, TenantA, policy.Ingest), Permit(t, TenantA, policy.Erase)
	ctx := context.Background()
	const calls, writers = 60, 4
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for n := range calls {
				for v := range 3 {
					at := Epoch.Add(time.Duration(10*w+v) * time.Second)
					if _, err := f.store.Append(ctx, ingest, []record.Record{Acc(n, "BYE", 200, at), Native(1000*(w+1) + 3*n + v)}); err != nil {
						t.Errorf("append: %v", err)
						return
					}
				}
			}
		})
	}
	dropped := map[string]bool{}
	stop := make(chan struct{})
	go func() { writing.Wait(); close(stop) }()
	for last := false; !last; {
		select {
		case <-stop:
			last = true
		default:
		}
		var ids []string
		for _, c := range f.list(TenantA, store.Query{PageSize: 1000}) {
			if c.Record.Key.Source == record.Kamailio {
				ids = append(ids, c.ID)
				dropped[c.ID] = true
			}
		}
		if _, err := f.store.Rewrite(ctx, erase, store.Rewrite{Calls: ids}); err != nil {
			t.Fatalf("rewrite: %v", err)
		}
	}
	if len(dropped) == 0 || len(dropped) > calls {
		t.Fatalf("%d of %d calls were dropped: one came back, or the test shows nothing", len(dropped), calls)
	}
	for range 2 {
		left := f.list(TenantA, store.Query{PageSize: 1000})
		seen := map[string]bool{}
		for _, c := range left {
			if seen[c.Record.Key.NativeID] = true; c.Record.Key.Source == record.Kamailio {
				t.Fatal("a dropped call is back")
			}
		}
		if len(seen) != writers*calls*3 || len(left) != len(seen) {
			t.Fatalf("%d of %d other calls are there", len(seen), writers*calls*3)
		}
		if counted, _ := f.rollups(TenantA); counted != int64(len(left)) {
			t.Fatalf("rollups count %d of %d calls", counted, len(left))
		}
		f.reopen()
	}
}

// testUnlink: a number's ids are found, let go, and another is given.
func testUnlink(t *testing.T, f *fixture) {
	ctx, view, erase := context.Background(), Permit(t, TenantA, policy.View), Permit(t, TenantA, policy.Erase)
	raw := Native(5)
	raw.From, raw.Key.Instance = record.Party{Raw: "1000"}, "pbx"
	f.append(TenantA, Native(1), Native(2), raw)
	for number, want := range map[string]int{"+353861234567": 2, "1000": 1, "+999": 0} {
		found, err := f.store.Owners(ctx, view, number, "")
		if err != nil || len(found) != min(want, 1) {
			t.Fatalf("%d owners, %v", len(found), err)
		}
		if want == 0 {
			continue
		}
		id := found[0].Subject
		if n := len(f.list(TenantA, store.Query{Subject: id})); n != want {
			t.Fatalf("%d calls of the subject, want %d", n, want)
		}
		u := store.Unlinking{Owners: found} // without the number, as after a restore
		if number != "1000" {
			u.Number = number
		}
		for range 2 {
			if err := f.store.Unlink(ctx, erase, u); err != nil {
				t.Fatal(err)
			}
		}
		f.reopen()
		if left, err := f.store.Owners(ctx, view, number, ""); err != nil || len(left) != 0 {
			t.Fatalf("%d owners are left, %v", len(left), err)
		}
		if n := len(f.list(TenantA, store.Query{Number: number})); n != 0 {
			t.Fatalf("%d calls are found by the number", n)
		}
		if n := len(f.list(TenantA, store.Query{Subject: id})); n != want {
			t.Fatalf("%d calls still carry the id, want %d", n, want)
		}
		if number == "1000" {
			continue
		}
		f.append(TenantA, Native(3))
		if fresh, err := f.store.Owners(ctx, view, number, ""); err != nil || len(fresh) != 1 || fresh[0].Subject == id {
			t.Fatalf("the next record got %d owners, %v", len(fresh), err)
		}
	}
	_, err := f.store.List(ctx, view, store.Query{Number: "1", Subject: "SU000102030405060708090a0b0c0d0e0f"})
	wantReason(t, err, policy.InvalidArgument)
	_, err = f.store.List(ctx, view, store.Query{Subject: "SU"})
	wantReason(t, err, policy.InvalidArgument)
}

// testAged: the oldest come first, in pages, and not those at the border.
func testAged(t *testing.T, f *fixture) {
	var want []string
	for n := range 5 {
		want = append(want, f.append(TenantA, Native(n))[0].ID)
	}
	f.append(TenantB, Native(0))
	erase := Permit(t, TenantA, policy.Erase)
	var got []string
	for token := ""; ; {
		ids, next, err := f.store.Aged(context.Background(), erase, Epoch.Add(3*time.Second), 2, token)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, ids...)
		if token = next; token == "" {
			break
		}
	}
	if !slices.Equal(got, want[:3]) {
		t.Fatalf("aged %v, want %v", got, want[:3])
	}
	f.rewrite(TenantA, store.Rewrite{Calls: got, KeepCounts: true})
	if ids, next, err := f.store.Aged(context.Background(), erase, Epoch.Add(3*time.Second), 2, ""); err != nil || len(ids) > 0 || next != "" {
		t.Fatalf("%d are left, %v", len(ids), err)
	}
}
