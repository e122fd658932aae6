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
	"encoding/json"
	"errors"
	"fmt"
	"io"

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
		return "", nil, fmt.Errorf("encode a bundle row: none of region, tenant, pair, basis, features, node is set")
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
	if _, err := d.Token(); !errors.Is(err, io.EOF) { // More would pass over a bracket
		return policy.Row{}, fmt.Errorf("decode a bundle row: bytes after the row")
	}
	if r.Format != policy.FormatVersion {
		return policy.Row{}, fmt.Errorf("bundle row has format %d, this node reads %d", r.Format, policy.FormatVersion)
	}
	kinds := 0
	for _, set := range []bool{r.Region != nil, r.Tenant != nil, r.Pair != nil, r.Basis != nil, r.Features != nil, r.Node != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		return policy.Row{}, fmt.Errorf("bundle row has %d kinds, want exactly 1", kinds)
	}
	return r, nil
}
