package local

import (
	"cmp"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// pebbleOptions: memtables of a size at which the log files that pebble keeps to
// use again, one more than it may have memtables, are a small part of the disk, and
// merges as rare as with larger ones, because more tables wait for one (ADR 0065); bloom filters, because most look-ups ask for
// calls that are not there. Tables that were merged are compressed: frames and tags
// are noise, which Snappy passes over, but times, places and what pebble notes of each
// row are not. What was only flushed is about to be merged and is not (ADR 0068).
func (e *engine) pebbleOptions(fs vfs.FS) *pebble.Options {
	e.fs = diskFS{failFS(cmp.Or(fs, vfs.Default)), &e.rest.fresh, e.logFailed, e.folderFailed}
	o := &pebble.Options{
		FormatMajorVersion:          pebble.FormatValueSeparation,
		MemTableSize:                6 << 20,
		MemTableStopWritesThreshold: 3,
		L0CompactionThreshold:       42,
		L0StopWritesThreshold:       168,
		LBaseMaxBytes:               256 << 20,
		CacheSize:                   128 << 20,
		BytesPerSync:                1 << 20,
		MaxOpenFiles:                1024,
		Logger:                      pebbleLogger{e},
		// One bad table does not stop the region: what is in it answers INTERNAL.
		EventListener: &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) { e.damaged() }, BackgroundError: e.workFailed},
		FS:            e.fs,
	}
	for i := range o.Levels {
		compression := block.SnappyCompression
		if i == 0 {
			compression = block.NoCompression
		}
		o.Levels[i] = pebble.LevelOptions{FilterPolicy: bloom.FilterPolicy(10), BlockSize: 16 << 10,
			Compression: func() *sstable.CompressionProfile { return compression }}
	}
	o.TargetFileSizes[0] = 16 << 20
	return o
}

// pebbleLogger passes only what an operator must know: pebble's messages may
// quote keys, and keys are nobody's business outside the region.
type pebbleLogger struct{ e *engine }

func (pebbleLogger) Infof(string, ...any) {}

func (l pebbleLogger) Errorf(format string, _ ...any) {
	l.e.log.Error("pebble reports an error", "message", format)
}

// Fatalf is pebble's last word: it cannot go on and must not be let go on.
func (l pebbleLogger) Fatalf(format string, args ...any) { l.e.lastWord(fmt.Errorf(format, args...)) }
