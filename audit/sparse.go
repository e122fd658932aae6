package audit

import "golang.org/x/mod/sumdb/tlog"

// A log that keeps its records need not keep all hashes: those of small subtrees
// are made again from the records. It keeps the hashes of whole blocks of Block
// records and of what stands above them, one for about 128 records.

const blockLevel = 8

// Block is how many records stand under the smallest subtree whose hash is kept.
const Block = 1 << blockLevel

// EndsBlock reports whether the record of an index adds hashes that are kept.
func EndsBlock(index uint64) bool { return (index+1)%Block == 0 }

// AppendSparse is Append for a log that keeps few hashes: of those that a record
// adds, the ones to be kept. read is Sparse of the log before the record.
func AppendSparse(size uint64, record []byte, read Read) (first uint64, hashes []Hash, err error) {
	if !EndsBlock(size) {
		return 0, nil, nil
	}
	first, hashes, err = Append(size, record, read)
	if err != nil {
		return 0, nil, err
	}
	return first + blockLevel, hashes[blockLevel:], nil
}

// EndSparse is one more than the greatest number of a hash that a log of size
// records keeps; 0 for none.
func EndSparse(size uint64) uint64 {
	if size < Block {
		return 0
	}
	return Stored(size / Block * Block)
}

// Sparse gives every hash of a log that keeps few: kept reads a stored one, record
// gives the hash of a record.
func Sparse(kept Read, record Read) Read {
	return func(number uint64) (Hash, error) {
		level, n := tlog.SplitStoredHashIndex(int64(number))
		if level >= blockLevel {
			return kept(number)
		}
		return subtree(level, uint64(n)<<level, record)
	}
}

// subtree is the hash over the 2^level records from first on.
func subtree(level int, first uint64, record Read) (Hash, error) {
	if level == 0 {
		return record(first)
	}
	left, err := subtree(level-1, first, record)
	if err != nil {
		return Hash{}, err
	}
	right, err := subtree(level-1, first+1<<(level-1), record)
	return Hash(tlog.NodeHash(tlog.Hash(left), tlog.Hash(right))), err
}
