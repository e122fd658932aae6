package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
)

// Sealer seals small values under one named key of the region, with a random
// 96-bit nonce each (NIST SP 800-38D: below 2^32 values for one key) and the
// value's place as additional data, so that a value moved elsewhere does not open.
type Sealer struct {
	aead    cipher.AEAD
	purpose string
}

// NewSealer uses the region key called name; region and name are part of every
// value's additional data (invariant 7).
func NewSealer(keys Keys, region, name string) (*Sealer, error) {
	key, err := keys.Named(name)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", name, err)
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("cipher of %s: %w", name, err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("cipher of %s: %w", name, err)
	}
	return &Sealer{aead: aead, purpose: "domicile sealed v1\x00" + region + "\x00" + name + "\x00"}, nil
}

// Seal encrypts plain, bound to place (a key, an id).
func (s *Sealer) Seal(plain, place []byte) []byte {
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		panic("no randomness: " + err.Error()) // crypto/rand never fails on supported systems
	}
	return s.aead.Seal(nonce, nonce, plain, s.aad(place))
}

// Open decrypts what Seal made for the same place. An error means corruption or
// a foreign key; the value must not be served.
func (s *Sealer) Open(sealed, place []byte) ([]byte, error) {
	if len(sealed) < s.aead.NonceSize() {
		return nil, fmt.Errorf("sealed value is too short")
	}
	n := s.aead.NonceSize()
	plain, err := s.aead.Open(nil, sealed[:n], sealed[n:], s.aad(place))
	if err != nil {
		return nil, fmt.Errorf("sealed value does not open: %w", err)
	}
	return plain, nil
}

func (s *Sealer) aad(place []byte) []byte { return append([]byte(s.purpose), place...) }
