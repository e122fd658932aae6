package local_test

import (
	"testing"

	"github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
)

// TestMergedConformance is the conformance suite over a store in which what is
// small is merged between all steps.
func TestMergedConformance(t *testing.T) {
	storetest.RunMerged(t, func(t *testing.T, o storetest.Options) storetest.Reopenable {
		s, keys, stop := openKeyed(t, o.Dir, func(l *local.Options) { l.Now = o.Now })
		return storetest.Reopenable{Store: s, Keys: keys, Stop: stop}
	})
}
