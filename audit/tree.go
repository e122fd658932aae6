package audit

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// HashSize is the size of a hash in bytes.
const HashSize = tlog.HashSize

// Hash is SHA-256 of a record or a subtree, as RFC 6962 §2.1 has it.
type Hash [HashSize]byte

// Read gives the stored hash of a number. The caller reads it from the
// transaction in which it writes, so that it also sees what was just appended.
type Read func(number uint64) (Hash, error)

// Append gives the hashes that a record adds to a log of size records, to be
// stored under the numbers first, first+1, and so on. Hashes are only ever
// added: a number is written once. read is asked for earlier hashes only.
func Append(size uint64, record []byte, read Read) (first uint64, hashes []Hash, err error) {
	added, err := tlog.StoredHashesForRecordHash(int64(size), tlog.RecordHash(record), reader(read))
	if err != nil {
		return 0, nil, fmt.Errorf("append audit record %d: %w", size, err)
	}
	return uint64(tlog.StoredHashIndex(0, int64(size))), ours(added), nil
}

// Stored is how many hashes a log of size records has stored.
func Stored(size uint64) uint64 { return uint64(tlog.StoredHashCount(int64(size))) }

// Root is the root hash of the log's first size records; for none, SHA-256 of
// nothing.
func Root(size uint64, read Read) (Hash, error) {
	h, err := tlog.TreeHash(int64(size), reader(read))
	if err != nil {
		return Hash{}, fmt.Errorf("root of %d audit records: %w", size, err)
	}
	return Hash(h), nil
}

// RecordHash is the hash of one record as a leaf of the tree.
func RecordHash(record []byte) Hash { return Hash(tlog.RecordHash(record)) }

// Inclusion proves that the record of an index is in the tree of size records
// (RFC 6962 §2.1.1). index must be below size.
func Inclusion(index, size uint64, read Read) ([]Hash, error) {
	if index >= size {
		return nil, fmt.Errorf("prove audit record %d: the log has %d", index, size)
	}
	p, err := tlog.ProveRecord(int64(size), int64(index), reader(read))
	if err != nil {
		return nil, fmt.Errorf("prove audit record %d of %d: %w", index, size, err)
	}
	return ours(p), nil
}

// Consistency proves that the tree of old records is the beginning of the tree
// of size records (RFC 6962 §2.1.2). old must be 1 to size: the empty tree is
// the beginning of every tree, and there is nothing to prove.
func Consistency(old, size uint64, read Read) ([]Hash, error) {
	if old == 0 || old > size {
		return nil, fmt.Errorf("prove that %d audit records begin %d: the first number must be 1 to the second", old, size)
	}
	p, err := tlog.ProveTree(int64(size), int64(old), reader(read))
	if err != nil {
		return nil, fmt.Errorf("prove that %d audit records begin %d: %w", old, size, err)
	}
	return ours(p), nil
}

// reader adapts read to the library. An error of read passes through unwrapped.
func reader(read Read) tlog.HashReader {
	return tlog.HashReaderFunc(func(numbers []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(numbers))
		for i, n := range numbers {
			h, err := read(uint64(n))
			if err != nil {
				return nil, err
			}
			out[i] = tlog.Hash(h)
		}
		return out, nil
	})
}

func ours(in []tlog.Hash) []Hash {
	out := make([]Hash, len(in))
	for i, h := range in {
		out[i] = Hash(h)
	}
	return out
}
