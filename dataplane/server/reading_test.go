package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// fileOf is a tenant's file in small pages, of which nobody reads yet.
func (r *region) fileOf(tenant policy.TenantID) *fileOut {
	req := httptest.NewRequest(http.MethodGet, "/v1/calls:export", nil)
	k, _ := secretOf("ie1", "a", policy.RoleReader)
	x := &exchange{s: r.server, r: req, who: gate.Principal{Tenant: tenant, Role: k.Role, Key: k.ID}}
	return &fileOut{x: x, form: &lineFile{}, q: store.Query{PageSize: 3}, room: newPageRoom()}
}

// A page that was read ahead is not written when meanwhile nothing may be shown any
// more, nor when another policy permits it, nor when it is old.
func TestAPageReadAheadIsDecidedAgain(t *testing.T) {
	r := start(t)
	permit, err := r.fileOf(tenantID("a")).x.permit(policy.View, policy.CallRecord)
	must(t, err)
	now := permit.Revision()
	following := func(tenant policy.TenantID, age time.Duration, revision uint64) (paged, error) {
		f := r.fileOf(tenant)
		pages := make(chan paged, 1)
		pages <- paged{bytes: []byte("read ahead"), at: time.Now().Add(-age), revision: revision}
		close(pages)
		f.reading = &reading{f: f, pages: pages, stop: make(chan struct{})}
		<-f.room.free // which that page is in
		defer f.end()
		return f.following()
	}
	if page, err := following(tenantID("a"), -time.Hour, now); err != nil || len(page.bytes) == 0 {
		t.Errorf("of a tenant that is at home: %q, %v", page.bytes, err)
	}
	if page, err := following(tenantID("a"), time.Minute, now); err != nil || len(page.bytes) != 0 {
		t.Errorf("a page that was read a minute ago, of calls that are not there: %q, %v", page.bytes, err)
	}
	if page, err := following(tenantID("a"), -time.Hour, now+1); err != nil || len(page.bytes) != 0 || page.revision != now {
		t.Errorf("a page that another policy permitted: %q, %v", page.bytes, err)
	}
	if _, err := following(tenantID("9"), -time.Hour, now); err == nil {
		t.Error("of a tenant that is not, a page that was read is written")
	}
	r.withoutKeys()
	if _, err := following(tenantID("a"), -time.Hour, now); err == nil {
		t.Error("for a key that was taken away, a page that was read is written")
	}
}

// pagesOf takes a file's pages as its writer does, and holds them to one another:
// each begins where the one before ends, and together they have every call once.
func (r *region) pagesOf(calls int, taken func(f *fileOut, n int)) (pages []paged) {
	r.t.Helper()
	f := r.fileOf(tenantID("a"))
	f.reading = f.read("")
	defer f.end()
	ids := map[string]bool{}
	for p := <-f.reading.pages; ; {
		must(r.t, p.err)
		for line := range strings.Lines(string(p.bytes)) {
			var c data.Call
			must(r.t, json.Unmarshal([]byte(line), &c))
			ids[c.ID] = true
		}
		if n := len(pages); n > 0 && p.from != pages[n-1].next {
			r.t.Errorf("page %d does not begin where the one before ends", n)
		}
		f.room.put(p.bytes)
		if pages = append(pages, p); p.next == "" {
			break
		}
		taken(f, len(pages))
		var err error
		p, err = f.following()
		must(r.t, err)
	}
	if len(ids) != calls {
		r.t.Errorf("%d calls in %d pages, want %d", len(ids), len(pages), calls)
	}
	return pages
}

// Pages are read as of one moment one after the other, but not for long, and as of a
// later one as soon as another policy is in force; none is left out or comes twice.
func TestPagesAreOfOneMomentOnlyForAWhile(t *testing.T) {
	r := start(t)
	r.counts("/v1/calls:batch", writer, lines(40))
	r.server.scanFor = time.Hour
	pages := r.pagesOf(40, func(*fileOut, int) {})
	for i, p := range pages {
		if !p.at.Equal(pages[0].at) {
			t.Errorf("page %d of %d is of a moment of its own", i, len(pages))
		}
	}
	r.server.scanFor = 0
	pages = r.pagesOf(40, func(*fileOut, int) {})
	for i, p := range pages[1:] {
		if p.at.Equal(pages[i].at) {
			t.Errorf("page %d of %d is as old as the one before", i+1, len(pages))
		}
	}
	r.server.scanFor = time.Hour
	pages = r.pagesOf(40, func(f *fileOut, n int) {
		if n == 4 {
			changed := rows()
			changed[0].Tenant.Policy.Revision = 2
			r.bundle.view.Store(newView(t, 2, changed))
		}
	})
	for i, p := range pages {
		if before := i < 4; before != (p.revision < 2) {
			t.Errorf("page %d is permitted by revision %d", i, p.revision)
		}
	}
}

// A client that takes no page holds nothing of the store: reading ends until there is
// room again.
func TestWhoTakesNoPageHoldsNoScan(t *testing.T) {
	r := start(t)
	r.counts("/v1/calls:batch", writer, lines(40))
	r.server.scanFor = time.Millisecond
	pages := r.pagesOf(40, func(f *fileOut, n int) {
		if n == 1 {
			r.until("pages wait in all the room that there is", func() bool { return len(f.reading.pages) == pagesHeld && r.store.scans.Load() == 0 })
		}
	})
	if len(pages) < 13 {
		t.Errorf("%d pages", len(pages))
	}
}

// What one file had in memory does not reach the next: it is overwritten to the end,
// also behind a shorter page in the same place.
func TestPagesOfAFileAreOverwritten(t *testing.T) {
	room := newPageRoom()
	var all [pagesHeld][]byte
	for i := range all {
		b, ok := room.take(nil, nil)
		if !ok {
			t.Fatal("there is no room for a page")
		}
		all[i] = append(b, "+353861234567 rings +353861234567"...)
	}
	soon := time.Nanosecond
	if _, ok := room.take(nil, &soon); ok {
		t.Fatal("there is room for one page too many")
	}
	room.put(all[0])
	short, _ := room.take(nil, nil)
	if short = append(short, "+1"...); &short[0] != &all[0][0] {
		t.Fatal("a file's pages are not in the same memory")
	}
	room.put(short)
	for _, b := range all[1:] {
		room.put(b)
	}
	room.end()
	for _, b := range append(all[:], short) {
		if strings.Trim(string(b), "\x00") != "" {
			t.Errorf("%q is left", b)
		}
	}
}
