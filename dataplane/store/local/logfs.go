package local

import (
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// logFS lets pebble's log files have the blocks that they were written to and no
// more. Pebble asks for 110 % of a memtable's size ahead, of which a log never fills
// the half: a memtable holds each row with a node of a list, a log does not.
type logFS struct{ vfs.FS }

// Create implements vfs.FS.
func (f logFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return asItIs(name)(f.FS.Create(name, category))
}

// ReuseForWrite implements vfs.FS.
func (f logFS) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return asItIs(name)(f.FS.ReuseForWrite(old, name, category))
}

// Unwrap implements vfs.FS.
func (f logFS) Unwrap() vfs.FS { return f.FS }

func asItIs(name string) func(vfs.File, error) (vfs.File, error) {
	return func(file vfs.File, err error) (vfs.File, error) {
		if err != nil || !strings.HasSuffix(name, ".log") {
			return file, err
		}
		return plainLog{file}, nil
	}
}

// plainLog is a log file that takes no blocks ahead.
type plainLog struct{ vfs.File }

// Preallocate implements vfs.File.
func (plainLog) Preallocate(int64, int64) error { return nil }
