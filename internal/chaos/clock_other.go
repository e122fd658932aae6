//go:build !(linux && amd64)

package chaos

import (
	"errors"
	"time"
)

// HasClock reports whether JumpClock can work here.
func HasClock() bool { return false }

// Clock is the changed wall clock of one running process.
type Clock struct{}

// JumpClock works on Linux with amd64 only.
func JumpClock(int, time.Duration) (*Clock, error) {
	return nil, errors.New("another process's clock can be set on Linux with amd64 only")
}

// End does nothing.
func (*Clock) End() error { return nil }
