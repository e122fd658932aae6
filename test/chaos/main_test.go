// Package chaos runs the control plane as its operators do, breaks everything
// around it by a seed, and checks that nothing that was promised was broken:
// linearizable reads and writes, one effect per idempotency key, ordered watches
// without a gap, equal state on every voter.
//
//	go test ./test/chaos                  the short form, about a minute
//	make chaos                            200 witnessed faults
//	make planted-bugs                     every planted bug must be caught
//
// A run prints its seed; -chaos.seed repeats the schedule of faults and the
// clients' choices (not the scheduling of the machine).
package chaos

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/domicile-io/domicile/internal/testcluster"
)

var (
	seedFlag   = flag.Uint64("chaos.seed", 0, "seed of the faults; 0 draws one")
	faultsFlag = flag.Int("chaos.faults", 0, "witnessed faults to reach; 0 is the short form, which ends by time")
	gateFlag   = flag.Float64("chaos.gate", 150, "acknowledged operations per second during faults below which the run is void")
	onlyFlag   = flag.String("chaos.only", "", "comma-separated kinds of faults; empty is all")
	keepFlag   = flag.String("chaos.keep", "", "folder that keeps data and logs of the voters; empty is a temporary one")
)

// shortRun is how long the short form breaks things.
const shortRun = 32 * time.Second

// bin is where the binaries are, built once.
var bin string

func TestMain(m *testing.M) {
	flag.Parse()
	if *planted {
		os.Exit(m.Run()) // each planted bug builds its own
	}
	os.Exit(testcluster.BuildAndRun(&bin, m.Run))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
