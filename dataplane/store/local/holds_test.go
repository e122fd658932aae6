package local_test

import (
	"testing"

	"github.com/domicile-io/domicile/dataplane/store/storetest"
)

func TestINV24_AHoldWaitsForTheCommit(t *testing.T) {
	s, keys, _ := openKeyed(t, t.TempDir(), nil)
	storetest.HoldWaits(t, s.Engine(), nil, keys, func() bool {
		return storetest.Waits("(*tenant).heldBy", "sync.RWMutex.Lock") || storetest.Waits("(*tenant).applyItem", "sync.Mutex.Lock")
	})
}
