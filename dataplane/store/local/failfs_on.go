//go:build failpoints

package local

import (
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/domicile-io/domicile/internal/failpoint"
)

// failFS marks the moment before each operation of pebble that changes the disk
// ("pebble/write log", "pebble/sync sst", "pebble/rename manifest", …), in the build
// of tests: so a cut falls within flushes, compactions and recovery, too.
func failFS(fs vfs.FS) vfs.FS {
	if fs == nil {
		fs = vfs.Default
	}
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if name := operations[op.Kind]; name != "" {
			failpoint.At("pebble/" + name + " " + fileKind(op.Path))
		}
		return nil
	}))
}

var operations = map[errorfs.OpKind]string{
	errorfs.OpCreate: "create", errorfs.OpReuseForWrite: "create", errorfs.OpRemove: "remove", errorfs.OpRename: "rename",
	errorfs.OpFileWrite: "write", errorfs.OpFileWriteAt: "write",
	errorfs.OpFileSync: "sync", errorfs.OpFileSyncData: "sync", errorfs.OpFileSyncTo: "sync",
}

func fileKind(path string) string {
	switch base := filepath.Base(path); {
	case strings.HasPrefix(base, "MANIFEST-"):
		return "manifest"
	case strings.HasPrefix(base, "OPTIONS-"):
		return "options"
	case strings.HasPrefix(base, "marker."):
		return "marker"
	case strings.HasSuffix(base, ".sst"):
		return "sst"
	case strings.HasSuffix(base, ".log"):
		return "log"
	case !strings.Contains(base, "."):
		return "folder"
	}
	return "other"
}
