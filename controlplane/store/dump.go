package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/audit"
)

// A dump is the state as its buckets and records in order, without the pages of
// a bbolt file: two dumps of one state are byte for byte the same, nothing that
// was deleted is in one, and it does not depend on the file's format.
//
//	dumpMagic
//	for each bucket of schema.go, in its order:
//	  length of the name (4), name
//	  for each record, in order of key: length of the key (4), key, length of the value (4), value
//	  recordsEnd (4)
//	0 (4)
//
// Numbers are big-endian. Values are sealed as in the file, checksum included.
const (
	dumpMagic   = "domicile state dump 1\n"
	recordsEnd  = ^uint32(0)
	maxDumpItem = 64 << 20 // bytes of a key or value; a state's are far smaller
	loadBatch   = 8 << 20  // bytes of one transaction while a dump is loaded
)

// Info says what a snapshot holds.
type Info struct {
	Format   int
	Cluster  string
	Revision uint64
	Index    uint64 // of the Raft log, as is Term
	Term     uint64
}

// Info of the snapshot.
func (s *Snapshot) Info() (Info, error) {
	at, _, err := load[position](s.tx, bucketMeta, metaApplied)
	revision, _, err2 := load[uint64](s.tx, bucketMeta, metaRevision)
	return Info{Format: Format, Cluster: s.header.Cluster, Revision: revision, Index: at.Index, Term: at.Term}, errors.Join(err, err2)
}

// Dump writes the state. A value that fails its checksum is an error: what is
// damaged is not copied.
func (s *Snapshot) Dump(w io.Writer) error {
	if _, err := io.WriteString(w, dumpMagic); err != nil {
		return fmt.Errorf("dump state: %w", err)
	}
	item := func(b []byte) error {
		if _, err := w.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b)))); err != nil {
			return err
		}
		_, err := w.Write(b)
		return err
	}
	for _, name := range buckets {
		if err := item(name); err != nil {
			return fmt.Errorf("dump state: %w", err)
		}
		err := s.tx.Bucket(name).ForEach(func(k, v []byte) error {
			_, err := unseal(name, k, v)
			if err == nil {
				err = item(k)
			}
			if err == nil {
				err = item(v)
			}
			return err
		})
		if err == nil {
			_, err = w.Write(binary.BigEndian.AppendUint32(nil, recordsEnd))
		}
		if err != nil {
			return fmt.Errorf("dump state: %w", err)
		}
	}
	if _, err := w.Write(make([]byte, 4)); err != nil {
		return fmt.Errorf("dump state: %w", err)
	}
	return nil
}

// LoadDump makes a new state file of a dump: path must not exist. The file is
// synced; Open verifies it. After an error nothing stays behind.
func LoadDump(path string, r io.Reader) (err error) {
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("load state: %s is already there, and nothing is overwritten", path)
	}
	db, err := openFile(path)
	if err != nil {
		return err
	}
	db.NoSync = true // one sync at the end: a half loaded file is thrown away
	defer func() {
		if err == nil {
			err = db.Sync()
		}
		if err = errors.Join(err, db.Close()); err == nil {
			err = syncFolder(path)
		}
		if err != nil {
			err = errors.Join(fmt.Errorf("load state: %w", err), os.Remove(path))
		}
	}()
	return (&loader{db: db, r: r}).load()
}

type loader struct {
	db *bolt.DB
	r  io.Reader
	tx *bolt.Tx

	written int // bytes in tx
}

func (l *loader) load() error {
	magic := make([]byte, len(dumpMagic))
	if _, err := io.ReadFull(l.r, magic); err != nil {
		return fmt.Errorf("it cannot be read from its beginning on: %w", err)
	}
	if string(magic) != dumpMagic {
		return errors.New("it does not begin as a dump of the state")
	}
	for _, want := range buckets {
		name, err := l.item()
		if err != nil {
			return err
		}
		if string(name) != string(want) {
			return fmt.Errorf("bucket %.32q stands where %s must: the dump is of another version", name, want)
		}
		if err := l.bucket(want); err != nil {
			return errors.Join(err, l.rollback())
		}
	}
	if end, err := l.item(); err != nil || len(end) != 0 {
		return errors.Join(errors.New("it does not end where it must"), err)
	}
	if n, err := io.ReadFull(l.r, make([]byte, 1)); n != 0 || err != io.EOF { // reads the checksum behind the end, too
		return errors.Join(errors.New("bytes follow its end, or its checksum is wrong"), err)
	}
	return nil
}

// bucket loads the records of one bucket, in transactions of bounded size.
func (l *loader) bucket(name []byte) (err error) {
	if l.tx, err = l.db.Begin(true); err != nil {
		return err
	}
	if _, err := l.tx.CreateBucket(name); err != nil {
		return fmt.Errorf("create bucket %s: %w", name, err)
	}
	for {
		key, err := l.item()
		if err != nil {
			return err
		}
		if key == nil {
			break
		}
		value, err := l.item()
		if err != nil {
			return err
		}
		if err := l.put(name, key, value); err != nil {
			return err
		}
	}
	return l.tx.Commit()
}

func (l *loader) put(bucket, key, value []byte) error {
	if _, err := unseal(bucket, key, value); err != nil {
		return err
	}
	b := l.tx.Bucket(bucket)
	b.FillPercent = 0.95 // keys come in order
	if err := b.Put(key, value); err != nil {
		return fmt.Errorf("write %s: %w", bucket, err)
	}
	if l.written += len(key) + len(value); l.written < loadBatch {
		return nil
	}
	l.written = 0
	err := l.tx.Commit()
	if err == nil {
		l.tx, err = l.db.Begin(true)
	}
	return err
}

// rollback ends a transaction that an error left open.
func (l *loader) rollback() error {
	if l.tx == nil || l.tx.DB() == nil {
		return nil
	}
	return l.tx.Rollback()
}

// item reads one length and that many bytes; nil at the end of a bucket.
func (l *loader) item() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(l.r, head[:]); err != nil {
		return nil, fmt.Errorf("it ends too early: %w", err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == recordsEnd {
		return nil, nil
	}
	if n > maxDumpItem {
		return nil, fmt.Errorf("an item of %d bytes is longer than any can be", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(l.r, b); err != nil {
		return nil, fmt.Errorf("it ends too early: %w", err)
	}
	return b, nil
}

// AuditRoot gives size and root of the audit log as of the snapshot.
func (s *Snapshot) AuditRoot() (size uint64, root audit.Hash, err error) {
	if size, err = auditSize(s.tx); err == nil {
		root, err = audit.Root(size, hashReader(s.tx))
	}
	return size, root, err
}
