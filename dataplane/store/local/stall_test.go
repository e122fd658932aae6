package local_test

import (
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// stall is a disk whose log syncs hang, or fail, while it is armed.
type stall struct {
	hang  func() error
	armed *atomic.Bool
}

func (s stall) MaybeError(op errorfs.Op) error {
	if s.armed.Load() && strings.HasSuffix(op.Path, ".log") {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			return s.hang()
		}
	}
	return nil
}

func (stall) String() string { return "stall" }

func stalled(armed *atomic.Bool, hang func() error) vfs.FS {
	return errorfs.Wrap(vfs.Default, stall{hang, armed})
}
