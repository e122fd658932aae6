package storetest

import (
	"bytes"
	"context"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// testScan holds Scan to List: the same calls, in the same order, page by page,
// also after some are gone or redacted.
func testScan(t *testing.T, f *fixture) {
	for n := range 150 {
		recs := []record.Record{Native(n)}
		if n%3 == 0 { // a later version, whose view stands elsewhere
			again := Native(n)
			again.Status, again.Native = record.Busy, append([]byte("later"), again.Native...)
			recs = append(recs, Hashed(again))
		}
		if n%7 == 0 {
			recs = append(recs, Acc(n, "INVITE", 200, Epoch.Add(time.Duration(n)*time.Second)))
		}
		f.append(TenantA, recs...)
	}
	all := f.list(TenantA, store.Query{})
	f.sameScanned(all[0].Record.From.Subject)
	f.reopen()
	f.sameScanned(all[0].Record.From.Subject)
	_, err := f.store.Rewrite(context.Background(), Permit(t, TenantA, policy.Erase), store.Rewrite{Calls: []string{all[1].ID, all[40].ID},
		Fate: func(c store.Call) store.Fate {
			if c.ID == all[1].ID {
				return store.Drop
			}
			return store.Redact
		},
		Redact: func(r *record.Record) { r.CallerName, r.Native = "", nil }})
	if err != nil {
		t.Fatal(err)
	}
	f.sameScanned(all[0].Record.From.Subject)
	n := 0
	page, err := f.store.Scan(context.Background(), Permit(t, TenantA, policy.View), store.Query{}, func(*store.Call) bool { n++; return n < 5 }, nil)
	if err != nil || n != 5 || page.NextPageToken == "" {
		t.Errorf("a page that was ended early has %d calls, token %q, %v", n, page.NextPageToken, err)
	}
}

func (f *fixture) sameScanned(subject string) {
	f.t.Helper()
	view := Permit(f.t, TenantA, policy.View)
	for name, q := range map[string]store.Query{"all": {}, "newest": {Newest: true}, "busy": {Status: record.Busy}, "short": {PageSize: 7}, "subject": {Subject: subject, PageSize: 3}} {
		f.samePages(name, q)
		for listed := 0; ; {
			want, err := f.store.List(context.Background(), view, q)
			if err != nil {
				f.t.Fatalf("%s: %v", name, err)
			}
			var got []store.Call
			page, err := f.store.Scan(context.Background(), view, q, func(c *store.Call) bool {
				got = append(got, kept(c))
				return true
			}, nil)
			if err != nil || !reflect.DeepEqual(got, want.Calls) || (page.NextPageToken == "") != (want.NextPageToken == "") || page.Corrupt != want.Corrupt {
				f.t.Fatalf("%s: %d calls are scanned and %d listed, or not the same: %v", name, len(got), len(want.Calls), err)
			}
			listed += len(got)
			if q.PageToken = page.NextPageToken; q.PageToken != "" {
				continue
			}
			if listed == 0 {
				f.t.Fatalf("%s: nothing is listed", name)
			}
			break
		}
	}
}

// samePages holds one scan of several pages to as many lists.
func (f *fixture) samePages(name string, q store.Query) {
	f.t.Helper()
	view := Permit(f.t, TenantA, policy.View)
	var got []store.Call
	listed := q
	held := func(page store.Page) bool {
		want, err := f.store.List(context.Background(), view, listed)
		if err != nil || !reflect.DeepEqual(got, want.Calls) || (page.NextPageToken == "") != (want.NextPageToken == "") {
			f.t.Errorf("%s: a page of a scan that goes on has %d calls, its list %d, or not the same: %v", name, len(got), len(want.Calls), err)
			return false
		}
		got, listed.PageToken = nil, page.NextPageToken
		return true
	}
	page, err := f.store.Scan(context.Background(), view, q, func(c *store.Call) bool {
		got = append(got, kept(c))
		return true
	}, held)
	if err != nil || page.NextPageToken != "" {
		f.t.Errorf("%s: a scan that goes on ends with token %q, %v", name, page.NextPageToken, err)
	}
	held(page)
}

// kept copies all that a scanned call points to.
func kept(c *store.Call) store.Call {
	out := *c
	var err error
	if out.Record, err = record.Decode(record.Append(record.Form{}, &c.Record)); err != nil {
		panic(err)
	}
	out.ID = string([]byte(c.ID))
	return out
}

// testScanAhead reads calls that came in another order than they are listed in, out
// of more frames than a scan has at hand, so that frames come and go while calls of
// others are read; what a call says stays as it is until the next.
func testScanAhead(t *testing.T, f *fixture) {
	const groups, at, all = 36, 16 * 40, 1200
	var came [groups][]record.Record
	for n := range all {
		g := n % 16 // as of 16 callers at once: as many frames as are at hand, all of them wanted for long
		switch {
		case n >= at:
			g = 16 + n%20 // and more than that
		case n == at-15:
			g = 2 // so that one is done with first that is being read when the next is foreseen
		}
		r := Native(n)
		r.Native = bytes.Repeat([]byte{byte('a' + g)}, 1<<10)
		came[g] = append(came[g], Hashed(r))
	}
	for _, recs := range came {
		f.append(TenantA, recs...)
	}
	view := Permit(t, TenantA, policy.View)
	for _, q := range []store.Query{{PageSize: 1000}, {PageSize: 1000, Newest: true}, {PageSize: 100}} {
		f.reopen() // so that no frame is in a cache
		var got []store.Call
		goOn := func(store.Page) bool { return q.PageSize == 100 }
		for scan := q; ; {
			page, err := f.store.Scan(context.Background(), view, scan, func(c *store.Call) bool {
				first := kept(c)
				for range 3 {
					runtime.Gosched()
				}
				if again := kept(c); !reflect.DeepEqual(first, again) {
					t.Errorf("call %d is %s, then %s", len(got), first.ID, again.ID)
				}
				got = append(got, first)
				return true
			}, goOn)
			if err != nil {
				t.Fatal(err)
			}
			if scan.PageToken = page.NextPageToken; scan.PageToken == "" {
				break
			}
		}
		if want := f.list(TenantA, q); len(got) != all || !reflect.DeepEqual(got, want) {
			t.Errorf("%d calls are scanned and %d listed, or not the same", len(got), len(want))
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	_, err := f.store.Scan(ctx, view, store.Query{PageSize: 1000}, func(*store.Call) bool {
		cancel()
		n++
		return true
	}, func(store.Page) bool { return true })
	if n > 256 {
		t.Errorf("%d calls are read of a scan that was given up, %v", n, err)
	}
	f.reopen() // waits for whatever still opens frames
}
