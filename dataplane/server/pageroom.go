package server

import (
	"sync"
	"time"
)

// pagesHeld are the pages of one file that exist at once: one is read and one written
// while two wait.
const pagesHeld = 4

// pageSpaces hold pages; what was personal in them is overwritten.
var pageSpaces = sync.Pool{New: func() any { b := make([]byte, 0, pageBytes+64<<10); return &b }}

// pageRoom is where the pages of one file are written, one behind the other in the
// same memory. Nobody else gets it before end has overwritten it.
type pageRoom struct{ free chan []byte }

func newPageRoom() *pageRoom {
	r := &pageRoom{make(chan []byte, pagesHeld)}
	for range pagesHeld {
		r.free <- nil
	}
	return r
}

// take gives an empty page; it waits for one until stop is closed, or as long as
// most (nil: for ever), and then gives none.
func (r *pageRoom) take(stop <-chan struct{}, most *time.Duration) (b []byte, ok bool) {
	select {
	case b = <-r.free:
	default:
		if b, ok = r.wait(stop, most); !ok {
			return nil, false
		}
	}
	if b == nil {
		space, _ := pageSpaces.Get().(*[]byte)
		b = *space
	}
	return b, true
}

func (r *pageRoom) wait(stop <-chan struct{}, most *time.Duration) ([]byte, bool) {
	var late <-chan time.Time
	if most != nil {
		timer := time.NewTimer(*most)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case b := <-r.free:
		return b, true
	case <-stop:
	case <-late:
	}
	return nil, false
}

// put takes it back.
func (r *pageRoom) put(b []byte) {
	if cap(b) > 0 {
		r.free <- b[:0]
	}
}

// end is called when no page is being read or written any more.
func (r *pageRoom) end() {
	for {
		select {
		case b := <-r.free:
			forgetPage(b)
		default:
			return
		}
	}
}

func forgetPage(b []byte) {
	clear(b[:cap(b)])
	if b = b[:0]; cap(b) > 0 && cap(b) <= 2*pageBytes {
		pageSpaces.Put(&b)
	}
}
