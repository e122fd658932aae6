package verify

import (
	"crypto/sha256"
	"math/bits"
)

// Hash is SHA-256 of a record or a subtree.
type Hash [sha256.Size]byte

// RecordHash is the hash of a leaf: SHA-256 of a zero byte and the record (RFC
// 6962 §2.1).
func RecordHash(record []byte) Hash {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(record)
	return Hash(h.Sum(nil))
}

// node is the hash of an inner node: SHA-256 of a one byte and both children.
func node(left, right Hash) Hash {
	h := sha256.New()
	h.Write([]byte{1})
	h.Write(left[:])
	h.Write(right[:])
	return Hash(h.Sum(nil))
}

// tree takes leaves from left to right and holds one hash for each full
// subtree so far, the largest first: one for each bit that is set in size.
type tree struct {
	size uint64
	full []Hash
}

// add appends a leaf. For each full subtree that it completes, the two halves
// become one.
func (t *tree) add(leaf Hash) {
	h := leaf
	for range bits.TrailingZeros64(^t.size) {
		h = node(t.full[len(t.full)-1], h)
		t.full = t.full[:len(t.full)-1]
	}
	t.full = append(t.full, h)
	t.size++
}

// root folds the full subtrees from the right; of no leaves it is SHA-256 of
// nothing.
func (t *tree) root() Hash {
	if t.size == 0 {
		return sha256.Sum256(nil)
	}
	last := len(t.full) - 1
	h := t.full[last]
	for i := last - 1; i >= 0; i-- {
		h = node(t.full[i], h)
	}
	return h
}

// Inclusion checks that leaf is record index of the tree that a checkpoint
// names (RFC 9162 §2.1.3.2).
func Inclusion(c Checkpoint, index uint64, leaf Hash, proof []Hash) error {
	if index >= c.Size {
		return found(BadProof, index, "the log of the checkpoint has %d records", c.Size)
	}
	fn, sn, r := index, c.Size-1, leaf
	for _, p := range proof {
		if sn == 0 {
			return found(BadProof, index, "the proof is longer than the way to the root")
		}
		if fn&1 == 1 || fn == sn {
			r = node(p, r)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			r = node(r, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 {
		return found(BadProof, index, "the proof is shorter than the way to the root")
	}
	if r != c.Root {
		return found(BadProof, index, "the record and its proof do not lead to the signed root")
	}
	return nil
}

// Consistency checks that the log of checkpoint older is the beginning of the
// log of checkpoint newer (RFC 9162 §2.1.4.2). Of two that disagree the finding
// is a FORK only without a proof to blame: both have one size, or the newer is
// the smaller. A proof that fails is BAD_PROOF: ask for another, or for all
// records.
func Consistency(older, newer Checkpoint, proof []Hash) error {
	switch {
	case older.Origin != newer.Origin:
		return found(Fork, older.Size, "the checkpoints are of different logs")
	case older.Size > newer.Size:
		return found(Truncated, newer.Size, "the log had %d records before", older.Size)
	case older.Size == newer.Size && older.Root != newer.Root:
		return found(Fork, older.Size, "two checkpoints of this size have different roots")
	case older.Size == newer.Size || older.Size == 0:
		if len(proof) > 0 {
			return found(BadProof, older.Size, "nothing needs a proof here, and one is given")
		}
		return nil
	case len(proof) == 0:
		return found(BadProof, older.Size, "the proof is empty")
	}
	if older.Size&(older.Size-1) == 0 { // a full tree: its root is not in the proof
		proof = append([]Hash{older.Root}, proof...)
	}
	fn, sn := older.Size-1, newer.Size-1
	for fn&1 == 1 {
		fn, sn = fn>>1, sn>>1
	}
	fr, sr := proof[0], proof[0]
	for _, p := range proof[1:] {
		if sn == 0 {
			return found(BadProof, older.Size, "the proof is longer than the way to the root")
		}
		if fn&1 == 1 || fn == sn {
			fr, sr = node(p, fr), node(p, sr)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			sr = node(sr, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 || fr != older.Root || sr != newer.Root {
		return found(BadProof, older.Size, "the proof does not lead from the older root to the newer")
	}
	return nil
}
