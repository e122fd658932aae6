package chaos

import (
	"math"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// object is what one register is of: "policy/TN…", "slug/…", "key/SK…", "region/…".
type object string

// verb of an operation.
type verb string

const (
	read   verb = "read"
	create verb = "create"
	swap   verb = "swap" // compare etag and set
	remove verb = "remove"
)

// input of an operation on one object.
type input struct {
	verb  verb
	match string // etag that swap and remove expect
	from  string // value that was read with that etag
	value string // that create and swap set
}

// output of an operation that was answered, or whose answer never came.
type output struct {
	result result
	value  string
	etag   string
}

type result string

const (
	done    result = "done"
	refused result = "refused" // read: absent; create: it exists; swap and remove: another etag, or absent
	unknown result = "unknown" // may take effect now, later or never
)

// history is all operations, by object.
type history struct {
	begin time.Time
	mu    sync.Mutex
	ops   map[object][]porcupine.Operation
}

func newHistory() *history {
	return &history{begin: time.Now(), ops: map[object][]porcupine.Operation{}}
}

func (h *history) now() int64 { return int64(time.Since(h.begin)) }

// add records an operation that was called at call and ends now. One of unknown
// outcome ends never.
func (h *history) add(client int, o object, call int64, in input, out output) {
	end := h.now()
	if out.result == unknown {
		end = math.MaxInt64 - 1
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops[o] = append(h.ops[o], porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: end})
}

func (h *history) objects() []object {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]object, 0, len(h.ops))
	for o := range h.ops {
		out = append(out, o)
	}
	return out
}

func (h *history) len() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ops := range h.ops {
		n += len(ops)
	}
	return n
}
