package server

import "sync"

// pagesHeld are the pages of one file that exist at once: one is read while the
// other is written.
const pagesHeld = 2

// pageSpaces hold pages; what was personal in them is overwritten.
var pageSpaces = sync.Pool{New: func() any { b := make([]byte, 0, pageBytes+64<<10); return &b }}

// pageRoom is where the pages of one file are written, one behind the other in the
// same memory. Nobody else gets it before end has overwritten it.
type pageRoom struct{ free chan []byte }

func newPageRoom() *pageRoom { return &pageRoom{make(chan []byte, pagesHeld)} }

// take gives an empty page.
func (r *pageRoom) take() []byte {
	select {
	case b := <-r.free:
		return b
	default:
		space, _ := pageSpaces.Get().(*[]byte)
		return *space
	}
}

// put takes it back.
func (r *pageRoom) put(b []byte) {
	if cap(b) == 0 {
		return
	}
	select {
	case r.free <- b[:0]:
	default:
		forgetPage(b)
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
	if b = b[:0]; cap(b) <= 2*pageBytes {
		pageSpaces.Put(&b)
	}
}
