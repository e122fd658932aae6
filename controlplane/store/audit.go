package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/policy"
)

// The audit log has one leaf for each revision, and nothing else: the leaf of
// revision r has index CountOf(r)-1, and the log's size is CountOf(revision). So
// there is no second counter that could disagree, and a change without a leaf, or
// a leaf without a change, would be a gap that an auditor sees (invariant 27).

// record stages the leaf of a change, and the hashes that it adds to the tree.
func (e *entry) record(c Command) error {
	action, resource := c.Payload.subject()
	sum := sha256.Sum256(e.command)
	index := policy.CountOf(e.before)
	leaf := audit.Leaf{Index: index, Time: e.stamp.Now, Actor: e.stamp.Actor, Action: action, Resource: resource,
		Revision: e.revision(), Command: hex.EncodeToString(sum[:])}
	record, packed, err := leaf.EncodeAndPack()
	if err != nil { // what cannot be recorded is not done
		return &policy.Error{Reason: policy.InvalidArgument, Message: "the change cannot be recorded in the audit log, so it was not made: check the ids that it names", Cause: err}
	}
	e.writes = append(e.writes, write{bucketLeaves, numberKey(index), packed})
	read := e.edge.reader(e.tx)
	e.edge.add(index, audit.RecordHash(record))
	if !audit.EndsBlock(index) {
		return nil
	}
	first, hashes, err := audit.AppendSparse(index, record, read)
	if err != nil {
		return err
	}
	for i, h := range hashes {
		e.writes = append(e.writes, write{bucketHashes, numberKey(first + uint64(i)), h[:]})
	}
	return nil
}

func numberKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// edge remembers the hashes of the newest leaves, from the last whole block on, so
// that the hash of a block need not read its leaves again. What it does not have,
// since the process was started, is read. Apply alone uses it.
type edge struct {
	first  uint64 // leaf
	leaves []audit.Hash
}

func (e *edge) add(index uint64, h audit.Hash) {
	if index != e.first+uint64(len(e.leaves)) || index%audit.Block == 0 {
		e.first, e.leaves = index, e.leaves[:0]
	}
	e.leaves = append(e.leaves, h)
}

func (e *edge) at(index uint64) (h audit.Hash, ok bool) {
	if e == nil || index < e.first || index-e.first >= uint64(len(e.leaves)) {
		return h, false
	}
	return e.leaves[index-e.first], true
}

// hashReader gives the tree's hashes in a transaction: those of blocks and above
// are stored, the others are made of leaves.
func hashReader(tx *bolt.Tx) audit.Read { return (*edge)(nil).reader(tx) }

// reader is hashReader with what the edge remembers.
func (e *edge) reader(tx *bolt.Tx) audit.Read {
	return audit.Sparse(func(n uint64) (h audit.Hash, err error) {
		content, err := content(tx, bucketHashes, n)
		if err == nil && copy(h[:], content) != len(h) {
			err = fmt.Errorf("audit hash %d is too short: %w", n, errCorrupt)
		}
		return h, err
	}, func(index uint64) (audit.Hash, error) {
		if h, ok := e.at(index); ok {
			return h, nil
		}
		leaf, err := leafAt(tx, index)
		return audit.RecordHash(leaf), err
	})
}

// leafAt gives a record as it was hashed.
func leafAt(tx *bolt.Tx, index uint64) ([]byte, error) {
	packed, err := content(tx, bucketLeaves, index)
	if err != nil {
		return nil, err
	}
	leaf, err := audit.Unpack(index, packed)
	if err != nil {
		return nil, fmt.Errorf("audit leaf %d: %w: %w", index, err, errCorrupt)
	}
	return leaf, nil
}

// content reads a numbered value that must be there.
func content(tx *bolt.Tx, bucket []byte, n uint64) ([]byte, error) {
	raw := tx.Bucket(bucket).Get(numberKey(n))
	if raw == nil {
		return nil, fmt.Errorf("%s/%d is missing: %w", bucket, n, errCorrupt)
	}
	return unseal(bucket, numberKey(n), raw)
}

