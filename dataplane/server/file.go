package server

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

const exportBuffer = 64 << 10

// corruptTrailer ends a file from which calls are missing because what is
// stored of them is not what was written; it says how many.
const corruptTrailer = "X-Corrupt-Calls"

// callWriter writes calls in one file format.
type callWriter interface {
	begin() error
	call(c data.Call) error
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
	out := &pacedWriter{w: x.w, place: x.place, rc: http.NewResponseController(x.w)}
	buffered := bufio.NewWriterSize(out, exportBuffer)
	var files callWriter
	kind := ""
	switch format {
	case "ndjson":
		files, kind = &lineWriter{w: buffered}, "application/x-ndjson"
	case "csv":
		files, kind = &csvWriter{w: buffered}, "text/csv; charset=utf-8"
	case "parquet":
		return policy.Errorf(policy.NotYet, "parquet is not built yet; ask for ndjson or csv")
	default:
		return invalid([]policy.FieldError{{Field: "format", Message: "is not one of ndjson, csv, parquet"}})
	}
	first, revision, err := x.page(q)
	if err != nil {
		return err
	}
	h := x.w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", `attachment; filename="calls.`+format+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
	x.w.WriteHeader(http.StatusOK)
	if err := files.begin(); err != nil {
		return err
	}
	return x.writePages(q, first, revision, files, buffered)
}

func (x *exchange) page(q store.Query) (store.Page, uint64, error) {
	permit, err := x.permit(policy.View, policy.CallRecord)
	if err != nil {
		return store.Page{}, 0, err
	}
	page, err := x.s.o.Store.List(x.r.Context(), permit, q)
	return page, permit.Revision(), err
}

func (x *exchange) writePages(q store.Query, page store.Page, revision uint64, files callWriter, flush *bufio.Writer) error {
	corrupt := 0
	for {
		corrupt += page.Corrupt
		q.PageToken = page.NextPageToken
		next := x.ahead(q, &page)
		for i := range page.Calls {
			if err := files.call(callForm(&page.Calls[i], string(x.s.o.Region), revision)); err != nil {
				if next != nil {
					<-next
				}
				return err
			}
		}
		if page.NextPageToken == "" {
			if corrupt > 0 {
				x.w.Header().Set(http.TrailerPrefix+corruptTrailer, strconv.Itoa(corrupt))
			}
			return flush.Flush()
		}
		var err error
		if page, revision, err = x.following(q, next); err != nil {
			return err
		}
	}
}

// readAhead is how many payload bytes a page may have for the next to be read while
// it is written: two larger ones would not fit what the request may hold.
const readAhead = 2 << 20

// aheadFor is how old a page may be that was read ahead: of an older one somebody
// may have been erased since.
const aheadFor = 2 * time.Second

// paged is a page that was read ahead.
type paged struct {
	page     store.Page
	revision uint64
	at       time.Time // when reading began
	err      error
}

// ahead reads the page of q while the one before is written; nil: it is not read ahead.
func (x *exchange) ahead(q store.Query, before *store.Page) <-chan paged {
	held := 0
	for i := range before.Calls {
		held += len(before.Calls[i].Record.Native)
	}
	if q.PageToken == "" || held > readAhead {
		return nil
	}
	out := make(chan paged, 1)
	go func() {
		p := paged{at: time.Now()}
		defer func() {
			if r := recover(); r != nil { // in the handler's goroutine net/http would have caught it
				p.err = &policy.Error{Reason: policy.Internal, Message: "the request failed inside; quote the request id to the operator", Cause: errors.New("page: " + panicWords(r))}
			}
			out <- p
		}()
		p.page, p.revision, p.err = x.page(q)
	}()
	return out
}

// following is the page of q. One that was read ahead is decided again, or read
// again, since its client may have taken the one before for minutes.
func (x *exchange) following(q store.Query, next <-chan paged) (store.Page, uint64, error) {
	if next == nil {
		return x.page(q)
	}
	p := <-next
	if p.err != nil {
		return store.Page{}, 0, p.err
	}
	if time.Since(p.at) > aheadFor {
		return x.page(q)
	}
	permit, err := x.permit(policy.View, policy.CallRecord)
	return p.page, permit.Revision(), err
}

// csvWriter writes RFC 4180 with every cell quoted.
type csvWriter struct {
	w   io.Writer
	row []byte
}
