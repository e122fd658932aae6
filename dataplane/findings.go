package dataplane

import (
	"slices"
	"sync"
)

// findings is what is against the rules in this region, as this node sees it:
// causes of the control plane's closed list, and no words of anybody.
type findings struct {
	mu  sync.Mutex
	now map[string]bool
}

// corruptValues: some of what is stored is not what was written.
const corruptValues = "CORRUPT_VALUES"

// set says whether a cause holds.
func (f *findings) set(cause string, holds bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now == nil {
		f.now = map[string]bool{}
	}
	if holds {
		f.now[cause] = true
	} else {
		delete(f.now, cause)
	}
}

// list is what holds, in order.
func (f *findings) list() (out []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for cause := range f.now {
		out = append(out, cause)
	}
	slices.Sort(out)
	return out
}

// foundCorrupt is called for each value that does not open.
func (n *Node) foundCorrupt(kind string) {
	n.corrupt.WithLabelValues(kind).Inc()
	n.found.set(corruptValues, true)
}