// auditSize is the number of leaves: of changes since the cluster began.
func auditSize(tx *bolt.Tx) (uint64, error) {
	revision, _, err := load[uint64](tx, bucketMeta, metaRevision)
	return policy.CountOf(revision), err
}

// checkAudit checks that log and revision end at the same place.
func checkAudit(tx *bolt.Tx) error {
	size, err := auditSize(tx)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		bucket []byte
		want   uint64
	}{{bucketLeaves, size}, {bucketHashes, audit.EndSparse(size)}} {
		have := uint64(0)
		if k, _ := tx.Bucket(c.bucket).Cursor().Last(); k != nil {
			have = binary.BigEndian.Uint64(k) + 1
		}
		if have != c.want {
			return fmt.Errorf("%s end at %d, and after %d changes must at %d: %w", c.bucket, have, size, c.want, errCorrupt)
		}
	}
	return nil
}

// AuditLeaves gives records of the audit log from number start, at most limit
// and MaxList, as they were hashed, and the size of the log.
func (s *Store) AuditLeaves(start uint64, limit int) (leaves [][]byte, size uint64, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		if size, err = auditSize(tx); err != nil {
			return err
		}
		for n := start; n < size && len(leaves) < page(limit); n++ {
			leaf, err := leafAt(tx, n)
			if err != nil {
				return err
			}
			leaves = append(leaves, leaf)
		}
		return nil
	})
	return leaves, size, err
}

// AuditRoot gives size and root of the audit log.
func (s *Store) AuditRoot() (size uint64, root audit.Hash, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		if size, err = auditSize(tx); err != nil {
			return err
		}
		root, err = audit.Root(size, hashReader(tx))
		return err
	})
	return size, root, err
}

// AuditInclusion gives a record and the proof that it is in the log of the
// given size; 0 is the newest. INVALID_ARGUMENT for what the log does not hold.
func (s *Store) AuditInclusion(index, size uint64) (leaf []byte, of uint64, proof []audit.Hash, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		if of, err = sizeAt(tx, size); err != nil {
			return err
		}
		if index >= of {
			return invalid("index", "must be below the log's size")
		}
		if leaf, err = leafAt(tx, index); err != nil {
			return err
		}
		proof, err = audit.Inclusion(index, of, hashReader(tx))
		return err
	})
	return leaf, of, proof, err
}

// AuditConsistency gives the proof that the log of size old, at least 1, begins
// the log of the given size; 0 is the newest. INVALID_ARGUMENT for sizes that
// the log did not have.
func (s *Store) AuditConsistency(old, size uint64) (of uint64, proof []audit.Hash, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		if of, err = sizeAt(tx, size); err != nil {
			return err
		}
		if old == 0 || old > of {
			return invalid("old_size", "must be 1 to the log's size")
		}
		proof, err = audit.Consistency(old, of, hashReader(tx))
		return err
	})
	return of, proof, err
}

// sizeAt resolves a size that a caller asked for.
func sizeAt(tx *bolt.Tx, size uint64) (uint64, error) {
	newest, err := auditSize(tx)
	switch {
	case err != nil:
		return 0, err
	case size == 0:
		return newest, nil
	case size > newest:
		return 0, invalid("size", "must not be above the log's size")
	}
	return size, nil
}

// fill is how full bbolt packs a page when it splits one: nearly full where keys
// only grow, so that the log does not take twice its size.
func fill(bucket []byte) float64 {
	if bytes.Equal(bucket, bucketLeaves) || bytes.Equal(bucket, bucketHashes) || bytes.Equal(bucket, bucketLog) || bytes.Equal(bucket, bucketExpiry) {
		return 0.95
	}
	return bolt.DefaultFillPercent
}
