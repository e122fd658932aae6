// Package bundle is what both ends of the distribution stream agree on: the
// encoding of a row, the hash of a bundle's state, and the seal that says
// which control plane stands behind it and until when.
//
// A bundle is a set of rows ([policy.Row]) named by [policy.Row.RowKey]. Its
// state hash covers every row, so that a node that applied deltas can prove it
// holds what the control plane holds. A seal authenticates the transport only:
// policies carry their own signatures.
//
// The writer calls [Encode], [State.Put] and [Signer.Seal]; the reader calls
// [Decode], [State.Put] and [Verify], and compares [State.Hash] with the seal.
package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/domicile-io/domicile/policy"
)

// Limits of the stream. Both ends check them.
const (
	MaxPartBytes = 1 << 20   // rows of one snapshot part together
	MaxRowBytes  = 512 << 10 // one row
)

// Hash is SHA-256.
type Hash = [sha256.Size]byte

// Encode gives a row's key and the JSON form that is shipped and hashed. The
// row's format is set. A row of no kind, or longer than MaxRowBytes, is an error.
func Encode(r policy.Row) (key string, body []byte, err error) {
	key = r.RowKey()
	if key == "" {
		return "", nil, fmt.Errorf("encode a bundle row: none of region, tenant, pair is set")
	}
	r.Format = policy.FormatVersion
	if body, err = json.Marshal(r); err != nil {
		return "", nil, fmt.Errorf("encode bundle row %s: %w", key, err)
	}
	if len(body) > MaxRowBytes {
		return "", nil, fmt.Errorf("bundle row %s is %d bytes, more than %d", key, len(body), MaxRowBytes)
	}
	return key, body, nil
}

// Decode reads a shipped row strictly: an unknown field, another format, a row
// of no kind or of two, and trailing bytes are errors. Errors name no values.
func Decode(body []byte) (policy.Row, error) {
	var r policy.Row
	if len(body) > MaxRowBytes {
		return r, fmt.Errorf("bundle row is %d bytes, more than %d", len(body), MaxRowBytes)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return policy.Row{}, fmt.Errorf("decode a bundle row: %w", err)
	}
	if d.More() {
		return policy.Row{}, fmt.Errorf("decode a bundle row: bytes after the row")
	}
	if r.Format != policy.FormatVersion {
		return policy.Row{}, fmt.Errorf("bundle row has format %d, this node reads %d", r.Format, policy.FormatVersion)
	}
	kinds := 0
	for _, set := range []bool{r.Region != nil, r.Tenant != nil, r.Pair != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		return policy.Row{}, fmt.Errorf("bundle row has %d kinds, want exactly 1", kinds)
	}
	return r, nil
}

// State is the set of row hashes of one bundle. The zero State is empty and
// ready. It is not safe for concurrent use.
type State struct {
	rows  map[string]Hash
	keys  []string // of rows, in order, as of the last Hash; never changed in place, so that clones share it
	added []string // keys since then, in any order
	gone  bool     // a key was removed since then
}

// Put adds or replaces a row by its shipped bytes.
func (s *State) Put(key string, body []byte) {
	if s.rows == nil {
		s.rows = map[string]Hash{}
	}
	if _, known := s.rows[key]; !known {
		s.added = append(s.added, key)
	}
	s.rows[key] = sha256.Sum256(body)
}

// Remove forgets a row; an absent one is no error.
func (s *State) Remove(key string) {
	if _, known := s.rows[key]; known {
		delete(s.rows, key)
		s.gone = true
	}
}

// Len counts rows.
func (s *State) Len() int { return len(s.rows) }

// Clone copies the state, so that a change can be tried before it is kept.
func (s *State) Clone() *State {
	rows := make(map[string]Hash, len(s.rows))
	maps.Copy(rows, s.rows)
	return &State{rows: rows, keys: s.keys, added: slices.Clone(s.added), gone: s.gone}
}

// Hash is SHA-256 over the rows ordered by key: for each, the key's length (4
// bytes, big endian), the key, and SHA-256 of the shipped bytes.
func (s *State) Hash() Hash {
	s.order()
	h := sha256.New()
	h.Write([]byte("domicile bundle state v1\n"))
	var n [4]byte
	for _, k := range s.keys {
		binary.BigEndian.PutUint32(n[:], uint32(len(k)))
		h.Write(n[:])
		h.Write([]byte(k))
		row := s.rows[k]
		h.Write(row[:])
	}
	return Hash(h.Sum(nil))
}

// order brings keys up to date. A bundle is hashed at every change of it, and
// sorting all of a large one each time would cost more than the hash.
func (s *State) order() {
	if len(s.added) == 0 && !s.gone {
		return
	}
	slices.Sort(s.added)
	merged := make([]string, 0, len(s.keys)+len(s.added))
	old, added := s.keys, s.added
	for len(old) > 0 || len(added) > 0 {
		from := &old
		if len(old) == 0 || (len(added) > 0 && added[0] < old[0]) {
			from = &added
		}
		key := (*from)[0]
		*from = (*from)[1:]
		_, held := s.rows[key]
		twice := len(merged) > 0 && merged[len(merged)-1] == key // removed and added again
		if held && !twice {
			merged = append(merged, key)
		}
	}
	s.keys, s.added, s.gone = merged, nil, false
}
