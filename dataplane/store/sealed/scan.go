package sealed

import (
	"context"
	"math"
	"sync"
	"time"
	"unsafe"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Scan implements store.Store. It is for whoever writes calls out, one after the
// other, and may be many of them: a call costs neither memory of its own nor a place
// among the opened frames that point reads find again.
func (s *Store) Scan(ctx context.Context, permit policy.Permit, q store.Query, yield func(*store.Call) bool, turn func(store.Page) bool) (store.Page, error) {
	sc, _ := scanners.Get().(*scanner)
	defer sc.release()
	sc.s, sc.rows.most = s, pageRows(q.PageSize)
	if turn != nil {
		sc.rows.most = math.MaxInt
	}
	n := 0
	return s.walk(ctx, permit, &q, &sc.rows, func(t *tenant, subjects map[string]bool, suffix, value []byte) (bool, error) {
		if !sc.read(t.raw, suffix, value) {
			c, err := s.callListed(t.raw, suffix, value) // which knows what to make of damage and of rewrites
			if err != nil {
				return true, err
			}
			sc.call = c
		}
		sc.foresee(t.raw)
		if !matches(&sc.call, &q, subjects) {
			return true, nil
		}
		n++
		return yield(&sc.call) && n < q.PageSize, nil
	}, func(page store.Page) bool {
		n = 0
		return turn != nil && turn(page)
	})
}

// scanner holds what one scan needs: a call, the frames that it was read from last,
// and those that the next calls stand in, which are opened meanwhile.
type scanner struct {
	s      *Store
	call   store.Call
	head   entry
	space  record.Space
	id     callIDText
	rows   rowQueue
	frames [scanFrames]*frame // nil: none yet
	own    [scanFrames]frame  // room for those that no cache has
	until  [scanFrames]int    // the last row that is known to want it
	last   int                // of frames: the one that was asked for last
	near   int                // of frames: the one that was foreseen last
	opened int                // into own
	opener *opener            // nil: none yet
}

const (
	// scanFrames is how many frames a scan has at hand. Calls that come at the same
	// time stand in one frame, or in those of a few groups.
	scanFrames = 16
	// scanOpened is how many frames a scan may open for itself alone, and one more for
	// each scanOften rows. Where there are more, frames are small or what stands in one
	// came at other times than it is listed by, so that the next page wants the same ones.
	scanOpened, scanOften = 64, 32
)

var scanners = sync.Pool{New: func() any { return &scanner{rows: *newRowQueue(scanRows)} }}

// pageRows is how many rows a full page wants: one for each call, and the one that
// says that there is more.
func pageRows(size int) int {
	if size == 0 {
		size = store.DefaultPage
	}
	return size + 1
}

// release overwrites what was read, and keeps the memory.
func (sc *scanner) release() {
	sc.opener.end()
	for i := range sc.own {
		f := &sc.own[i]
		clear(f.raw[:cap(f.raw)])
		clear(f.entries[:cap(f.entries)])
		if *f = (frame{raw: f.raw[:0], entries: f.entries[:0]}); cap(f.raw) > 2*frameSpaceSize {
			f.raw = nil
		}
	}
	sc.rows.reset()
	*sc = scanner{own: sc.own, rows: sc.rows}
	scanners.Put(sc)
}

// placeOf is where the view stands that a time row leads to; false: see callListed.
func placeOf(suffix, value []byte) (call, at ref, ok bool) {
	call = readRef(suffix[8:])
	switch {
	case value == nil || len(value) != 0 && len(value) != refSize:
		return call, at, false
	case len(value) == refSize:
		return call, readRef(value), true
	}
	return call, call, true
}

// read makes sc.call the call that a time row led to; false when it is not to be
// read so, for whatever reason. What it reads is as old as the scan at most.
func (sc *scanner) read(t tenantRaw, suffix, value []byte) bool {
	call, at, ok := placeOf(suffix, value)
	if !ok {
		return false
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
	id := sc.id.of(sc.s, t, call)
	c.ID, c.Versions = unsafe.String(unsafe.SliceData(id), len(id)), int(e.count)
	c.IngestedAt, c.UpdatedAt, c.ListedAt = time.UnixMicro(e.first).UTC(), time.UnixMicro(e.ingest).UTC(), time.UnixMicro(e.listed).UTC()
	return true
}

// frame finds a frame among those at hand, waits for it, or opens it in place of the
// oldest; nil when that fails.
func (sc *scanner) frame(t tenantRaw, chunk int64, number uint16) *frame {
	if sc.hand(chunk, number) {
		return sc.frames[sc.last]
	}
	if sc.opener.asked(chunk, number) {
		return sc.await(chunk, number)
	}
	sc.last, _ = sc.room()
	sc.until[sc.last] = sc.rows.given
	return sc.settle(sc.open(sc.last, t, chunk, number, sc.many(sc.opened)))
}

// many reports whether so many frames are more than a scan may open for itself alone.
func (sc *scanner) many(opened int) bool { return opened >= scanOpened+sc.rows.given/scanOften }

// hand makes a frame the last one, when it is at hand.
func (sc *scanner) hand(chunk int64, number uint16) bool {
	for i := range sc.frames {
		i = (sc.last + i) % scanFrames
		if f := sc.frames[i]; f != nil && f.chunk == chunk && f.number == number {
			sc.last, sc.until[i] = i, max(sc.until[i], sc.rows.given)
			return true
		}
	}
	return false
}

// room is the place of the frame that is done with soonest, and whether that is
// before the row whose turn it is. One that is being opened is never it.
func (sc *scanner) room() (slot int, free bool) {
	slot = -1
	for i, until := range sc.until {
		if (slot < 0 || until < sc.until[slot]) && !sc.opener.opens(i) {
			slot = i
		}
	}
	return slot, sc.until[slot] < sc.rows.given
}

// found is what became of opening a frame.
type found struct {
	slot  int    // of scanner.frames
	frame *frame // nil: that failed
	own   bool   // it was opened for this scan alone
}

// settle puts an opened frame at hand.
func (sc *scanner) settle(f found) *frame {
	if sc.frames[f.slot] = f.frame; f.own {
		sc.opened++
	}
	return f.frame
}

// open opens a frame into a slot's room, or finds it in a cache, or in its cover,
// which is kept opened; common: with the cache of point reads.
func (sc *scanner) open(slot int, t tenantRaw, chunk int64, number uint16, common bool) (out found) {
	out.slot = slot
	if held, _, ok := sc.s.frames.find(frameID{t, chunk, number, false}); ok {
		out.frame = held.frame
		return out
	}
	var err error
	if common {
		if out.frame, err = sc.s.frameAt(t, chunk, number); err != nil {
			out.frame = nil
		}
		return out
	}
	var buf [32]byte
	value, err := sc.s.engine.Get(frameKey(buf[:0], t, chunk, number))
	if err != nil || value == nil {
		return out
	}
	if _, covered := pointerIn(value); covered {
		if out.frame, err = sc.s.openCurrent(t, chunk, number, value); err != nil {
			out.frame = nil
		}
		return out
	}
	out.own = true
	if sc.s.openInto(&sc.own[slot], t, chunk, number, value) == nil {
		out.frame = &sc.own[slot]
	}
	return out
}
