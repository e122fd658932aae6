package local_test

import (
	"errors"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// toggled fails syncs of the log while it is on.
type toggled struct{ on atomic.Bool }

func (f *toggled) MaybeError(op errorfs.Op) error {
	if f.on.Load() && strings.HasSuffix(op.Path, ".log") {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo, errorfs.OpFileWrite:
			return errors.New("injected: the disk does not sync")
		}
	}
	return nil
}

func (f *toggled) String() string { return "toggled" }
