//go:build !linux && !darwin

package kernel

import (
	"os"
	"time"
)

// BootTime is Go's monotonic clock; whether it goes on in sleep, the system decides.
func BootTime() time.Duration { return time.Since(started) }

// Datasync syncs the whole file.
func Datasync(f *os.File) error { return f.Sync() }

// Allocate writes zeros from the file's end to size.
func Allocate(f *os.File, size int64) error { return fill(f, size) }

// Uncached does nothing: reads may come out of memory.
func Uncached(*os.File) {}
