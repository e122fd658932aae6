package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/domicile-io/domicile/internal/kernel"
)

// A file begins with magic, the number of its first record, and a CRC-32C of both.
const (
	magic         = "dom log\x01"
	segmentHeader = 24
	extension     = ".log"
)

// segment is one file of the journal.
type segment struct {
	file    *os.File
	path    string
	size    int
	base    uint64   // number of its first record
	offsets []uint32 // of its records
	next    uint32   // where the next record goes
}

func segmentPath(dir string, base uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", base, extension))
}

// segmentFiles lists the files of the journal in order.
func segmentFiles(dir string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*"+extension))
	slices.Sort(names)
	return names, err
}

func baseOf(path string) (uint64, error) {
	base, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(path), extension), 10, 64)
	if err != nil || base == 0 {
		return 0, fmt.Errorf("%s is no file of the journal: %w", path, ErrDamaged)
	}
	return base, nil
}

func headOf(base uint64) []byte {
	head := binary.BigEndian.AppendUint64([]byte(magic), base)
	head = binary.BigEndian.AppendUint32(head, crc32.Checksum(head, castagnoli))
	return append(head, make([]byte, segmentHeader-len(head))...)
}

// end is the number after the last record.
func (s *segment) end() uint64 { return s.base + uint64(len(s.offsets)) }

// fit encodes as many records as the file has room for.
func (s *segment) fit(first, batch uint64, records [][]byte) (n int, frames []byte, offsets []uint32) {
	room, want := s.size-int(s.next), 0
	for n < len(records) && want+frameSize(len(records[n])) <= room {
		offsets = append(offsets, s.next+uint32(want))
		want += frameSize(len(records[n]))
		n++
	}
	frames = make([]byte, 0, want)
	for i := range n {
		frames = appendFrame(frames, first+uint64(i), batch, records[i])
	}
	return n, frames, offsets
}

// write puts frames behind the last record.
func (s *segment) write(frames []byte) error {
	if _, err := s.file.WriteAt(frames, int64(s.next)); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}

func (s *segment) extend(offsets []uint32, size int) {
	s.offsets = append(s.offsets, offsets...)
	s.next += uint32(size)
}

func (s *segment) read(index uint64) ([]byte, error) {
	if index >= s.end() {
		return nil, ErrNotFound
	}
	i := index - s.base
	end := s.next
	if i+1 < uint64(len(s.offsets)) {
		end = s.offsets[i+1]
	}
	raw := make([]byte, end-s.offsets[i])
	if _, err := s.file.ReadAt(raw, int64(s.offsets[i])); err != nil {
		return nil, fmt.Errorf("read record %d: %w", index, err)
	}
	h, data, ok := parseFrame(raw)
	if !ok || h.index != index {
		return nil, fmt.Errorf("record %d fails its checksum: %w", index, ErrDamaged)
	}
	return data, nil
}

// clear fills everything from an offset on with zeros, synced.
func (s *segment) clear(from uint32) error {
	if err := zero(s.file, int64(from), int64(s.size)); err != nil {
		return fmt.Errorf("clear the end of the journal: %w", err)
	}
	return nil
}

func (s *segment) remove() error {
	err := errors.Join(s.file.Close(), os.Remove(s.path))
	if err != nil {
		return fmt.Errorf("remove a file of the journal: %w", err)
	}
	return nil
}

// zero fills a range of a file with zeros and syncs it, in pieces, so that a sync
// of something else does not wait for all of it.
func zero(f *os.File, from, to int64) error {
	block := make([]byte, 1<<20)
	for at := from; at < to; {
		n, err := f.WriteAt(block[:min(int64(len(block)), to-at)], at)
		if err == nil {
			err = kernel.Datasync(f)
		}
		if err != nil {
			return err
		}
		at += int64(n)
	}
	return f.Sync()
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync the journal's folder: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
