package policy

import (
	"flag"
	"os"
	"testing"
	"time"
)

// TestMain gives the properties enough tries to find planted bugs; the command
// line may still say otherwise.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "2000"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

var (
	ireland = Region{ID: "ie1", Boundary: "eu", Country: "IE", Cloud: "aws-eu-west-1", BackupRegion: "de1", Lifecycle: Active}
	germany = Region{ID: "de1", Boundary: "eu", Country: "DE", Cloud: "aws-eu-central-1", BackupRegion: "none", Lifecycle: ReadOnly}
	america = Region{ID: "us1", Boundary: "us", Country: "US", Cloud: "aws-us-east-1", BackupRegion: "none", Lifecycle: Active}
	japan   = Region{ID: "jp1", Boundary: "jp", Country: "JP", Cloud: "aws-ap-northeast-1", BackupRegion: "none", Lifecycle: Planned}
)

// Bases in every state: one that is open, one for an hour yet, one revoked, one run out.
var testBases = []TransferBasis{{ID: NoTransfer, State: BasisActive}, {ID: "SCC", State: BasisActive}, {ID: "BCR", State: BasisRevoked},
	{ID: "SHORT", State: BasisActive, ExpiresAt: ptr(testNow.Add(time.Hour))}, {ID: "PAST", State: BasisActive, ExpiresAt: ptr(testNow)}, {ID: "GONE", State: BasisExpired}}

func ptr[T any](v T) *T { return &v }

func testTopology(t testing.TB) *Topology {
	t.Helper()
	top, err := NewTopology([]Region{ireland, germany, america, japan})
	if err != nil {
		t.Fatal(err)
	}
	return top.WithBases(testBases)
}
