package move

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
)

// sum runs over the rows of one side.
type sum struct {
	rows, bytes uint64
	hash        hash.Hash
	length      []byte
}

func newSum() *sum { return &sum{hash: sha256.New()} }

func (s *sum) add(key, value []byte) {
	s.rows, s.bytes = s.rows+1, s.bytes+uint64(len(key)+len(value))
	for _, part := range [][]byte{key, value} {
		s.length = binary.AppendUvarint(s.length[:0], uint64(len(part)))
		s.hash.Write(s.length)
		s.hash.Write(part)
	}
}

// pair is the sums of both sides.
type pair struct{ from, to *sum }

func newPair() pair { return pair{newSum(), newSum()} }

// equal gives what both sides have, or an error when they have not the same.
func (p pair) equal(name string) (Sum, error) {
	a, b := p.from.hash.Sum(nil), p.to.hash.Sum(nil)
	if p.from.rows != p.to.rows || !bytes.Equal(a, b) {
		return Sum{}, fmt.Errorf("%s is not the same on both sides: %d rows with hash %x here, %d with %x in the database", name, p.from.rows, a[:8], p.to.rows, b[:8])
	}
	return Sum{Name: name, Rows: p.from.rows, Bytes: p.from.bytes, SHA256: hex.EncodeToString(a)}, nil
}

func (p pair) clone() pair { return pair{p.from.clone(), p.to.clone()} }

func (s *sum) clone() *sum {
	out := &sum{rows: s.rows, bytes: s.bytes, hash: sha256.New()}
	state, err := s.hash.(encoding.BinaryMarshaler).MarshalBinary()
	if err == nil {
		err = out.hash.(encoding.BinaryUnmarshaler).UnmarshalBinary(state)
	}
	if err != nil {
		panic(err) // crypto/sha256 can
	}
	return out
}
