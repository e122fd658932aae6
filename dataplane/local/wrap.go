package local

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/domicile-io/domicile/policy"
)

// format is the number of every layout in this package; it stands in each
// file's head and in every AAD. Format 1 had no custodian and no sheets, and was
// never in a release.
const format = 2

// wrapped is the size of a wrapped key: 12 bytes of random nonce, 32 of
// ciphertext, 16 of tag. Random nonces are safe far beyond what one table
// holds (2^32 keys for a chance of 2^-32).
const wrapped = 12 + 32 + 16

// kind separates what is wrapped, so that no wrapped key passes for another's.
type kind string

const (
	slotKind  kind = "generation"
	chunkKind kind = "chunk"
	nameKind  kind = "name"
)

// wrapper wraps keys under one key.
type wrapper struct {
	aead   cipher.AEAD
	region policy.RegionID
	kind   kind
}

func newWrapper(key [32]byte, region policy.RegionID, k kind) (wrapper, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return wrapper{}, err
	}
	aead, err := cipher.NewGCM(block)
	return wrapper{aead: aead, region: region, kind: k}, err
}

// aad binds a wrapped key to region, format, kind, generation and place.
func (w wrapper) aad(gen uint64, place []byte) []byte {
	out := make([]byte, 0, 64+len(place))
	out = append(out, "domicile key\x00"...)
	out = append(out, w.region...)
	out = append(out, 0, format)
	out = append(out, w.kind...)
	out = append(out, 0)
	out = binary.BigEndian.AppendUint64(out, gen)
	return append(out, place...)
}

// seal appends the wrapped form of key to dst.
func (w wrapper) seal(dst []byte, key [32]byte, gen uint64, place []byte, random io.Reader) ([]byte, error) {
	var nonce [12]byte
	if _, err := io.ReadFull(random, nonce[:]); err != nil {
		return nil, fmt.Errorf("draw a nonce: %w", err)
	}
	dst = append(dst, nonce[:]...)
	return w.aead.Seal(dst, nonce[:], key[:], w.aad(gen, place)), nil
}

// open unwraps; a changed byte, another place or another region is an error.
func (w wrapper) open(b []byte, gen uint64, place []byte) (key [32]byte, err error) {
	if len(b) != wrapped {
		return key, errChanged
	}
	plain, err := w.aead.Open(nil, b[:12], b[12:], w.aad(gen, place))
	if err != nil {
		return key, errChanged
	}
	key = [32]byte(plain)
	clear(plain)
	return key, nil
}

var errChanged = policy.Errorf(policy.Internal, "a wrapped key does not open: its bytes, its place or the root key are not what they were; restore the keyring from its copy")

func randomKey(random io.Reader) (key [32]byte, err error) {
	if _, err := io.ReadFull(random, key[:]); err != nil {
		return key, fmt.Errorf("draw a key: %w", err)
	}
	return key, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// summed appends the CRC-32C of b, which says without a key whether it is whole.
func summed(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// whole reports whether summed made b.
func whole(b []byte) bool {
	n := len(b) - 4
	return n >= 0 && crc32.Checksum(b[:n], castagnoli) == binary.BigEndian.Uint32(b[n:])
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func isDestroyed(err error) bool { return errors.Is(err, &policy.Error{Reason: policy.Destroyed}) }
