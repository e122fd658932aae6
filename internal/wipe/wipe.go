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
	"unsafe"
)

const (
	// fills is how often the free places of every size are taken: pages that another
	// processor had at hand in the meantime are missed.
	fills = 2
	// mostFill bounds what is taken of one size, in bytes, beside a process that
	// goes on allocating.
	mostFill = 64 << 20
	// window is how many bytes of one size are taken between two questions whether they
	// were free places: more than two spans of the largest kind.
	window = 256 << 10
	// fresh is by how much what is in use grows over a window when it was not: all but
	// the span that was begun before.
	fresh = window / 4 * 3
	// header is what stands before what has pointers and more than headed bytes, and what
	// is left of the largest place in any case (runtime/malloc.go).
	header, headed = 8, 512
	mostSmall      = 32<<10 - header
	// pagesAtHand is more than a processor keeps (64), of the runtime's size of a page.
	pagesAtHand = 2 * 64
	pageSize    = 8 << 10
	// gather is for how long processors wait for each other.
	gather = 2 * time.Millisecond
)

var one sync.Mutex // two at once would only get in each other's way

// Free collects, gives free pages back to the system, and overwrites free places in
// pages that stay. It takes as long as five collections and a copy of the heap's free
// places, and beside these some windows of memory for each size, which the collector
// may take back at once. The process goes on meanwhile, slower.
func Free() {
	one.Lock()
	defer one.Unlock()
	debug.FreeOSMemory() // and once more: what a sync.Pool held survives the first
	for range fills {
		debug.FreeOSMemory()
		fill()
		everywhere(pages)
	}
	debug.FreeOSMemory() // and once more: the collector's own pages are free after it
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

// fill takes free places of every size, with and without pointers. What is smaller than
// 16 bytes and has no pointers stands in places of 16.
func fill() {
	for _, size := range sizes() {
		if size < 16 {
			continue
		}
		plain, words := min(size, mostSmall), size/8
		if size > headed {
			words = (size - header) / 8
		}
		take(size, func() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(make([]byte, plain))) })
		take(size, func() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(make([]*byte, words))) })
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

// take takes places of one size until new ones would have to be made. To hold one costs
// a word, in memory that is there before it is asked how much is in use: else what is
// taken to hold many small places would look like new ones of theirs.
func take(size int, one func() unsafe.Pointer) {
	var held [][]unsafe.Pointer
	for taken := 0; taken < mostFill; taken += window {
		some := make([]unsafe.Pointer, window/size)
		held = append(held, some)
		before := inUse()
		for i := range some {
			some[i] = one()
		}
		if inUse() >= before+fresh {
			break
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
