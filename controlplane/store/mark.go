package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// mark is the index of the last entry that was applied, in a small file beside the
// state, written and not synced: what is gathered (gather.go) is lost with the
// process, and with the mark the next one knows how far this one had shown its
// state. It says nothing after a power cut, when the state is discarded, too.
type mark struct {
	file *os.File
	left uint64 // what a former process left; 0: nothing
}

const markSize = 8 + 4 // the index, and its CRC-32C

func markPath(path string) string { return path + ".applied" }

// markOf is how a state was left, and so what of its mark is believed.
type markOf int

const (
	markOfNone   markOf = iota // there was no state, or one that was discarded
	markOfClosed               // whoever closed it may have not caught up with the mark
	markOfKilled               // under this boot, so the mark is whole
)

// open opens the mark of a state.
func (m *mark) open(path string, of markOf) (err error) {
	if m.file, err = os.OpenFile(markPath(path), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return fmt.Errorf("open the mark of what was applied: %w", err)
	}
	if of == markOfNone {
		return m.clear()
	}
	var b [markSize]byte
	n, err := m.file.ReadAt(b[:], 0)
	switch {
	case errors.Is(err, io.EOF) && n == 0:
		return nil
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("read the mark of what was applied: %w", err)
	case n == markSize && binary.BigEndian.Uint32(b[8:]) == crc32.Checksum(b[:8], castagnoli):
		m.left = binary.BigEndian.Uint64(b[:])
		return nil
	case of == markOfClosed: // the power was cut later: what is not synced may be torn
		return m.clear()
	}
	return fmt.Errorf("the mark of what was applied, %s, is not one: %w", markPath(path), errCorrupt)
}

func (m *mark) set(index uint64) error {
	var b [markSize]byte
	binary.BigEndian.PutUint64(b[:], index)
	binary.BigEndian.PutUint32(b[8:], crc32.Checksum(b[:8], castagnoli))
	if _, err := m.file.WriteAt(b[:], 0); err != nil {
		return fmt.Errorf("mark what was applied: %w", err)
	}
	return nil
}

func (m *mark) clear() error {
	if err := m.file.Truncate(0); err != nil {
		return fmt.Errorf("clear the mark of what was applied: %w", err)
	}
	return nil
}

// settle says at the end that the file holds everything up to applied. A tool that
// only looked at the state of a killed voter has not caught up, and leaves the mark.
func (m *mark) settle(applied uint64) error {
	if applied >= m.left {
		if err := m.clear(); err != nil {
			return err
		}
	}
	if err := m.file.Sync(); err != nil {
		return fmt.Errorf("sync the mark of what was applied: %w", err)
	}
	return nil
}

func (m *mark) close() error {
	if m.file == nil {
		return nil
	}
	return m.file.Close()
}

// Shown is the index of the last entry that a former process had applied when it was
// killed, under this boot of the machine; it may be above Applied, by what that
// process had not committed. All of it is committed in the Raft log, and must be
// applied from there before anybody reads: somebody may have read it. 0: there is
// nothing to be caught up with.
func (s *Store) Shown() uint64 { return s.mark.left }
