// Package attacks floods a voter that runs as its operators run it, a process of
// its own, and measures what its other clients and its memory have of it.
package attacks

import (
	"os"
	"testing"

	"github.com/domicile-io/domicile/internal/testcluster"
)

// bin is where the binaries are, built once.
var bin string

func TestMain(m *testing.M) { os.Exit(testcluster.BuildAndRun(&bin, m.Run)) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
