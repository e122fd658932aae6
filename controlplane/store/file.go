package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/policy"
)

// lockWait is how long Open waits for another process to let go of the file.
const lockWait = time.Second

func openFile(path string) (*bolt.DB, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout: lockWait, FreelistType: bolt.FreelistMapType, NoFreelistSync: true,
		InitialMmapSize: mapSize, NoStatistics: true,
		NoSync: true, NoGrowSync: true, // unclean.go says why that is safe
	})
	if err != nil {
		return nil, fmt.Errorf("open state %s (is another process using it?): %w", path, err)
	}
	return db, nil
}

// syncFolder makes a new or renamed file's name durable.
func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// verify reads every value and checks its checksum, and that the audit log
// ends where the state does. A torn page may make bbolt
// panic or fault; both become errors here.
func verify(db *bolt.DB) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("verify state: %v: %w", p, errCorrupt)
		}
	}()
	return db.View(func(tx *bolt.Tx) error {
		for _, name := range buckets {
			b := tx.Bucket(name)
			if b == nil {
				return fmt.Errorf("verify state: bucket %s is missing: %w", name, errCorrupt)
			}
			if err := verifyBucket(b, name); err != nil {
				return err
			}
		}
		return checkAudit(tx)
	})
}

// verifyBucket also checks that keys stand in order: a torn branch page shows there.
func verifyBucket(b *bolt.Bucket, name []byte) error {
	var last []byte
	return b.ForEach(func(k, v []byte) error {
		if last != nil && bytes.Compare(last, k) >= 0 {
			return fmt.Errorf("verify state: keys of %s are out of order: %w", name, errCorrupt)
		}
		last = k
		_, err := unseal(name, k, v)
		return err
	})
}

// readCursor loads what Apply and the reads keep in memory.
func (s *Store) readCursor(tx *bolt.Tx) error {
	applied, _, err := load[position](tx, bucketMeta, metaApplied)
	if err != nil {
		return err
	}
	revision, _, err := load[uint64](tx, bucketMeta, metaRevision)
	if err != nil {
		return err
	}
	top, err := topologyOf(tx)
	if err != nil {
		return err
	}
	if top == nil {
		top = &policy.Topology{}
	}
	members, err := membersOf(tx)
	if err != nil {
		return err
	}
	idempotency, err := readIndex(tx)
	if err != nil {
		return err
	}
	kept, err := answersAt(tx)
	if err != nil {
		return err
	}
	s.current.Store(&cursor{index: idempotency, answers: kept, recent: newRecent(), edge: &edge{}, applied: applied, revision: revision, topology: top, members: members, nodes: revision})
	return nil
}
