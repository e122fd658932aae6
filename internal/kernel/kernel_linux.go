package kernel

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// BootTime is CLOCK_BOOTTIME: it never jumps and goes on while the machine sleeps,
// which Go's own monotonic clock does not.
func BootTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return time.Since(started)
	}
	return time.Duration(ts.Nano())
}

// Datasync makes a file's content and size durable, but not its times.
func Datasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Allocate gives a file at least size bytes of the disk that nobody else can take.
// What it held stays.
func Allocate(f *os.File, size int64) error { return unix.Fallocate(int(f.Fd()), 0, 0, size) }

// Uncached lets the kernel forget what it has of a synced file in memory, so that the
// next read is of the disk.
func Uncached(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }
