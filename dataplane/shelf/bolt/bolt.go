// Package bolt keeps a shelf in one file of one node.
package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/policy"
)

// openTimeout is how long another process may hold the file.
const openTimeout = 5 * time.Second

// Shelf is one file. One process owns it.
type Shelf struct {
	db   *bbolt.DB
	shut atomic.Pointer[policy.Error] // why nothing may be changed for now
}

var _ shelf.Shelf = (*Shelf)(nil)

// Open opens or makes the file at path, with these buckets.
func Open(path string, buckets []shelf.Bucket) (*Shelf, error) {
	name := filepath.Base(path)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: openTimeout, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, b := range append([]shelf.Bucket{shelf.Meta}, buckets...) {
			if _, err := tx.CreateBucketIfNotExists([]byte(b)); err != nil {
				return fmt.Errorf("make bucket %s of %s: %w", b, name, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Shelf{db: db}, nil
}

// View implements shelf.Shelf.
func (s *Shelf) View(read func(shelf.Tx) error) error {
	return s.db.View(func(tx *bbolt.Tx) error { return read(bucketed{tx}) })
}

// Update implements shelf.Shelf.
func (s *Shelf) Update(change func(shelf.Tx) error) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		if why := s.shut.Load(); why != nil {
			return why
		}
		return change(bucketed{tx})
	})
}

// Shut lets nothing be changed, and answers why, until it is called with nil. A
// change that had begun is done when it returns.
func (s *Shelf) Shut(why *policy.Error) error {
	s.shut.Store(why)
	return s.db.Update(func(*bbolt.Tx) error { return nil }) // changes come one after the other
}

// Under implements shelf.Shelf: a file has one process, and no lease to lose.
func (s *Shelf) Under(lease.Fence) shelf.Shelf { return s }

// Close closes the file.
func (s *Shelf) Close() error { return s.db.Close() }

// Snapshot writes the file as it is at one moment, for a backup.
func (s *Shelf) Snapshot(w io.Writer) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	})
}

// Path is where the file is.
func (s *Shelf) Path() string { return s.db.Path() }

type bucketed struct{ tx *bbolt.Tx }

func (t bucketed) bucket(b shelf.Bucket) (*bbolt.Bucket, error) {
	if found := t.tx.Bucket([]byte(b)); found != nil {
		return found, nil
	}
	return nil, fmt.Errorf("the file has no bucket %s", b)
}

// Get implements shelf.Tx.
func (t bucketed) Get(b shelf.Bucket, key []byte) ([]byte, error) {
	in, err := t.bucket(b)
	if err != nil {
		return nil, err
	}
	return in.Get(key), nil
}

// Put implements shelf.Tx.
func (t bucketed) Put(b shelf.Bucket, key, value []byte) error {
	in, err := t.bucket(b)
	if err != nil {
		return err
	}
	if err := shelf.CheckSize(key, value); err != nil {
		return err
	}
	return in.Put(key, value)
}

// Delete implements shelf.Tx.
func (t bucketed) Delete(b shelf.Bucket, key []byte) error {
	in, err := t.bucket(b)
	if err != nil {
		return err
	}
	return in.Delete(key)
}

// Ascend implements shelf.Tx.
func (t bucketed) Ascend(b shelf.Bucket, prefix, start []byte, visit func(k, v []byte) error) error {
	in, err := t.bucket(b)
	if err != nil {
		return err
	}
	if bytes.Compare(start, prefix) < 0 {
		start = prefix
	}
	c := in.Cursor()
	for k, v := c.Seek(start); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if err := visit(k, v); err != nil {
			return stopped(err)
		}
	}
	return nil
}

// Descend implements shelf.Tx.
func (t bucketed) Descend(b shelf.Bucket, prefix []byte, visit func(k, v []byte) error) error {
	in, err := t.bucket(b)
	if err != nil {
		return err
	}
	c := in.Cursor()
	var k, v []byte
	if past := shelf.Past(prefix); past == nil {
		k, v = c.Last()
	} else if k, _ = c.Seek(past); k == nil {
		k, v = c.Last()
	} else {
		k, v = c.Prev()
	}
	for ; k != nil && bytes.HasPrefix(k, prefix); k, v = c.Prev() {
		if err := visit(k, v); err != nil {
			return stopped(err)
		}
	}
	return nil
}

// Count implements shelf.Tx.
func (t bucketed) Count(b shelf.Bucket) (int, error) {
	in, err := t.bucket(b)
	if err != nil {
		return 0, err
	}
	return in.Stats().KeyN, nil
}

func stopped(err error) error {
	if errors.Is(err, shelf.ErrStop) {
		return nil
	}
	return err
}
