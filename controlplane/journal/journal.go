// Package journal keeps a numbered list of records durable: the Raft log of one
// voter. Append returns once its records are synced; what Append returned for is
// still there after a crash, or Open says that it is not.
//
// Records stand in files of one size that were filled with zeros and synced
// before their first record, so that appending changes no metadata of the file
// and a sync is one write to the disk. Each record carries its number, that of
// its batch, and a checksum over all of it.
//
// A record's batch is the first number that was not synced when the record was
// written. A crash may leave the last batches in pieces, but nothing that a later
// record's batch says to have been synced. So Open can tell what a crash cut short
// from what the disk lost, which decides whether a voter may go on: see scan.go
// and mark.go.
package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/domicile-io/domicile/internal/kernel"
)

// Options of a journal.
type Options struct {
	Dir         string // made when missing; owned by one process
	SegmentSize int    // bytes of one file; 0: 16 MiB
}

// MaxRecord is the greatest record, in bytes.
const MaxRecord = 8 << 20

const defaultSegment = 16 << 20

// ErrNotFound is the answer for a record that is not in the journal: it was
// dropped, or was never there.
var ErrNotFound = errors.New("no such record in the journal")

// ErrDamaged is in the chain of every error that says that the disk does not hold
// what was synced. Whoever meets it must not go on with this journal.
var ErrDamaged = errors.New("the journal is damaged")

// Journal is an open journal. Methods are safe for concurrent use. After an error
// of Write, Append, Sync, TruncateAfter or DropBefore nobody knows what is on disk:
// stop.
type Journal struct {
	dir  string
	size int

	write sync.Mutex // held by whoever changes the files; taken before flush
	flush sync.Mutex // held while the last file is synced, and while files are removed; taken before mu
	mark  *mark
	spare *spare
	durable
	syncFile func(*os.File) error // kernel.Datasync; tests let it fail

	mu       sync.RWMutex // guards what follows, not the files' content
	segments []*segment   // in order; the last one is appended to
	dropped  uint64       // records below are gone, though their file may stand until all of it is
}

// Open opens the journal in a folder, or makes an empty one, and reads all of
// it. ErrDamaged when it does not hold what had been synced.
func Open(o Options) (*Journal, error) {
	if o.SegmentSize == 0 {
		o.SegmentSize = defaultSegment
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the journal's folder: %w", err)
	}
	names, err := segmentFiles(o.Dir)
	if err != nil {
		return nil, err
	}
	j := &Journal{dir: o.Dir, size: o.SegmentSize, durable: newDurable(), syncFile: kernel.Datasync}
	if j.mark, err = openMark(filepath.Join(o.Dir, "synced"), len(names) == 0); err != nil {
		return nil, err
	}
	if err := j.load(names); err != nil {
		return nil, errors.Join(err, j.closeFiles())
	}
	// A process that was killed may have left records that it had written and not
	// synced. From now on they count.
	if err := j.Sync(); err != nil {
		return nil, errors.Join(err, j.closeFiles())
	}
	j.spare = newSpare(o.Dir, o.SegmentSize)
	return j, nil
}

// First is the number of the first record; 0 when there is none.
func (j *Journal) First() uint64 {
	j.mu.RLock()
	defer j.mu.RUnlock()
	if j.last() == 0 {
		return 0
	}
	return max(j.segments[0].base, j.dropped)
}

// Last is the number of the last record; 0 when there is none.
func (j *Journal) Last() uint64 {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.last()
}

// last is 0 only in an empty journal: an empty file stands behind what came before it.
func (j *Journal) last() uint64 {
	if len(j.segments) == 0 || len(j.segments) == 1 && len(j.segments[0].offsets) == 0 {
		return 0
	}
	return j.tail().end() - 1
}

func (j *Journal) tail() *segment { return j.segments[len(j.segments)-1] }

// Append adds records under the numbers first, first+1 and so on, and returns
// when they are synced. Numbers follow the last record; when they skip some,
// everything before them is dropped, because a snapshot stands in its place.
func (j *Journal) Append(first uint64, records [][]byte) error {
	if err := j.Write(first, records); err != nil {
		return err
	}
	return j.Sync()
}

// Write is Append, but returns before the records are synced. They can be read at
// once. Until Synced has reached them a crash may remove them.
func (j *Journal) Write(first uint64, records [][]byte) error {
	j.write.Lock()
	defer j.write.Unlock()
	last := j.Last()
	switch {
	case first == 0 || len(records) == 0:
		return fmt.Errorf("append %d records at %d: nothing to do", len(records), first)
	case last != 0 && first <= last:
		return fmt.Errorf("append at %d: the journal ends at %d: truncate it first", first, last)
	case last != 0 && first > last+1:
		if err := j.cut(1); err != nil {
			return err
		}
	}
	if len(j.segments) == 0 || last == 0 && j.tail().base != first {
		if err := j.begin(first); err != nil {
			return err
		}
	}
	if j.Last() == 0 {
		j.reach(first - 1) // nothing is before it
	}
	return j.put(first, records)
}

// put writes records into as many files as they need. A file is synced before the
// next is begun, so that only the last one may end in pieces.
func (j *Journal) put(first uint64, records [][]byte) error {
	batch := j.Synced() + 1
	for len(records) > 0 {
		s := j.tail()
		n, frames, offsets := s.fit(first, batch, records)
		if n == 0 {
			if err := j.Sync(); err != nil {
				return err
			}
			if err := j.begin(first); err != nil {
				return err
			}
			if n, frames, offsets = j.tail().fit(first, batch, records); n == 0 {
				return fmt.Errorf("record %d takes %d bytes, more than a file of the journal holds", first, len(records[0]))
			}
			s = j.tail()
		}
		if err := s.write(frames); err != nil {
			return err
		}
		j.mu.Lock()
		s.extend(offsets, len(frames))
		j.mu.Unlock()
		first, records = first+uint64(n), records[n:]
	}
	return nil
}

// begin starts a new file, whose first record is base.
func (j *Journal) begin(base uint64) error {
	s, err := j.spare.take(base)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.segments) > 0 && len(j.tail().offsets) == 0 && j.tail().base != base { // nothing was written to it
		old := j.tail()
		j.segments = j.segments[:len(j.segments)-1]
		if err := old.remove(); err != nil {
			return err
		}
	}
	j.segments = append(j.segments, s)
	return nil
}

// Read gives one record. ErrNotFound, ErrDamaged.
func (j *Journal) Read(index uint64) ([]byte, error) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	for i := len(j.segments) - 1; i >= 0 && index >= j.dropped; i-- {
		if s := j.segments[i]; index >= s.base {
			return s.read(index)
		}
	}
	return nil, ErrNotFound
}

// Close closes the files. Nothing may be appended any more.
func (j *Journal) Close() error {
	j.write.Lock()
	defer j.write.Unlock()
	j.spare.stop()
	err := j.Sync()
	j.end(errClosed)
	return errors.Join(err, j.closeFiles())
}

func (j *Journal) closeFiles() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.mark.close()
	for _, s := range j.segments {
		err = errors.Join(err, s.file.Close())
	}
	return err
}
