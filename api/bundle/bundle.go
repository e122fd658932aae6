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
	"sort"

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
type State struct{ rows map[string]Hash }

// Put adds or replaces a row by its shipped bytes.
func (s *State) Put(key string, body []byte) {
	if s.rows == nil {
		s.rows = map[string]Hash{}
	}
	s.rows[key] = sha256.Sum256(body)
}

// Remove forgets a row; an absent one is no error.
func (s *State) Remove(key string) { delete(s.rows, key) }

// Len counts rows.
func (s *State) Len() int { return len(s.rows) }

// Clone copies the state, so that a change can be tried before it is kept.
func (s *State) Clone() *State {
	next := &State{rows: make(map[string]Hash, len(s.rows))}
	for k, v := range s.rows {
		next.rows[k] = v
	}
	return next
}

// Hash is SHA-256 over the rows ordered by key: for each, the key's length (4
// bytes, big endian), the key, and SHA-256 of the shipped bytes.
func (s *State) Hash() Hash {
	keys := make([]string, 0, len(s.rows))
	for k := range s.rows {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	h := sha256.New()
	h.Write([]byte("domicile bundle state v1\n"))
	var n [4]byte
	for _, k := range keys {
		binary.BigEndian.PutUint32(n[:], uint32(len(k)))
		h.Write(n[:])
		h.Write([]byte(k))
		row := s.rows[k]
		h.Write(row[:])
	}
	return Hash(h.Sum(nil))
}
