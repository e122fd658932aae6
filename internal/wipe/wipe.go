// Package wipe overwrites memory that this process has let go.
//
// Go's collector frees what nothing leads to, and leaves its bytes where they are
// until somebody else gets the place. A page that is free as a whole goes back to
// the system, which gives it out as zeros; a free place in a page that others still
// use stays as it was, for hours in a node that rests. So after the collection each
// size of place is taken until none is left that was used before, and let go again.
//
// What it does not reach: what is still in use (buffers of connections that are open,
// of encoders that are kept), goroutines' stacks, registers, what the system wrote to
// swap or to a core file.
package wipe

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// fills is how often the free places of every size are taken: pages that another
	// processor had at hand in the meantime are missed.
	fills = 2
	// mostFill bounds what is taken of one size, in bytes, beside a process that
	// goes on allocating.
	mostFill = 64 << 20
	// freshSpan is by how much what is in use grows when a size has no free place
	// left: two spans of the largest kind.
	freshSpan = 256 << 10
	// pagesAtHand is more than a processor keeps (64), of the runtime's size of a page.
	pagesAtHand = 2 * 64
	pageSize    = 8 << 10
	// gather is for how long processors wait for each other.
	gather = 2 * time.Millisecond
	// askEvery is how many bytes are taken between two questions how much is in use.
	askEvery = 64 << 10
)

var one sync.Mutex // two at once would only get in each other's way

// Free collects, gives free pages back to the system, and overwrites free places in
// pages that stay. It takes as long as two collections and a copy of the heap's free
// places: tens of milliseconds for each 100 MiB. The process goes on meanwhile.
func Free() {
	one.Lock()
	defer one.Unlock()
	debug.FreeOSMemory() // twice: what a sync.Pool held survives the first
	debug.FreeOSMemory()
	for range fills {
		fill()
		everywhere(pages)
		runtime.GC()
	}
	debug.FreeOSMemory()
}

// pages takes those free pages that a processor keeps at hand, which do not go back
// to the system.
func pages() {
	held := make([][]byte, 0, pagesAtHand)
	for range pagesAtHand {
		held = append(held, make([]byte, pageSize))
	}
	runtime.KeepAlive(held)
}

// everywhere does something on each processor of the runtime's that is not busy with
// other work: what is busy takes its pages itself.
func everywhere(do func()) {
	var here atomic.Int32
	var all sync.WaitGroup
	until := time.Now().Add(gather)
	n := int32(runtime.GOMAXPROCS(0))
	for range n {
		all.Go(func() {
			for here.Add(1); here.Load() < n && time.Now().Before(until); {
			}
			do()
		})
	}
	all.Wait()
}

// fill takes free places of every size, with and without pointers.
func fill() {
	for _, size := range sizes() {
		take(size, func() any { return make([]byte, size) })
		if size >= 16 {
			take(size, func() any { return make([]*byte, size/8) })
		}
	}
}

// sizes are those of the runtime's places. It names all but the largest few
// (runtime/sizeclasses.go); a size that is none takes a place of the next one.
var sizes = sync.OnceValue(func() (out []int) {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	for _, class := range stats.BySize {
		if class.Size > 0 {
			out = append(out, int(class.Size))
		}
	}
	return append(out, 19072, 20480, 21760, 24576, 27264, 28672, 32768)
})

// take takes places of one size until new ones would have to be made.
func take(size int, one func() any) {
	before := inUse()
	var held []any
	for taken, asked := 0, 0; taken < mostFill; taken += size {
		held = append(held, one())
		if asked += size; asked >= askEvery {
			if asked = 0; inUse() > before+freshSpan+32*uint64(cap(held)) { // held itself, and what it outgrew
				break
			}
		}
	}
	runtime.KeepAlive(held)
}

// inUse is how many bytes of pages hold objects, free places among them included.
func inUse() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64() + sample[1].Value.Uint64()
}
