package main

import (
	"io"
	"log/slog"
	"math"
	"runtime/debug"
	"testing"
)

func TestSoftLimit(t *testing.T) {
	for _, c := range []struct {
		configured int64
		allowed    uint64
		want       int64
	}{
		{0, 0, 0}, {-1, 8 << 30, 0}, {1 << 30, 0, 1 << 30}, {1 << 30, 512 << 20, 1 << 30},
		{0, 1000 << 20, 900<<20 - outside}, {0, 200 << 20, 90 << 20}, {0, math.MaxUint64, 1<<62/10*9 - outside},
	} {
		if got := softLimit(c.configured, c.allowed); got < c.want-16 || got > c.want {
			t.Errorf("%d of %d: %d, want %d", c.configured, c.allowed, got, c.want)
		}
	}
}

func TestLimitMemory(t *testing.T) {
	was := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(was) })
	t.Setenv("GOMEMLIMIT", "")
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	limitMemory(log, 3<<30)
	if got := debug.SetMemoryLimit(-1); got != 3<<30 {
		t.Errorf("memory_limit sets %d", got)
	}
	limitMemory(log, 0)
	if got := debug.SetMemoryLimit(-1); got <= 0 || got == 3<<30 || got == math.MaxInt64 {
		t.Errorf("by itself it sets %d", got)
	}
	t.Setenv("GOMEMLIMIT", "5GiB")
	debug.SetMemoryLimit(5 << 30)
	limitMemory(log, 3<<30)
	if got := debug.SetMemoryLimit(-1); got != 5<<30 {
		t.Errorf("GOMEMLIMIT does not count: %d", got)
	}
}
