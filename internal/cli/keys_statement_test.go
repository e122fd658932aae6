package cli

import (
	"testing"
	"time"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// A number rises, goes with the time, and is never taken from a control plane that
// would have the tenant use up all that there are.
func TestNumbersOfSignedKeys(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	ms := uint64(now.UnixMilli())
	for name, c := range map[string]struct{ newest, want uint64 }{
		"the first":               {0, ms},
		"after an older one":      {ms - 5, ms},
		"after one of this time":  {ms, ms + 1},
		"of a clock that is fast": {ms + 60_000, ms + 60_001},
		"a year ahead":            {ms + uint64(farAhead.Milliseconds()), 0},
		"the last that there is":  {1<<53 - 2, 0},
		"beyond":                  {1<<64 - 1, 0},
	} {
		got, err := nextKeyNumber(&controlv1.ListSigningKeysResponse{NewestApiKey: c.newest}, now)
		if got != c.want || (err != nil) != (c.want == 0) {
			t.Errorf("%s: %d, %v; want %d", name, got, err, c.want)
		}
	}
}
