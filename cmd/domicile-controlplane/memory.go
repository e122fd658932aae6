package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Bounds of how much a voter may leave for the collector, in percent of what it
// holds: it holds little (the state is a mapped file) and makes much that dies with
// its request, so Go's own 100 would have it collect many times a second. One that
// holds very little may leave more, up to quiet, which is what it may take anyway.
const (
	garbage     = 400
	garbageMost = 1500
	quiet       = 128 << 20
)

// percent is what may be left beside what is held, in bytes.
func percent(held uint64) int {
	return int(min(garbageMost, max(garbage, 100*quiet/(held+1))))
}

// roomAtLeast is below what memory the collector is left alone. A flood raises what
// is held, and with it, five times over, what garbage may take; from here on it may
// take no more than is held once more.
const roomAtLeast = 192 << 20

// room is the soft limit of memory for what is held, in bytes.
func room(held uint64) int64 { return max(roomAtLeast, 2*int64(held)) }

// collectLess sets both, unless the operator has chosen by GOGC or GOMEMLIMIT.
func collectLess(ctx context.Context) {
	share, limit := os.Getenv("GOGC") == "", os.Getenv("GOMEMLIMIT") == ""
	last := garbage
	if share {
		debug.SetGCPercent(last)
	}
	if limit {
		debug.SetMemoryLimit(roomAtLeast)
	}
	if !share && !limit {
		return
	}
	go func() {
		for {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return
			}
			now := held()
			if limit {
				debug.SetMemoryLimit(room(now))
			}
			// Setting it stops the world for a moment: not for a small difference.
			if next := percent(now); share && (next < last*3/4 || next > last*5/4) {
				last = next
				debug.SetGCPercent(last)
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
