package storetest

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

func testSubjects(t *testing.T, f *fixture) {
	anonymous := Native(3)
	anonymous.From = record.Party{}
	f.append(TenantA, Native(1), Native(2), anonymous)
	f.append(TenantB, Native(1))
	f.reopen()
	f.append(TenantA, Native(4))
	calls := f.list(TenantA, store.Query{})
	caller := calls[0].Record.From.Subject
	if !policy.ValidID(policy.KindSubject, caller) || calls[1].Record.From.Subject != caller || calls[3].Record.From.Subject != caller {
		t.Fatal("the same number does not have the same subject id, also after reopening")
	}
	if calls[0].Record.To.Subject == calls[1].Record.To.Subject {
		t.Fatal("two numbers share a subject id")
	}
	if s := calls[2].Record.From.Subject; s != "" {
		t.Fatal("an anonymous party has a subject id")
	}
	if f.list(TenantB, store.Query{})[0].Record.From.Subject == caller {
		t.Fatal("two tenants share a subject id")
	}
}

func testListFilters(t *testing.T, f *fixture) {
	busy := Native(2)
	busy.Status, busy.Direction = record.Busy, record.Outbound
	raw := Native(3)
	raw.From, raw.Key.Instance = record.Party{Raw: "1000"}, "pbx"
	raw2 := Native(4)
	raw2.To, raw2.Key.Instance = record.Party{Raw: "1000"}, "pbx2"
	self := Native(5)
	self.From, self.To = record.Party{Raw: "1000"}, record.Party{Raw: "1000"}
	f.append(TenantA, Native(1), busy, raw, raw2, self)
	for _, c := range []struct {
		name string
		q    store.Query
		want string
	}{
		{"all", store.Query{}, "[call-1 call-2 call-3 call-4 call-5]"},
		{"half-open range", store.Query{Start: Epoch.Add(2 * time.Second), End: Epoch.Add(4 * time.Second)}, "[call-2 call-3]"},
		{"nanoseconds", store.Query{Start: Epoch.Add(2*time.Second + 1), End: Epoch.Add(4*time.Second + 1)}, "[call-3 call-4]"},
		{"status", store.Query{Status: record.Busy}, "[call-2]"},
		{"direction", store.Query{Direction: record.Inbound}, "[call-1 call-3 call-4 call-5]"},
		{"caller", store.Query{Number: "+353861234567"}, "[call-1 call-2 call-4]"},
		{"callee", store.Query{Number: "+35315550002"}, "[call-2]"},
		{"raw at any instance", store.Query{Number: "1000"}, "[call-3 call-4 call-5]"},
		{"number and status", store.Query{Number: "+353861234567", Status: record.Completed}, "[call-1 call-4]"},
		{"number and range", store.Query{Number: "+353861234567", Start: Epoch.Add(2 * time.Second)}, "[call-2 call-4]"},
		{"unknown number", store.Query{Number: "+353860000000"}, "[]"},
		{"no such time", store.Query{End: Epoch}, "[]"},
	} {
		for _, size := range []int{0, 1} {
			c.q.PageSize = size
			if got := ids(f.list(TenantA, c.q)); got != c.want {
				t.Errorf("%s, page size %d: %s, want %s", c.name, size, got, c.want)
			}
		}
	}
	for _, size := range []int{-1, store.MaxPageSize + 1} {
		_, err := f.store.List(context.Background(), Permit(t, TenantA, policy.View), store.Query{PageSize: size})
		wantReason(t, err, policy.InvalidArgument)
	}
}

func ids(calls []store.Call) string {
	out := make([]string, len(calls))
	for i, c := range calls {
		out[i] = c.Record.Key.NativeID
	}
	return fmt.Sprint(out)
}

