package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	bolt "go.etcd.io/bbolt"
)

// A snapshot is a line of magic, the length of a JSON header (4 bytes,
// big-endian), the header, and the bbolt file.

const (
	snapshotMagic     = "domicile state\n"
	maxSnapshotHeader = 4096
)

type snapshotHeader struct {
	Format  int    `json:"format"`
	Cluster string `json:"cluster"` // "" before InitCluster
	Index   uint64 `json:"index"`
	Size    int64  `json:"size"` // of the bbolt file
}

// Snapshot is the whole state as of one applied index. While it is open, Apply
// goes on; the file grows by what is changed meanwhile. Close it.
type Snapshot struct {
	store  *Store
	tx     *bolt.Tx
	header snapshotHeader
}

// Snapshot opens a snapshot of the state as it is now.
func (s *Store) Snapshot() (*Snapshot, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(); err != nil {
		return nil, err
	}
	tx, err := s.db.Begin(false)
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	at, _, err := load[position](tx, bucketMeta, metaApplied)
	cluster, _, err2 := load[Cluster](tx, bucketMeta, metaCluster)
	if err := errors.Join(err, err2); err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return &Snapshot{store: s, tx: tx, header: snapshotHeader{Format: Format, Cluster: cluster.ID, Index: at.Index, Size: tx.Size()}}, nil
}

// Write writes the snapshot. It syncs the state first: the log behind a
// snapshot is thrown away, so nothing goes into one that the disk could not keep.
func (s *Snapshot) Write(w io.Writer) error {
	header, err := json.Marshal(s.header)
	if err != nil {
		return fmt.Errorf("encode snapshot header: %w", err)
	}
	if err := s.store.flush(s.tx.DB()); err != nil {
		return err
	}
	head := binary.BigEndian.AppendUint32([]byte(snapshotMagic), uint32(len(header)))
	if _, err := w.Write(append(head, header...)); err != nil {
		return fmt.Errorf("write snapshot header: %w", err)
	}
	if _, err := s.tx.WriteTo(w); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

// Close releases the snapshot.
func (s *Snapshot) Close() error { return s.tx.Rollback() }

// WriteSnapshot writes the whole state as of one applied index.
func (s *Store) WriteSnapshot(w io.Writer) error {
	snap, err := s.Snapshot()
	if err != nil {
		return err
	}
	return errors.Join(snap.Write(w), snap.Close())
}

// Restore replaces the state by a snapshot: received beside the old file,
// synced and verified, then renamed over it. The old state is untouched until
// the rename. After an error the store refuses everything: the node must stop,
// because Raft believes that the snapshot is in place.
func (s *Store) Restore(r io.Reader) error {
	if err := s.usable(); err != nil {
		return err
	}
	next := s.path + ".restore"
	if err := s.receive(next, r); err != nil {
		return s.breakDown(errors.Join(fmt.Errorf("restore: %w", err), os.Remove(next)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.swap(next); err != nil {
		return s.breakDown(fmt.Errorf("restore: %w", err))
	}
	return nil
}

// receive writes the snapshot's file to path, syncs and verifies it.
func (s *Store) receive(path string, r io.Reader) error {
	header, err := readSnapshotHeader(r)
	if err != nil {
		return err
	}
	own, err := s.Cluster()
	if err == nil && header.Cluster != own.ID {
		return fmt.Errorf("snapshot is of cluster %q, and this node of %q", header.Cluster, own.ID)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("create snapshot file: %w", err)
	}
	_, err = io.CopyN(f, r, header.Size)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("receive snapshot: %w", err)
	}
	return verifyFile(path, header)
}

func readSnapshotHeader(r io.Reader) (h snapshotHeader, err error) {
	head := make([]byte, len(snapshotMagic)+4)
	if _, err := io.ReadFull(r, head); err != nil {
		return h, fmt.Errorf("read snapshot header: %w", err)
	}
	magic, size := head[:len(snapshotMagic)], binary.BigEndian.Uint32(head[len(snapshotMagic):])
	if !bytes.Equal(magic, []byte(snapshotMagic)) || size > maxSnapshotHeader {
		return h, errors.New("read snapshot header: this is no snapshot of the state")
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return h, fmt.Errorf("read snapshot header: %w", err)
	}
	if err := strictJSON(body, &h); err != nil {
		return h, fmt.Errorf("read snapshot header: %w", err)
	}
	return h, checkFormat(h.Format)
}

// verifyFile opens a received file and checks that it is what its header says.
func verifyFile(path string, h snapshotHeader) (err error) {
	db, err := openFile(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := verify(db); err != nil {
		return err
	}
	return db.View(func(tx *bolt.Tx) error {
		at, _, err := load[position](tx, bucketMeta, metaApplied)
		if err == nil && at.Index != h.Index {
			err = fmt.Errorf("snapshot says index %d and holds %d: %w", h.Index, at.Index, errCorrupt)
		}
		return err
	})
}

// swap puts a verified file in place of the open one. s.mu is held.
func (s *Store) swap(next string) error {
	if err := s.db.Close(); err != nil { // waits for open snapshots
		return fmt.Errorf("close old state: %w", err)
	}
	if err := os.Rename(next, s.path); err != nil {
		return fmt.Errorf("put new state in place: %w", err)
	}
	if err := syncFolder(s.path); err != nil {
		return err
	}
	db, err := openFile(s.path)
	if err != nil {
		return err
	}
	s.db = db
	return db.View(s.readCursor)
}
