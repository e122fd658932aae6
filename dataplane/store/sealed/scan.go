package sealed

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Scan implements store.Store. It is for whoever writes calls out, one after the
// other, and may be many of them: a call costs neither memory of its own nor a place
// among the opened frames that point reads find again.
func (s *Store) Scan(ctx context.Context, permit policy.Permit, q store.Query, yield func(*store.Call) bool) (store.Page, error) {
	sc, _ := scanners.Get().(*scanner)
	defer sc.release()
	sc.s = s
	n := 0
	return s.walk(ctx, permit, &q, func(t *tenant, subjects map[string]bool, suffix, value []byte) (bool, error) {
		if !sc.read(t.raw, suffix, value) {
			c, err := s.callListed(t.raw, suffix, value) // which knows what to make of damage and of rewrites
			if err != nil {
				return true, err
			}
			sc.call = c
		}
		if !matches(&sc.call, &q, subjects) {
			return true, nil
		}
		n++
		return yield(&sc.call) && n < q.PageSize, nil
	})
}

// scanner holds what one page needs: a call, and the frames that it was read from last.
type scanner struct {
	s      *Store
	call   store.Call
	head   entry
	space  record.Space
	frames [scanFrames]*frame // nil: none yet
	own    [scanFrames]frame  // room for those that no cache has
	last   int                // of frames: the one that was asked for last
	oldest int                // the one that goes next
	opened int                // into own
}

const (
	// scanFrames is how many frames a scan has at hand. Calls that come at the same
	// time stand in one frame, or in those of a few groups.
	scanFrames = 16
	// scanOpened is how many frames a page may open for itself alone. Where there are
	// more, frames are small or what stands in one came at other times than it is
	// listed by, so that the next page wants the same ones.
	scanOpened = 64
)

var scanners = sync.Pool{New: func() any { return &scanner{} }}

// release overwrites what was read, and keeps the memory.
func (sc *scanner) release() {
	for i := range sc.own {
		f := &sc.own[i]
		clear(f.raw[:cap(f.raw)])
		clear(f.entries[:cap(f.entries)])
		if *f = (frame{raw: f.raw[:0], entries: f.entries[:0]}); cap(f.raw) > 2*frameSpaceSize {
			f.raw = nil
		}
	}
	*sc = scanner{own: sc.own}
	scanners.Put(sc)
}

// read makes sc.call the call that a time row led to; false when it is not to be
// read so, for whatever reason. What it reads is as old as the page at most.
func (sc *scanner) read(t tenantRaw, suffix, value []byte) bool {
	call := readRef(suffix[8:])
	at := call
	switch {
	case value == nil || len(value) != 0 && len(value) != refSize:
		return false
	case len(value) == refSize:
		at = readRef(value)
	}
	f := sc.frame(t, at.chunk, at.frame)
	if f == nil || int(at.entry) >= len(f.entries) {
		return false
	}
	e := &sc.head
	rest, err := e.readHead(f.entries[at.entry], at, f.ingest, true)
	if err != nil || e.kind.gone() || e.call != call {
		return false
	}
	c := &sc.call
	if err := sc.space.Read(&c.Record, rest); err != nil {
		return false
	}
	c.ID, c.Versions = sc.s.callID(t, call), int(e.count)
	c.IngestedAt, c.UpdatedAt, c.ListedAt = time.UnixMicro(e.first).UTC(), time.UnixMicro(e.ingest).UTC(), time.UnixMicro(e.listed).UTC()
	return true
}

// frame finds a frame among those at hand, or opens it in place of the oldest; nil
// when that fails.
func (sc *scanner) frame(t tenantRaw, chunk int64, number uint16) *frame {
	for i := range sc.frames {
		i = (sc.last + i) % scanFrames
		if f := sc.frames[i]; f != nil && f.chunk == chunk && f.number == number {
			sc.last = i
			return f
		}
	}
	i := sc.oldest
	sc.oldest, sc.last, sc.frames[i] = (i+1)%scanFrames, i, nil
	held, _, ok := sc.s.frames.find(frameID{t, chunk, number, false})
	f, err := held.frame, error(nil)
	switch {
	case ok:
	case sc.opened >= scanOpened:
		f, err = sc.s.frameAt(t, chunk, number)
	default:
		f, err = sc.open(&sc.own[i], t, chunk, number)
	}
	if err != nil {
		return nil
	}
	sc.frames[i] = f
	return f
}

// open opens a frame into own, or finds it in its cover, which is kept opened.
func (sc *scanner) open(own *frame, t tenantRaw, chunk int64, number uint16) (*frame, error) {
	var buf [32]byte
	value, err := sc.s.engine.Get(frameKey(buf[:0], t, chunk, number))
	if err != nil || value == nil {
		return nil, errors.Join(err, errNoFrame)
	}
	if _, covered := pointerIn(value); covered {
		return sc.s.openCurrent(t, chunk, number, value)
	}
	sc.opened++
	return own, sc.s.openInto(own, t, chunk, number, value)
}
