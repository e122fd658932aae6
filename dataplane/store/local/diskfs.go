package local

import (
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// diskFS makes pebble a better neighbour (ADR 0065, 0066). Its log files have the
// blocks that they were written to and no more: pebble asks for 110 % of a memtable's
// size ahead, of which a log never fills the half, because a memtable holds each row
// with a node of a list and a log does not. And whoever writes tables lets others have
// the processor after each block.
type diskFS struct {
	vfs.FS
	fresh  *atomic.Bool // see rest
	failed func(error)  // told of what fails with a log, and
	folder func(error)  // with a folder
}

// Create implements vfs.FS.
func (f diskFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return f.neighbour(name)(f.FS.Create(name, category))
}

// ReuseForWrite implements vfs.FS.
func (f diskFS) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return f.neighbour(name)(f.logAgain(old, name, category))
}

// OpenDir implements vfs.FS. A log is there when its folder is synced.
func (f diskFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return file, err
	}
	return toldFile{file, f.folder}, nil
}

// Unwrap implements vfs.FS.
func (f diskFS) Unwrap() vfs.FS { return f.FS }

func (f diskFS) neighbour(name string) func(vfs.File, error) (vfs.File, error) {
	return func(file vfs.File, err error) (vfs.File, error) {
		switch {
		case err != nil && strings.HasSuffix(name, ".log"):
			f.failed(err)
			return file, err
		case err != nil:
			return file, err
		case strings.HasSuffix(name, ".log"):
			return plainLog{toldFile{file, f.failed}}, nil
		case strings.HasSuffix(name, ".sst"):
			return politeTable{file}, nil
		}
		return file, nil
	}
}

// toldFile is a file of which somebody is told what fails.
type toldFile struct {
	vfs.File
	failed func(error)
}

func (f toldFile) tell(err error) error {
	if err != nil {
		f.failed(err)
	}
	return err
}

// Write implements vfs.File.
func (f toldFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	return n, f.tell(err)
}

// Sync implements vfs.File.
func (f toldFile) Sync() error { return f.tell(f.File.Sync()) }

// SyncData implements vfs.File.
func (f toldFile) SyncData() error { return f.tell(f.File.SyncData()) }

// SyncTo implements vfs.File.
func (f toldFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	return full, f.tell(err)
}

// Close implements vfs.File.
func (f toldFile) Close() error { return f.tell(f.File.Close()) }

// plainLog is a log file that takes no blocks ahead.
type plainLog struct{ toldFile }

// Preallocate implements vfs.File.
func (plainLog) Preallocate(int64, int64) error { return nil }

// politeTable is a table being written, by a flush or a merge. Parsers and the
// building of groups let others have their processor many times for each batch; a merge
// that kept it for the scheduler's 10 ms each time would have nearly all of it, and
// ingest would stand for as long as the merge takes.
type politeTable struct{ vfs.File }

// Write implements vfs.File.
func (f politeTable) Write(b []byte) (int, error) {
	runtime.Gosched()
	return f.File.Write(b)
}
