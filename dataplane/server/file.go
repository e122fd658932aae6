package server

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

const (
	// exportPiece is what a client must take within answerGrace.
	exportPiece = 64 << 10
	// pageBytes ends a page of a file that is not full yet. Two pages exist at once:
	// one is read while the other is written.
	pageBytes = 1 << 20
)

// corruptTrailer ends a file from which calls are missing because what is
// stored of them is not what was written; it says how many.
const corruptTrailer = "X-Corrupt-Calls"

// callFile writes calls in one file format.
type callFile interface {
	begin(b []byte) []byte
	call(b []byte, c *store.Call, revision uint64) ([]byte, error)
}

// exportCalls streams the tenant's own calls as a file. Every page is decided
// anew; when one fails the connection is cut, so that half a file never looks
// whole.
func (x *exchange) exportCalls() error {
	p := newParams(x.r.URL)
	q := p.calls()
	q.PageSize = maxPageSize
	format := p.take("format")
	if format == "" {
		p.fail("format", "is required: ndjson or csv")
	}
	if err := p.done(); err != nil {
		return err
	}
	region := string(x.s.o.Region)
	var form func() callFile
	kind := ""
	switch format {
	case "ndjson":
		form, kind = func() callFile { return &lineFile{region: region} }, "application/x-ndjson"
	case "csv":
		form, kind = func() callFile { return &csvFile{region: region} }, "text/csv; charset=utf-8"
	case "parquet":
		return policy.Errorf(policy.NotYet, "parquet is not built yet; ask for ndjson or csv")
	default:
		return invalid([]policy.FieldError{{Field: "format", Message: "is not one of ndjson, csv, parquet"}})
	}
	first, err := x.filePage(form, q)
	if err != nil {
		return err
	}
	h := x.w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", `attachment; filename="calls.`+format+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
	x.w.WriteHeader(http.StatusOK)
	return x.writePages(form, q, first)
}

// paged is a page of a file, as its client gets it.
type paged struct {
	bytes    []byte // of pageSpaces
	next     string // the token of the page after it
	corrupt  int
	revision uint64 // of the policy that permitted it
	at       time.Time
	err      error
}

// pageSpaces hold pages; what was personal in them is overwritten.
var pageSpaces = sync.Pool{New: func() any { b := make([]byte, 0, pageBytes+64<<10); return &b }}

func (p *paged) release() {
	clear(p.bytes)
	if b := p.bytes[:0]; cap(b) > 0 && cap(b) <= 2*pageBytes {
		pageSpaces.Put(&b)
	}
	p.bytes = nil
}

// filePage decides and reads one page, in the form that it is sent in.
func (x *exchange) filePage(form func() callFile, q store.Query) (p paged, err error) {
	p.at = time.Now()
	permit, err := x.permit(policy.View, policy.CallRecord)
	if err != nil {
		return p, err
	}
	p.revision = permit.Revision()
	space, _ := pageSpaces.Get().(*[]byte)
	p.bytes = *space
	file := form()
	if q.PageToken == "" {
		p.bytes = file.begin(p.bytes)
	}
	var failed error
	got, err := x.s.o.Store.Scan(x.r.Context(), permit, q, func(c *store.Call) bool {
		p.bytes, failed = file.call(p.bytes, c, p.revision)
		return failed == nil && len(p.bytes) < pageBytes
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		p.release()
		return paged{}, err
	}
	p.next, p.corrupt = got.NextPageToken, got.Corrupt
	return p, nil
}

func (x *exchange) writePages(form func() callFile, q store.Query, p paged) error {
	out := &pacedWriter{w: x.w, place: x.place, rc: http.NewResponseController(x.w)}
	corrupt := 0
	for {
		corrupt += p.corrupt
		last := p.next == ""
		q.PageToken = p.next
		next := x.ahead(form, q)
		err := writePieces(out, p.bytes)
		p.release()
		if err != nil {
			if next != nil {
				p = <-next
				p.release()
			}
			return err
		}
		if last {
			if corrupt > 0 {
				x.w.Header().Set(http.TrailerPrefix+corruptTrailer, strconv.Itoa(corrupt))
			}
			return nil
		}
		if p, err = x.following(form, q, next); err != nil {
			return err
		}
	}
}

func writePieces(out io.Writer, b []byte) error {
	for piece := range slices.Chunk(b, exportPiece) {
		if _, err := out.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

// aheadFor is how old a page may be that was read ahead: of an older one somebody
// may have been erased since.
const aheadFor = 2 * time.Second

// ahead reads the page of q while the one before is written; nil: there is none.
func (x *exchange) ahead(form func() callFile, q store.Query) <-chan paged {
	if q.PageToken == "" {
		return nil
	}
	out := make(chan paged, 1)
	go func() {
		var p paged
		defer func() {
			if r := recover(); r != nil { // in the handler's goroutine net/http would have caught it
				p.err = &policy.Error{Reason: policy.Internal, Message: "the request failed inside; quote the request id to the operator", Cause: errors.New("page: " + panicWords(r))}
			}
			out <- p
		}()
		var err error
		p, err = x.filePage(form, q)
		p.err = err
	}()
	return out
}

// following is the page of q. One that was read ahead is decided again, or read
// again, since its client may have taken the one before for minutes.
func (x *exchange) following(form func() callFile, q store.Query, next <-chan paged) (paged, error) {
	p := <-next
	if p.err != nil {
		return paged{}, p.err
	}
	if time.Since(p.at) > aheadFor {
		p.release()
		return x.filePage(form, q)
	}
	permit, err := x.permit(policy.View, policy.CallRecord)
	if err == nil && permit.Revision() == p.revision {
		return p, nil
	}
	p.release()
	if err != nil {
		return paged{}, err
	}
	return x.filePage(form, q)
}
