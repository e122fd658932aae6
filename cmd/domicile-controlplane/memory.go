package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// garbage is how much a voter may leave for the collector, in percent of what it
// holds: it holds little (the state is a mapped file) and makes much that dies with
// its request, so Go's own 100 would have it collect many times a second.
const garbage = 400

// roomAtLeast is below what memory the collector is left alone. A flood raises what
// is held, and with it, five times over, what garbage may take; from here on it may
// take no more than is held once more.
const roomAtLeast = 192 << 20

// room is the soft limit of memory for what is held, in bytes.
func room(held uint64) int64 { return max(roomAtLeast, 2*int64(held)) }

// collectLess sets both, unless the operator has chosen by GOGC or GOMEMLIMIT.
func collectLess(ctx context.Context) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetMemoryLimit(roomAtLeast)
	go func() {
		for {
			select {
			case <-time.After(time.Second):
				debug.SetMemoryLimit(room(held()))
			case <-ctx.Done():
				return
			}
		}
	}()
}

// held is what the last collection found in use, and what the runtime keeps beside
// it, such as stacks.
func held() (sum uint64) {
	all := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(all)
	for _, s := range all {
		if s.Value.Kind() == metrics.KindUint64 {
			sum += s.Value.Uint64()
		}
	}
	return sum
}
