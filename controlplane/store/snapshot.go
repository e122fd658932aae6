package store

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
	bolt "go.etcd.io/bbolt"
)

// A snapshot is a line of magic, the length of a JSON header (4 bytes,
// big-endian), the header, and a zstd stream with checksums that holds a dump of
// the state (dump.go). So it has no free pages of a bbolt file, is a fraction of
// its size, and the state that is made of it is packed anew.

const (
	snapshotMagic     = "domicile snapshot 2\n"
	formerSnapshot    = "domicile state\n" // began the first form, which held the bbolt file itself
	maxSnapshotHeader = 4096
	snapshotWindow    = 4 << 20 // bytes of memory that decompressing needs
)

type snapshotHeader struct {
	Format  int    `json:"format"`  // of the state
	Cluster string `json:"cluster"` // "" before InitCluster
	Index   uint64 `json:"index"`
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
	s.gathered.mu.Lock()
	defer s.gathered.mu.Unlock()
	if err := s.commit(); err != nil {
		return nil, err
	}
	tx, err := s.db.Begin(false)
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	at, _, err := load[position](tx, bucketMeta, metaApplied)
	cluster, _, err2 := load[Cluster](tx, bucketMeta, metaCluster)
	if applied := s.current.Load().applied; at != applied {
		err = errors.Join(err, fmt.Errorf("the file is at entry %d, and %d was applied", at.Index, applied.Index))
	}
	if err := errors.Join(err, err2); err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return &Snapshot{store: s, tx: tx, header: snapshotHeader{Format: Format, Cluster: cluster.ID, Index: at.Index}}, nil
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
	packed, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(snapshotWindow), zstd.WithEncoderCRC(true))
	if err != nil {
		return fmt.Errorf("compress snapshot: %w", err)
	}
	buffer := bufio.NewWriterSize(packed, 1<<18)
	if err := s.Dump(buffer); err != nil {
		return errors.Join(err, packed.Close())
	}
	if err := errors.Join(buffer.Flush(), packed.Close()); err != nil {
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

// Restore replaces the state by a snapshot: unpacked into a fresh file beside
// the old one, each value checked on its way, synced once, then renamed over it.
// The old state is untouched until the rename. After an error the store refuses
// everything: the node must stop, because Raft believes that the snapshot is in
// place.
func (s *Store) Restore(r io.Reader) error {
	if err := s.usable(); err != nil {
		return err
	}
	next := s.path + ".restore"
	if err := s.receive(next, r); err != nil {
		return s.breakDown(fmt.Errorf("restore: %w", err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gathered.mu.Lock()
	defer s.gathered.mu.Unlock()
	if err := errors.Join(s.gathered.drop(), s.swap(next)); err != nil {
		return s.breakDown(fmt.Errorf("restore: %w", err))
	}
	return nil
}

// receive makes a synced and checked state file of the snapshot. After an error
// there is none.
func (s *Store) receive(path string, r io.Reader) error {
	header, err := readSnapshotHeader(r)
	if err != nil {
		return err
	}
	own, err := s.Cluster()
	if err == nil && header.Cluster != own.ID {
		return fmt.Errorf("snapshot is of cluster %q, and this node of %q", header.Cluster, own.ID)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) { // what a crash left
		return fmt.Errorf("make room for a snapshot: %w", err)
	}
	packed, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(snapshotWindow))
	if err != nil {
		return fmt.Errorf("unpack snapshot: %w", err)
	}
	defer packed.Close()
	if err := LoadDump(path, bufio.NewReaderSize(packed, 1<<18)); err != nil {
		return err
	}
	if err := checkReceived(path, header); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func readSnapshotHeader(r io.Reader) (h snapshotHeader, err error) {
	head := make([]byte, len(snapshotMagic)+4)
	if n, err := io.ReadFull(r, head); err != nil && !bytes.HasPrefix(head[:n], []byte(formerSnapshot)) {
		return h, fmt.Errorf("read snapshot header: %w", err)
	}
	if bytes.HasPrefix(head, []byte(formerSnapshot)) {
		return h, errors.New("read snapshot header: it has the form of an earlier version, which this program does not read: run the version that wrote it, or remove this voter's data folder and let it join again")
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

// checkReceived checks that a file is what its snapshot's header says. Its values
// were checked when they were written.
func checkReceived(path string, h snapshotHeader) (err error) {
	db, err := openFile(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(tx *bolt.Tx) error {
		format, _, err := load[int](tx, bucketMeta, metaFormat)
		if err == nil {
			err = checkFormat(format)
		}
		if err != nil {
			return err
		}
		at, _, err := load[position](tx, bucketMeta, metaApplied)
		if err == nil && at.Index != h.Index {
			err = fmt.Errorf("snapshot says index %d and holds %d: %w", h.Index, at.Index, errCorrupt)
		}
		cluster, _, err2 := load[Cluster](tx, bucketMeta, metaCluster)
		if err2 == nil && cluster.ID != h.Cluster {
			err2 = fmt.Errorf("snapshot says that it is of cluster %q and holds another's: %w", h.Cluster, errCorrupt)
		}
		return errors.Join(err, err2, checkAudit(tx))
	})
}

// swap puts a verified file in place of the open one. s.mu is held, and nothing is
// gathered.
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
