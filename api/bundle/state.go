package bundle

import (
	"crypto/sha256"
	"slices"
)

// fan is how many children each of the two levels of a state's tree has: 4096
// buckets, so that a bundle of a million rows has about 244 in each and one
// changed row costs the hash of three nodes of about 12, 2 and 2 KB.
const fan = 64

// keyBytes of SHA-256 of its key name a row: enough that nobody finds two keys
// with one name, and half of the memory of the keys themselves.
const keyBytes = 16

// State is the set of row hashes of one bundle, as a tree of hashes in which a
// change costs the same however many rows there are. The zero State is empty
// and ready. It is not safe for concurrent use, but clones of one are
// independent of each other. It takes about 50 bytes for each row.
//
// A row stands in the bucket that the first 12 bits of SHA-256 of its key name.
// A bucket's hash is SHA-256 over 0 and, in order of the first 16 bytes of that
// hash, these bytes and SHA-256 of the row's shipped bytes; an empty bucket's
// is 32 zero bytes. A branch's is SHA-256 over 1 and its 64 buckets' hashes,
// the state's over [stateDomain] and its 64 branches'.
type State struct {
	branches [fan]*branch // nil: empty
	rows     int
	own      *owner // nodes that carry it may be changed in place
}

const stateDomain = "domicile bundle state v2\n"

// owner marks the nodes that one State alone holds. It is not empty, so that
// each has an address of its own.
type owner struct{ _ byte }

type branch struct {
	own     *owner
	buckets [fan]*bucket // nil: empty
	sum     Hash
	clean   bool // sum is right
}

type bucket struct {
	own   *owner
	rows  []rowHash // in order of key
	sum   Hash
	clean bool
}

type rowHash struct {
	key  [keyBytes]byte
	body Hash
}

// place says where a key's row stands.
func place(key string) (b, i int, name [keyBytes]byte) {
	h := sha256.Sum256([]byte(key))
	return int(h[0] >> 2), int(h[0]&3)<<4 | int(h[1]>>4), [keyBytes]byte(h[:])
}

func compareRows(r rowHash, key [keyBytes]byte) int {
	return slices.Compare(r.key[:], key[:])
}

// Put adds or replaces a row by its shipped bytes.
func (s *State) Put(key string, body []byte) { s.PutHash(key, sha256.Sum256(body)) }

// PutHash is Put for a row whose SHA-256 is known.
func (s *State) PutHash(key string, body Hash) {
	b := s.edit(key)
	_, _, name := place(key)
	i, known := slices.BinarySearchFunc(b.rows, name, compareRows)
	if known {
		b.rows[i].body = body
		return
	}
	if len(b.rows) == cap(b.rows) { // grow by little: a state is large and lives long
		rows := make([]rowHash, len(b.rows), len(b.rows)+len(b.rows)/8+2)
		copy(rows, b.rows)
		b.rows = rows
	}
	b.rows = slices.Insert(b.rows, i, rowHash{name, body})
	s.rows++
}

// Remove forgets a row; an absent one is no error.
func (s *State) Remove(key string) {
	if _, known := s.RowHash(key); !known {
		return
	}
	b := s.edit(key)
	_, _, name := place(key)
	i, _ := slices.BinarySearchFunc(b.rows, name, compareRows)
	b.rows = slices.Delete(b.rows, i, i+1)
	s.rows--
}

// RowHash gives SHA-256 of the shipped bytes of the row with this key.
func (s *State) RowHash(key string) (body Hash, known bool) {
	at, i, name := place(key)
	if s.branches[at] == nil || s.branches[at].buckets[i] == nil {
		return body, false
	}
	rows := s.branches[at].buckets[i].rows
	if i, known = slices.BinarySearchFunc(rows, name, compareRows); known {
		body = rows[i].body
	}
	return body, known
}

// edit gives the bucket of a key as one that only s holds.
func (s *State) edit(key string) *bucket {
	if s.own == nil {
		s.own = &owner{}
	}
	at, i, _ := place(key)
	br := s.branches[at]
	switch {
	case br == nil:
		br = &branch{own: s.own}
	case br.own != s.own:
		br = &branch{own: s.own, buckets: br.buckets}
	}
	br.clean, s.branches[at] = false, br
	b := br.buckets[i]
	switch {
	case b == nil:
		b = &bucket{own: s.own}
	case b.own != s.own:
		rows := make([]rowHash, len(b.rows), len(b.rows)+1)
		copy(rows, b.rows)
		b = &bucket{own: s.own, rows: rows}
	}
	b.clean, br.buckets[i] = false, b
	return b
}

// Len counts rows.
func (s *State) Len() int { return s.rows }

// Clone gives an independent state with the same rows, so that a change can be
// tried before it is kept. It copies 64 pointers.
func (s *State) Clone() *State {
	s.Hash() // what is shared is never written again, not even its cached hash
	s.own = nil
	return &State{branches: s.branches, rows: s.rows}
}

// Hash covers every row and does not depend on how the state came about.
func (s *State) Hash() Hash {
	h := sha256.New()
	h.Write([]byte(stateDomain))
	var none Hash
	for _, br := range s.branches {
		if br == nil {
			h.Write(none[:])
			continue
		}
		sum := br.hash()
		h.Write(sum[:])
	}
	return Hash(h.Sum(nil))
}

// An empty branch and one whose rows have all gone have the same hash: zero.
func (b *branch) hash() Hash {
	if b.clean {
		return b.sum
	}
	h, empty := sha256.New(), true
	h.Write([]byte{1})
	var none Hash
	for _, c := range b.buckets {
		if c == nil || len(c.rows) == 0 {
			h.Write(none[:])
			continue
		}
		empty = false
		sum := c.hash()
		h.Write(sum[:])
	}
	b.sum, b.clean = Hash{}, true
	if !empty {
		b.sum = Hash(h.Sum(nil))
	}
	return b.sum
}

func (b *bucket) hash() Hash {
	if b.clean {
		return b.sum
	}
	h := sha256.New()
	h.Write([]byte{0})
	for i := range b.rows {
		h.Write(b.rows[i].key[:])
		h.Write(b.rows[i].body[:])
	}
	b.sum, b.clean = Hash(h.Sum(nil)), true
	return b.sum
}
