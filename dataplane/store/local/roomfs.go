package local

import "github.com/cockroachdb/pebble/v2/vfs"

// mergeCategory is what pebble says of the tables that a merge writes.
const mergeCategory vfs.DiskWriteCategory = "pebble-compaction"

// roomFS asks for room when a write finds none, and says whether it can wait: a
// merge of tables is begun again later, while a log or a manifest that cannot be
// written ends the process, and a memtable that cannot be written stops the writes.
type roomFS struct {
	vfs.FS
	merges vfs.FS
}

func withRoom(fs vfs.FS, noRoom func(patient bool)) vfs.FS {
	if noRoom == nil {
		return fs
	}
	if fs == nil {
		fs = vfs.Default
	}
	return roomFS{vfs.OnDiskFull(fs, func() { noRoom(false) }), vfs.OnDiskFull(fs, func() { noRoom(true) })}
}

// Create implements vfs.FS.
func (f roomFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if category == mergeCategory {
		return f.merges.Create(name, category)
	}
	return f.FS.Create(name, category)
}

// Unwrap implements vfs.FS.
func (f roomFS) Unwrap() vfs.FS { return f.FS }