// testPaging reads pages while calls arrive before and behind the reader: each
// call that was there at first is seen exactly once.
func testPaging(t *testing.T, f *fixture) {
	for n := range 100 {
		f.append(TenantA, Native(2*n))
	}
	seen := map[string]int{}
	q := store.Query{PageSize: 7}
	for n := 0; ; n++ {
		p, err := f.store.List(context.Background(), Permit(t, TenantA, policy.View), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range p.Calls {
			seen[c.Record.Key.NativeID]++
		}
		again := Native(2 * n)
		again.Native = append(again.Native, "again"...)
		f.append(TenantA, Native(2*n+1), Native(199-2*n), Hashed(again))
		if n == 5 {
			f.reopen()
		}
		if q.PageToken = p.NextPageToken; q.PageToken == "" {
			break
		}
	}
	for n := range 100 {
		if seen[fmt.Sprintf("call-%d", 2*n)] != 1 {
			t.Errorf("call-%d was seen %d times, want once", 2*n, seen[fmt.Sprintf("call-%d", 2*n)])
		}
	}
}

// testLargePages: a page ends early when its payloads are large, and goes on behind
// them, so that no list of them is in memory at once (invariant 41).
func testLargePages(t *testing.T, f *fixture) {
	const calls, size = 5, 6 << 20
	for n := range calls {
		r := Native(n)
		r.Native = bytes.Repeat([]byte{byte('a' + n)}, size)
		f.append(TenantA, Hashed(r))
	}
	found := 0
	for q := (store.Query{PageSize: store.MaxPageSize}); ; {
		p, err := f.store.List(context.Background(), Permit(t, TenantA, policy.View), q)
		if err != nil {
			t.Fatal(err)
		}
		if held := len(p.Calls) * size; held > 24<<20 {
			t.Errorf("a page holds %d MiB of payloads", held>>20)
		}
		found += len(p.Calls)
		if q.PageToken = p.NextPageToken; q.PageToken == "" {
			break
		}
	}
	if found != calls {
		t.Errorf("%d calls in all pages, want %d", found, calls)
	}
}

// testNewest: the latest first is exactly the other way round, of all calls, of a
// number's and in a span, in pages, while calls arrive before and behind the reader.
func testNewest(t *testing.T, f *fixture) {
	for n := range 30 {
		f.append(TenantA, Native(2*(n*7%30))) // not in order of time
	}
	same := Native(100)
	same.Start = Native(2).Start // at the same moment: then arrival decides
	f.append(TenantA, same)
	ids := func(q store.Query) (ids []string) {
		for _, c := range f.list(TenantA, q) {
			ids = append(ids, c.ID)
		}
		return ids
	}
	number := f.list(TenantA, store.Query{})[0].Record.From.E164
	for _, q := range []store.Query{{}, {Number: number}, {Start: Native(10).Start, End: Native(30).Start}} {
		want := ids(q)
		slices.Reverse(want)
		for _, size := range []int{1, 7, 100} {
			q.Newest, q.PageSize = true, size
			if got := ids(q); !slices.Equal(got, want) || len(got) == 0 {
				t.Errorf("%+v: got %v, want %v", q, got, want)
			}
		}
	}
	seen := map[string]int{}
	q := store.Query{PageSize: 4, Newest: true}
	for n := 0; ; n++ {
		p, err := f.store.List(context.Background(), Permit(t, TenantA, policy.View), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range p.Calls {
			seen[c.ID]++
		}
		f.append(TenantA, Native(2*n+1), Native(201+2*n))
		if q.PageToken = p.NextPageToken; q.PageToken == "" {
			break
		}
	}
	for n := range 30 {
		a := f.append(TenantA, Native(2*n)) // a duplicate, which tells the id
		if seen[a[0].ID] != 1 {
			t.Errorf("call-%d was seen %d times, want once", 2*n, seen[a[0].ID])
		}
	}
}

func testTokens(t *testing.T, f *fixture) {
	for n := range 4 {
		f.append(TenantA, Native(n))
		f.append(TenantB, Native(n))
	}
	q := store.Query{PageSize: 2}
	page := func(tenant policy.TenantID, q store.Query) (store.Page, error) {
		return f.store.List(context.Background(), Permit(t, tenant, policy.View), q)
	}
	p, err := page(TenantA, q)
	if err != nil || p.NextPageToken == "" {
		t.Fatalf("first page: token %q, error %v", p.NextPageToken, err)
	}
	q.PageToken = p.NextPageToken
	if _, err := page(TenantA, q); err != nil {
		t.Fatalf("its own token: %v", err)
	}
	changed := "x" + q.PageToken[1:]
	if changed == q.PageToken {
		changed = "y" + q.PageToken[1:]
	}
	_, err = page(TenantB, q)
	wantReason(t, err, policy.InvalidArgument)
	for _, other := range []store.Query{
		{PageSize: 2, Status: record.Busy, PageToken: q.PageToken},
		{PageSize: 2, Number: "1", PageToken: q.PageToken},
		{PageSize: 2, Start: Epoch, PageToken: q.PageToken},
		{PageSize: 2, Newest: true, PageToken: q.PageToken},
		{PageSize: 2, PageToken: changed},
		{PageSize: 2, PageToken: "not a token"},
	} {
		_, err := page(TenantA, other)
		wantReason(t, err, policy.InvalidArgument)
	}
}

func testRollups(t *testing.T, f *fixture) {
	outbound, leg, us := Native(2), Native(3), Native(4)
	outbound.Direction, outbound.Status, outbound.Answer, outbound.Billsec = record.Outbound, record.NoAnswer, time.Time{}, 0
	leg.Primary = false
	us.From.Country = "US"
	f.append(TenantA, Native(1), outbound, leg, us)
	corrected := Native(1)
	corrected.Billsec = 30 * time.Second
	corrected.Native = append(corrected.Native, '2')
	f.append(TenantA, Hashed(corrected))
	f.reopen()
	f.append(TenantA, Native(5), Native(5))
	got, err := f.store.Rollups(context.Background(), Permit(t, TenantA, policy.View), "2026-03-14", "2026-03-14")
	if err != nil {
		t.Fatal(err)
	}
	want := []store.Rollup{
		{Day: "2026-03-14", Direction: record.Inbound, Country: "IE", Calls: 2, Answered: 2, Billsec: 120},
		{Day: "2026-03-14", Direction: record.Inbound, Country: "US", Calls: 1, Answered: 1, Billsec: 90},
		{Day: "2026-03-14", Direction: record.Outbound, Country: "IE", Calls: 1},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got  %v\nwant %v", got, want)
	}
	if _, err := f.store.Rollups(context.Background(), Permit(t, TenantA, policy.View), "14.3.2026", ""); err == nil {
		t.Fatal("a bad day was taken")
	}
}

func testWindow(t *testing.T, f *fixture) {
	window := func(from, to time.Time) (out []store.Call) {
		t.Helper()
		err := f.store.Window(context.Background(), Permit(t, TenantA, policy.Export), from, to, func(c store.Call) error {
			out = append(out, c)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	version := func(n, v int) record.Record {
		r := Native(n)
		r.Billsec = time.Duration(v) * time.Second
		r.Native = fmt.Appendf(r.Native, "%d", v)
		return Hashed(r)
	}
	f.append(TenantA, Native(1), Native(2), version(2, 11), version(2, 12))
	f.clock.Advance(10 * time.Minute)
	second := f.clock.Now()
	f.append(TenantA, version(2, 13), Native(3))
	f.clock.Advance(10 * time.Minute)
	f.reopen()
	first := window(Epoch, second)
	if ids(first) != "[call-1 call-2]" || first[1].Record.Billsec != 12*time.Second {
		t.Fatalf("first window: %s, billed %s", ids(first), first[1].Record.Billsec)
	}
	next := window(second, f.clock.Now())
	if ids(next) != "[call-2 call-3]" || next[0].Record.Billsec != 13*time.Second {
		t.Fatalf("second window: %s", ids(next))
	}
	if first[1].ID != next[0].ID {
		t.Fatal("a call has two ids")
	}
	// A clock that steps back does not put records into a closed window.
	closed := f.clock.Now()
	window(Epoch, closed)
	f.clock.Advance(-15 * time.Minute)
	f.append(TenantA, Native(4))
	if got := ids(window(Epoch, closed)); got != "[call-1 call-2 call-3]" {
		t.Fatalf("a closed window changed: %s", got)
	}
	if all := window(Epoch, time.UnixMicro(math.MaxInt32*1e6)); len(all) != 4 {
		t.Fatalf("%d calls in all, want 4", len(all))
	}
}
