package cli

import (
	"strings"
	"testing"
)

// Of a new cluster's catalogue an operator serves some regions: what to type about
// the others is said, and nobody is sent to the log of a node that there is not.
func TestStatusTellsARegionThatNobodyHasFromOneThatIsDown(t *testing.T) {
	for seen, next := range map[bool]string{false: "domicile regions put au1 --stage draining", true: "log of the region's node"} {
		h := &health{}
		h.silent("au1", seen)
		if f := h.Findings; len(f) != 1 || !f[0].Bad || !strings.Contains(f[0].What, "au1") || !strings.Contains(f[0].Type, next) {
			t.Errorf("seen %v: %+v; want %q", seen, f, next)
		}
	}
}
