// Package kernel asks the operating system for what it calls differently on each:
// clocks, durable writes, room, locks.
//
// Voters and nodes run on Linux. The command line and `domicile dev` also run on a
// developer's macOS, the command line alone on Windows; what those kernels cannot do
// is done the slower or the simpler way, and each function says which.
package kernel

import "time"

var started = time.Now()
