package local

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// pebbleOptions: a large memtable, because index rows arrive in random order;
// bloom filters, because most look-ups ask for calls that are not there; no
// compression, because frames are compressed and sealed and tags are random.
func (s *Store) pebbleOptions(fs vfs.FS) *pebble.Options {
	o := &pebble.Options{
		FormatMajorVersion:          pebble.FormatValueSeparation,
		MemTableSize:                64 << 20,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		LBaseMaxBytes:               256 << 20,
		CacheSize:                   128 << 20,
		BytesPerSync:                1 << 20,
		MaxOpenFiles:                1024,
		Logger:                      pebbleLogger{s},
		// One bad table does not stop the region: what is in it answers INTERNAL.
		EventListener: &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) { _ = s.corrupt(kindTable, nil) }},
		FS:            fs,
	}
	for i := range o.Levels {
		o.Levels[i] = pebble.LevelOptions{FilterPolicy: bloom.FilterPolicy(10), BlockSize: 16 << 10,
			Compression: func() *sstable.CompressionProfile { return block.NoCompression }}
	}
	o.TargetFileSizes[0] = 16 << 20
	return o
}

// pebbleLogger passes only what an operator must know: pebble's messages may
// quote keys, and keys are nobody's business outside the region.
type pebbleLogger struct{ s *Store }

func (pebbleLogger) Infof(string, ...any) {}

func (l pebbleLogger) Errorf(format string, _ ...any) {
	l.s.log.Error("pebble reports an error", "message", format)
}

// Fatalf is pebble's last word: it cannot go on and must not be let go on. The
// store stops acknowledging, and the process dies as pebble asks.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	_ = l.s.fail(fmt.Errorf(format, args...))
	os.Exit(exitStorage)
}

// exitStorage is the exit code of a process whose storage engine gave up.
const exitStorage = 74 // EX_IOERR of sysexits.h

// checkMeta writes the store's own rows at first, and compares them later.
func (s *Store) checkMeta() error {
	mac := hmac.New(sha256.New, s.indexKey[:])
	mac.Write([]byte("domicile index check"))
	want := []struct {
		name  string
		value []byte
		wrong string
	}{
		{"m/schema", binary.BigEndian.AppendUint32(nil, schema), "it was written by another version of the program"},
		{"m/region", []byte(s.region), "it belongs to another region"},
		{"m/index-check", mac.Sum(nil), "the keyring is not the one that its indexes were made with: put the right keyring back"},
	}
	b := s.db.NewBatch()
	defer b.Close()
	_, closer, err := s.db.Get([]byte(want[0].name))
	known := err == nil
	if known {
		_ = closer.Close()
	}
	for _, w := range want {
		got, err := s.get(kindMeta, []byte(w.name))
		if err != nil {
			return err
		}
		if got == nil && !known {
			if err := b.Set([]byte(w.name), w.value, nil); err != nil {
				return err
			}
			continue
		}
		if !bytes.Equal(got, w.value) {
			return fmt.Errorf("row %s is not as expected: %s", w.name, w.wrong)
		}
	}
	if known {
		return nil
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return err
	}
	// A new store's first log is of an older format, without the offsets that
	// checkLogs needs. Flushing begins another.
	return s.db.Flush()
}
