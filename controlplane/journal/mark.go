package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// markSync is how late the mark itself is synced. A program that ends, for
// whatever reason, finds its exact mark; a machine that lost its power may find one
// that is this old, never one that is too new.
const markSync = time.Second

// mark remembers, beside the records, up to which of them the journal was synced.
// It is written after each sync without one of its own, which would double
// the price of an append: what it adds is the last batch, which alone could be taken
// for one that a crash cut short.
type mark struct {
	mu      sync.Mutex
	file    *os.File
	index   uint64 // last record that was synced
	cut     uint64 // not 0: everything from here on is being removed
	pending *time.Timer
	failed  error // of a sync in the background; told to the next writer
}

const markSize = 20

// openMark opens the mark, or makes one for a journal that is new. A journal
// without its mark is refused: somebody removed it, or the disk lost it.
func openMark(path string, empty bool) (*mark, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && empty {
		return createMark(path)
	}
	if err != nil {
		return nil, fmt.Errorf("the journal's mark: %w: %w", err, ErrDamaged)
	}
	if len(raw) != markSize || binary.BigEndian.Uint32(raw[16:]) != crc32.Checksum(raw[:16], castagnoli) {
		return nil, fmt.Errorf("the journal's mark %s fails its checksum: %w", path, ErrDamaged)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the journal's mark: %w", err)
	}
	return &mark{file: f, index: binary.BigEndian.Uint64(raw), cut: binary.BigEndian.Uint64(raw[8:])}, nil
}

func createMark(path string) (*mark, error) {
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the journal's mark: %w", err)
	}
	m := &mark{file: f}
	if err := errors.Join(m.write(0, 0), f.Sync(), os.Rename(path+".tmp", path), syncFolder(filepath.Dir(path))); err != nil {
		return nil, errors.Join(fmt.Errorf("make the journal's mark: %w", err), f.Close())
	}
	return m, nil
}

// raise notes that everything up to index is synced.
func (m *mark) raise(index uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed != nil {
		return m.failed
	}
	if err := m.write(index, 0); err != nil {
		return err
	}
	if m.pending == nil {
		m.pending = time.AfterFunc(markSync, m.sync)
	}
	return nil
}

func (m *mark) sync() {
	m.mu.Lock()
	m.pending = nil
	m.mu.Unlock()
	if err := m.file.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
		m.mu.Lock()
		m.failed = fmt.Errorf("sync the journal's mark: %w", err)
		m.mu.Unlock()
	}
}

// removing notes, durably, that everything from cut on is about to be removed;
// 0 that it is.
func (m *mark) removing(last, cut uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(m.write(last, cut), m.file.Sync())
}

func (m *mark) write(index, cut uint64) error {
	raw := binary.BigEndian.AppendUint64(nil, index)
	raw = binary.BigEndian.AppendUint64(raw, cut)
	raw = binary.BigEndian.AppendUint32(raw, crc32.Checksum(raw, castagnoli))
	if _, err := m.file.WriteAt(raw, 0); err != nil {
		return fmt.Errorf("write the journal's mark: %w", err)
	}
	m.index, m.cut = index, cut
	return nil
}

func (m *mark) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pending != nil {
		m.pending.Stop()
	}
	return errors.Join(m.file.Sync(), m.file.Close())
}
