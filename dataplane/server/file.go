package server

import (
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
	// pageBytes ends a page of a file that is not full yet.
	pageBytes = 256 << 10
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
// anew, before it is read and before it is written; when one fails the connection is
// cut, so that half a file never looks whole.
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
	var form callFile
	kind := ""
	switch format {
	case "ndjson":
		form, kind = &lineFile{region: region}, "application/x-ndjson"
	case "csv":
		form, kind = &csvFile{region: region}, "text/csv; charset=utf-8"
	case "parquet":
		return policy.Errorf(policy.NotYet, "parquet is not built yet; ask for ndjson or csv")
	default:
		return invalid([]policy.FieldError{{Field: "format", Message: "is not one of ndjson, csv, parquet"}})
	}
	f := newFileOut(x, form, q)
	defer f.end()
	first := <-f.reading.pages
	if first.err != nil {
		return first.err
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
	x       *exchange
	form    callFile
	q       store.Query // of the file's beginning
	room    *pageRoom
	reading *reading
}

// newFileOut begins to read a file; the caller ends it.
func newFileOut(x *exchange, form callFile, q store.Query) *fileOut {
	f := &fileOut{x: x, form: form, q: q, room: newPageRoom()}
	f.reading = f.read(q.PageToken)
	return f
}

func (f *fileOut) end() {
	f.reading.end()
	f.room.end()
}

// write writes a page and all that come after it.
func (f *fileOut) write(p paged) error {
	x := f.x
	out := &pacedWriter{w: x.w, place: x.place, rc: http.NewResponseController(x.w)}
	corrupt := 0
	for {
		corrupt += p.corrupt
		err := writePieces(out, p.bytes)
		f.room.put(p.bytes)
		if err != nil {
			return err
		}
		if p.next == "" {
			if corrupt > 0 {
				x.w.Header().Set(http.TrailerPrefix+corruptTrailer, strconv.Itoa(corrupt))
			}
			return nil
		}
		if p, err = f.following(); err != nil {
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

// following is the next page. It was read before its turn and is decided again, or
// read again, since its client may have taken those before for minutes.
func (f *fileOut) following() (paged, error) {
	p := <-f.reading.pages
	if p.err != nil {
		return paged{}, p.err
	}
	if time.Since(p.at) <= aheadFor {
		permit, err := f.x.permit(policy.View, policy.CallRecord)
		if err == nil && permit.Revision() == p.revision {
			return p, nil
		}
		if err != nil {
			f.room.put(p.bytes)
			return paged{}, err
		}
	}
	f.room.put(p.bytes)
	f.reading.end()
	f.reading = f.read(p.from)
	p = <-f.reading.pages // which nobody had to wait for
	return p, p.err
}
