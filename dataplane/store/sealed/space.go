package sealed

import (
	"sync"

	"github.com/domicile-io/domicile/dataplane/record"
)

// What a group needs for a moment and in the same sizes again and again is kept
// for the next one: of 12 KB of memory for each record that was new garbage, so
// that collecting it was a tenth of the cost of ingest, 2 are left. What held
// something personal is overwritten before it is kept.

// frameSpaces hold the plaintext of a frame, or what was sealed of it.
var frameSpaces sync.Pool // *[]byte

const frameSpaceSize = frameTarget + 8<<10

// frameSpace is an empty slice with room for a frame of the usual size.
func frameSpace() []byte {
	if b, ok := frameSpaces.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, frameSpaceSize)
}

// putFrameSpace takes back what frameSpace gave, unless it had to grow far.
func putFrameSpace(b []byte) {
	if cap(b) >= frameTarget && cap(b) <= 2*frameSpaceSize {
		frameSpaces.Put(&b)
	}
}

// noiseSpaces hold what is random in a frame.
var noiseSpaces = sync.Pool{New: func() any { return new([]byte) }}

// noiseSpace is empty; so little that comes back too long is let go.
func noiseSpace() []byte {
	b, _ := noiseSpaces.Get().(*[]byte)
	return (*b)[:0]
}

// forget gives back the plaintext of a frame that is sealed.
func (f *sealedFrame) forget() {
	clear(f.plain.Text)
	putFrameSpace(f.plain.Text)
	clear(f.plain.Noise)
	if b := f.plain.Noise; cap(b) <= frameTarget {
		noiseSpaces.Put(&b)
	}
	f.plain = record.Form{}
}

// callSpace holds the states of the calls that a group began.
type callSpace struct {
	slabs []*callSlab
	used  int // of the last slab
}

// callSlab holds some states with their views and first events.
type callSlab [64]struct {
	state foldState
	view  entry
	event [1]foldEvent
}

var callSlabs = sync.Pool{New: func() any { return new(callSlab) }}

// next is a state with an empty view and room for an event; it is the group's
// until release.
func (c *callSpace) next() *foldState {
	if len(c.slabs) == 0 || c.used == len(c.slabs[0]) {
		slab, _ := callSlabs.Get().(*callSlab)
		c.slabs, c.used = append(c.slabs, slab), 0
	}
	x := &c.slabs[len(c.slabs)-1][c.used]
	c.used++
	x.state.view, x.state.row.events = &x.view, x.event[:0:1]
	return &x.state
}

func (c *callSpace) release() {
	for _, slab := range c.slabs {
		*slab = callSlab{}
		callSlabs.Put(slab)
	}
	c.slabs = nil
}
