package main

import (
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// outside is what the record store's cache takes beside what the collector counts.
const outside = 128 << 20

// softLimit is up to how many bytes the collector lets the process grow before it
// works harder than it must. configured is memory_limit; 0: nine tenths of allowed,
// without what lies outside of the collector's sight; negative, or with nothing
// known: none.
func softLimit(configured int64, allowed uint64) int64 {
	switch {
	case configured < 0 || configured == 0 && allowed == 0:
		return 0
	case configured > 0:
		return configured
	}
	limit := int64(min(allowed, 1<<62)) / 10 * 9
	return max(limit-outside, limit/2)
}

// limitMemory sets the soft limit, unless the operator has by GOMEMLIMIT.
func limitMemory(log *slog.Logger, configured int64) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	allowed, from := uint64(0), "machine"
	if n, err := memlimit.FromSystem(); err == nil {
		allowed = n
	}
	if n, err := memlimit.FromCgroup(); err == nil && n > 0 && (allowed == 0 || n < allowed) {
		allowed, from = n, "cgroup"
	}
	if configured != 0 {
		from = "memory_limit"
	}
	limit := softLimit(configured, allowed)
	if limit == 0 {
		return
	}
	debug.SetMemoryLimit(limit)
	log.Info("memory has a soft limit", "bytes", limit, "from", from)
}
