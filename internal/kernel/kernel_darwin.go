package kernel

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// BootTime is macOS's CLOCK_MONOTONIC, which goes on while the machine sleeps.
func BootTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return time.Since(started)
	}
	return time.Duration(ts.Nano())
}

// Datasync syncs the whole file: F_FULLFSYNC, as Go does.
func Datasync(f *os.File) error { return f.Sync() }

// Allocate writes zeros from the file's end to size.
func Allocate(f *os.File, size int64) error { return fill(f, size) }

// Uncached does nothing: reads may come out of memory.
func Uncached(*os.File) {}
