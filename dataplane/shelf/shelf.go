// Package shelf is the contract for what a region keeps in order beside its
// records: the outbox of exports, the rows that came from other regions, the
// erasures of a region of several nodes. A shelf is a few named, ordered maps of
// bytes that change together or not at all. dataplane/shelf/bolt keeps one in a
// file of one node, dataplane/shelf/sql in the region's database, for all its
// nodes. shelftest is the suite that both pass.
package shelf

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/policy"
)

// Bucket names one map of a shelf, of a closed list that its owner declares.
type Bucket string

// Shelf keeps ordered maps. It is safe for concurrent use.
type Shelf interface {
	// View runs read over one state of the whole shelf. An error of read is View's.
	View(read func(Tx) error) error
	// Update runs change alone: no other Update of the shelf, in this process or
	// another, runs meanwhile. What it put and deleted is durable when Update
	// answers nil, and none of it is there when change failed. After
	// policy.OutcomeUnknown it may or may not be there. change may be run again from
	// the start when a database asks for it, so that it sets what it captures
	// rather than adding to it.
	Update(change func(Tx) error) error
	// Under is the same shelf for who works under a lease: its Updates fail with
	// lease.ErrLost once another has the lease. The zero Fence always holds.
	Under(f lease.Fence) Shelf
	Close() error
}

// Tx is one transaction. Keys and values that it hands out are the caller's
// until its function returns, and are not to be changed.
type Tx interface {
	// Get gives a value; nil when there is none.
	Get(b Bucket, key []byte) ([]byte, error)
	Put(b Bucket, key, value []byte) error
	// Delete removes a key; one that is not there is no error.
	Delete(b Bucket, key []byte) error
	// Ascend visits the keys that begin with prefix and are not before start, in
	// order of bytes; a nil start is the first. ErrStop ends it without an error. The
	// bucket must not be changed meanwhile.
	Ascend(b Bucket, prefix, start []byte, visit func(key, value []byte) error) error
	// Descend visits the keys that begin with prefix, from the last.
	Descend(b Bucket, prefix []byte, visit func(key, value []byte) error) error
	// Count counts the keys of a bucket.
	Count(b Bucket) (int, error)
}

// ErrStop is answered by a visitor that has seen enough.
var ErrStop = errors.New("enough")

// Limits of what is kept.
const (
	MaxKey   = 1 << 10 // bytes
	MaxValue = 8 << 20
)

// Past is the first key that no longer begins with prefix; nil: there is none.
func Past(prefix []byte) []byte {
	out := append([]byte(nil), prefix...)
	for i := len(out) - 1; i >= 0; i-- {
		if out[i]++; out[i] != 0 {
			return out[:i+1]
		}
	}
	return nil
}

// DeleteAll removes the keys that begin with prefix, and counts them. gone, when
// given, is told of each before it goes.
func DeleteAll(tx Tx, b Bucket, prefix []byte, gone func(key, value []byte) error) (n int, err error) {
	var keys [][]byte
	err = tx.Ascend(b, prefix, nil, func(k, v []byte) error {
		keys = append(keys, append([]byte(nil), k...))
		if gone != nil {
			return gone(k, v)
		}
		return nil
	})
	for _, k := range keys {
		if err != nil {
			return n, err
		}
		n++
		err = tx.Delete(b, k)
	}
	return n, err
}

// Meta is the bucket in which a shelf says its format.
const Meta Bucket = "meta"

var keyFormat = []byte("format")

// Format makes sure that a shelf called name has a format that this build reads,
// and marks one that is new.
func Format(s Shelf, name string, format uint32) error {
	return s.Update(func(tx Tx) error {
		found, err := tx.Get(Meta, keyFormat)
		if err != nil {
			return err
		}
		if found == nil {
			return tx.Put(Meta, keyFormat, binary.BigEndian.AppendUint32(nil, format))
		}
		if len(found) != 4 || binary.BigEndian.Uint32(found) != format {
			return fmt.Errorf("%s has format %x, this build reads %d: start the version that wrote it", name, found, format)
		}
		return nil
	})
}

// CheckSize is nil for what a shelf keeps.
func CheckSize(key, value []byte) error {
	if len(key) == 0 || len(key) > MaxKey || len(value) > MaxValue {
		return policy.Errorf(policy.Internal, "a shelf keeps keys of 1 to %d bytes and values of at most %d", MaxKey, MaxValue)
	}
	return nil
}
