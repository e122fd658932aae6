package feed

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/domicile-io/domicile/internal/failpoint"
)

// bootTime is CLOCK_BOOTTIME: Go's own monotonic clock stops in suspend, and a
// node that slept must not think that its bundle is fresh.
func bootTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return time.Since(started)
	}
	return time.Duration(ts.Nano()) + failpoint.Slept()
}

var started = time.Now()
