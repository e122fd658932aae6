// Package power takes the power, the disk, the keys, the clock and the control
// plane away from a region's node, a real process of a test build (see
// internal/failpoint), and holds what is there afterwards against what was
// acknowledged.
package power

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/domicile-io/domicile/internal/testcluster"
)

// bin is where the binaries are, built with their failpoints when a test first needs them.
var bin = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "domicile-bin")
	if err == nil {
		err = testcluster.Build(context.Background(), dir, "-tags", "failpoints")
	}
	return dir, err
})

func TestMain(m *testing.M) {
	if os.Getenv(childDir) != "" {
		testing.Init()
		os.Exit(child())
	}
	code := m.Run()
	if usedBin {
		if dir, err := bin(); err == nil {
			_ = os.RemoveAll(dir)
		}
	}
	os.Exit(code)
}

var usedBin bool

// until asks until done says so; a system that never gets there fails the test.
func until(t *testing.T, limit time.Duration, what string, done func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := done()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
