//go:build !failpoints

package failpoint

import "time"

// At marks a moment.
func At(string) {}

// Slept is added to the clocks by which a node judges how old its policy and keys are.
func Slept() time.Duration { return 0 }
