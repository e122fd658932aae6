//go:build !linux

package feed

import "time"

// bootTime is the monotonic clock of a developer's machine; regions run on Linux.
func bootTime() time.Duration { return time.Since(started) }

var started = time.Now()
