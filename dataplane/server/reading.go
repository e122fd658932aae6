package server

import (
	"errors"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

const (
	// scanFor is how long pages are read one after the other as of one moment.
	scanFor = time.Second
	// aheadFor is how old that moment may be when a page is written that was read
	// before its turn: since then somebody may have been erased.
	aheadFor = 2 * time.Second
)

// paged is a page of a file, as its client gets it.
type paged struct {
	bytes    []byte // of pageRoom
	from     string // the token of this page
	next     string // that of the page after it; "": there is none
	corrupt  int
	revision uint64    // of the policy that permitted it
	at       time.Time // the moment that it is of, or earlier
	err      error     // in place of a page; nothing comes after it
}

// reading reads pages of a file before their turn, as many as there is room for, in a
// goroutine of its own.
type reading struct {
	f     *fileOut
	q     store.Query // of the page that is read next
	pages chan paged  // has room for all that can be in it; closed when nothing comes any more
	stop  chan struct{}
}

// read begins to read the page of a token and those after it; the caller ends it.
func (f *fileOut) read(token string) *reading {
	r := &reading{f: f, q: f.q, pages: make(chan paged, pagesHeld+1), stop: make(chan struct{})}
	r.q.PageToken = token
	go func() {
		defer close(r.pages)
		defer func() {
			if p := recover(); p != nil { // in the handler's goroutine net/http would have caught it
				r.pages <- paged{err: &policy.Error{Reason: policy.Internal, Message: "the request failed inside; quote the request id to the operator", Cause: errors.New("page: " + panicWords(p))}}
			}
		}()
		for more := true; more; {
			more = r.scan()
		}
	}()
	return r
}

// end waits until nothing is read any more, and lets go what nobody took.
func (r *reading) end() {
	close(r.stop)
	for p := range r.pages {
		r.f.room.put(p.bytes)
	}
}

// scan reads pages for as long as there is room for them soon; false when none
// comes after them.
func (r *reading) scan() (more bool) {
	space, ok := r.f.room.take(r.stop, nil)
	if !ok {
		return false
	}
	p := paged{bytes: space, from: r.q.PageToken, at: time.Now()}
	permit, err := r.f.x.permit(policy.View, policy.CallRecord)
	if err != nil {
		return r.fail(p, err)
	}
	p.revision = permit.Revision()
	if p.from == "" {
		p.bytes = r.f.form.begin(p.bytes)
	}
	var failed error
	page, err := r.f.x.s.o.Store.Scan(r.f.x.r.Context(), permit, r.q, func(c *store.Call) bool {
		p.bytes, failed = r.f.form.call(p.bytes, c, p.revision)
		return failed == nil && len(p.bytes) < pageBytes
	}, func(page store.Page) bool {
		if failed != nil {
			return false
		}
		space, ok := r.goOn(&p)
		if ok {
			r.hand(p, page)
			p.bytes, p.from = space, page.NextPageToken
		}
		return ok
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return r.fail(p, err)
	}
	r.hand(p, page)
	return page.NextPageToken != ""
}

// goOn finds room for the page after p, when that may still be read as of the same
// moment under the same policy.
func (r *reading) goOn(p *paged) (space []byte, ok bool) {
	permit, err := r.f.x.permit(policy.View, policy.CallRecord)
	if err != nil || permit.Revision() != p.revision {
		return nil, false // which the next scan tells
	}
	left := r.f.x.s.scanFor - time.Since(p.at)
	if left <= 0 {
		return nil, false
	}
	return r.f.room.take(r.stop, &left)
}

func (r *reading) hand(p paged, page store.Page) {
	p.next, p.corrupt = page.NextPageToken, page.Corrupt
	r.q.PageToken = p.next
	r.pages <- p
}

func (r *reading) fail(p paged, err error) (more bool) {
	r.f.room.put(p.bytes)
	r.pages <- paged{err: err}
	return false
}
