package store

import (
	"encoding/binary"
	"fmt"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// index finds idempotency records by their key, in memory: about 40 bytes for each.
// On disk they stand in the order of time only. A row of its own, found by the key,
// would be a page of its own for each change, because the keys are random.
//
// It holds what the last transaction holds, so one that reads an earlier one may
// find a record that its rows do not have: it has not been made yet.
type index struct {
	mu sync.RWMutex
	at map[[16]byte]int64 // stamped Unix ns of the record
}

// readIndex makes it of the rows.
func readIndex(tx *bolt.Tx) (*index, error) {
	x := &index{at: map[[16]byte]int64{}}
	return x, tx.Bucket(bucketExpiry).ForEach(func(k, _ []byte) error {
		if len(k) != 24 {
			return fmt.Errorf("an idempotency record has a key of %d bytes: %w", len(k), errCorrupt)
		}
		id := [16]byte(k[8:])
		if _, twice := x.at[id]; twice {
			return fmt.Errorf("an idempotency key has two records: %w", errCorrupt)
		}
		x.at[id] = int64(binary.BigEndian.Uint64(k))
		return nil
	})
}

func (x *index) find(id [16]byte) (at int64, ok bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	at, ok = x.at[id]
	return at, ok
}

func (x *index) set(id [16]byte, at int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.at[id] = at
}

func (x *index) drop(id [16]byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.at, id)
}
