package store

import (
	"errors"
	"fmt"
	"os"
	"strings"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/internal/kernel"
)

// The state is not synced when a batch is applied: what is committed stands,
// synced, in the Raft log, and the state can be made again from a snapshot and
// that log. While it is open, a file beside it names the boot of the machine
// under which it is written:
//
//   - no such file: it was closed, synced. It is used, and every value checked.
//   - the same boot: the program ended, and what it had written stands in the
//     kernel's memory, in order. It is synced now, used, and checked alike; damage
//     in it is damage of the disk, and stops the node.
//   - another boot, or a disk that failed: any part of it may be missing, also such
//     that every checksum holds. It is removed, and made again.

const failedBoot = "the disk failed"

func openMarker(path string) string { return path + ".open" }

// bootID names this boot of the machine; "" where that cannot be known.
func bootID() string {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

// discardTorn removes a state that a power cut may have torn.
func (s *Store) discardTorn() error {
	raw, err := os.ReadFile(openMarker(s.path))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read how the state was left: %w", err)
	}
	if now := bootID(); now != "" && string(raw) == now {
		s.unclean = true
		return nil
	}
	if err := s.removeTorn(); err != nil {
		return fmt.Errorf("remove a state that a power cut may have torn: %w", err)
	}
	s.log.Warn("the machine stopped, or its disk failed, while the state was open: it is made again from the newest snapshot and the Raft log")
	return syncFolder(s.path)
}

// removeTorn removes the file, unless a process has it open, on whatever machine.
func (s *Store) removeTorn() error {
	f, err := os.OpenFile(s.path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // removed
	if err := kernel.Lock(f); err != nil {
		return fmt.Errorf("is another process using it? %w", err)
	}
	return os.Remove(s.path)
}

// own marks the state as being written, durably, before anything is.
func (s *Store) own() error {
	if s.unclean { // a new descriptor hears of writes that failed since, once
		if err := s.db.Sync(); err != nil {
			return errors.Join(fmt.Errorf("sync the state that a former process left: %w", err), s.poison())
		}
	}
	return s.writeMarker(bootID())
}

func (s *Store) writeMarker(text string) error {
	f, err := os.OpenFile(openMarker(s.path), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("mark the state as open: %w", err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("mark the state as open: %w", err)
	}
	return syncFolder(s.path)
}

// poison makes the next Open discard the state: the kernel may have dropped
// what it could not write, and says so only once.
func (s *Store) poison() error { return s.writeMarker(failedBoot) }

// flush syncs the state, off the path of Apply, so that a failing disk is heard
// of, and before anything is taken from it that outlives it.
func (s *Store) flush(db *bolt.DB) error {
	if err := db.Sync(); err != nil {
		return s.breakDown(errors.Join(fmt.Errorf("sync the state: %w", err), s.poison()))
	}
	return nil
}

// release commits, syncs and closes the state, and says that it may be used as it is.
// One that broke down is not said to be well. s.mu and s.gathered.mu are held.
func (s *Store) release() error {
	if s.broken.Load() != nil || s.commit() != nil {
		return errors.Join(s.gathered.drop(), s.mark.close(), s.db.Close())
	}
	if err := errors.Join(s.db.Sync(), s.mark.settle(s.current.Load().applied.Index), s.mark.close(), s.db.Close()); err != nil {
		return errors.Join(fmt.Errorf("close the state: %w", err), s.poison())
	}
	if err := os.Remove(openMarker(s.path)); err != nil {
		return fmt.Errorf("mark the state as closed: %w", err)
	}
	return syncFolder(s.path)
}
