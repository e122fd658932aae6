package server

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
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
	f := &fileOut{x: x, form: form, q: q, room: newPageRoom()}
	defer f.room.end()
	first, err := f.page()
	if err != nil {
		return err
	}
	h := x.w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", `attachment; filename="calls.`+format+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
	x.w.WriteHeader(http.StatusOK)
	return f.write(first)
}

// fileOut is a file on its way out.
type fileOut struct {
	x    *exchange
	form func() callFile
	q    store.Query // of the page that is read next
	room *pageRoom
}

// paged is a page of a file, as its client gets it.
type paged struct {
	bytes    []byte // of pageRoom
	next     string // the token of the page after it
	corrupt  int
	revision uint64 // of the policy that permitted it
	at       time.Time
	err      error
}

func (f *fileOut) release(p *paged) {
	f.room.put(p.bytes)
	p.bytes = nil
}

// page decides and reads one page, in the form that it is sent in.
func (f *fileOut) page() (p paged, err error) {
	p.at = time.Now()
	permit, err := f.x.permit(policy.View, policy.CallRecord)
	if err != nil {
		return p, err
	}
	p.revision = permit.Revision()
	p.bytes = f.room.take()
	file := f.form()
	if f.q.PageToken == "" {
		p.bytes = file.begin(p.bytes)
	}
	var failed error
	got, err := f.x.s.o.Store.Scan(f.x.r.Context(), permit, f.q, func(c *store.Call) bool {
		p.bytes, failed = file.call(p.bytes, c, p.revision)
		return failed == nil && len(p.bytes) < pageBytes
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		f.release(&p)
		return paged{}, err
	}
	p.next, p.corrupt = got.NextPageToken, got.Corrupt
	return p, nil
}

// write writes a page and all that come after it.
func (f *fileOut) write(p paged) error {
	x := f.x
	out := &pacedWriter{w: x.w, place: x.place, rc: http.NewResponseController(x.w)}
	corrupt := 0
	for {
		corrupt += p.corrupt
		last := p.next == ""
		f.q.PageToken = p.next
		next := f.ahead()
		err := writePieces(out, p.bytes)
		f.release(&p)
		if err != nil {
			if next != nil {
				p = <-next
				f.release(&p)
			}
			return err
		}
		if last {
			if corrupt > 0 {
				x.w.Header().Set(http.TrailerPrefix+corruptTrailer, strconv.Itoa(corrupt))
			}
			return nil
		}
		if p, err = f.following(next); err != nil {
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

// ahead reads the next page while the one before is written; nil: there is none.
func (f *fileOut) ahead() <-chan paged {
	if f.q.PageToken == "" {
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
		p, err = f.page()
		p.err = err
	}()
	return out
}

// following is the page that was read ahead. It is decided again, or read again,
// since its client may have taken the one before for minutes.
func (f *fileOut) following(next <-chan paged) (paged, error) {
	p := <-next
	if p.err != nil {
		return paged{}, p.err
	}
	if time.Since(p.at) > aheadFor {
		f.release(&p)
		return f.page()
	}
	permit, err := f.x.permit(policy.View, policy.CallRecord)
	if err == nil && permit.Revision() == p.revision {
		return p, nil
	}
	f.release(&p)
	if err != nil {
		return paged{}, err
	}
	return f.page()
}
