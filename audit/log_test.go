package audit

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"testing"
	"time"
)

// memory keeps a log's hashes and records as a store would.
type memory struct {
	records [][]byte
	hashes  []Hash
}

var errRead = errors.New("no such hash")

func (m *memory) read(number uint64) (Hash, error) {
	if number >= uint64(len(m.hashes)) {
		return Hash{}, errRead
	}
	return m.hashes[number], nil
}

func (m *memory) size() uint64 { return uint64(len(m.records)) }

func (m *memory) append(t testing.TB, record []byte) {
	t.Helper()
	first, hashes, err := Append(m.size(), record, m.read)
	if err != nil {
		t.Fatal(err)
	}
	if first != uint64(len(m.hashes)) || first != Stored(m.size()) {
		t.Fatalf("hashes of record %d start at %d, want %d", m.size(), first, len(m.hashes))
	}
	m.hashes = append(m.hashes, hashes...)
	m.records = append(m.records, record)
}

func leaf(n int) Leaf {
	return Leaf{Index: uint64(n), Time: time.Date(2026, 1, 2, 3, 4, 5, n, time.UTC), Actor: fmt.Sprintf("PR%032x", 10),
		Action: "tenant.create", Resource: fmt.Sprintf("TN%032x", n), Revision: uint64(n) + 1, Command: fmt.Sprintf("%064x", n)}
}

func signer(t testing.TB) (*Signer, ed25519.PublicKey) {
	t.Helper()
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public := private.Public().(ed25519.PublicKey)
	s, err := NewSigner(Origin("CL00000000000000000000000000000001"), public, func(m []byte) ([]byte, error) { return ed25519.Sign(private, m), nil })
	if err != nil {
		t.Fatal(err)
	}
	return s, public
}

// BenchmarkAppend is the cost of a leaf without its storage.
func BenchmarkAppend(b *testing.B) {
	m := &memory{}
	for n := 0; b.Loop(); n++ {
		record, err := leaf(n).Encode()
		if err != nil {
			b.Fatal(err)
		}
		m.append(b, record)
	}
}

// BenchmarkCheckpoint is root and signature of a log of 100,000 records.
func BenchmarkCheckpoint(b *testing.B) {
	m := &memory{}
	for n := range 100_000 {
		m.append(b, fmt.Appendf(nil, "%d", n))
	}
	s, _ := signer(b)
	for b.Loop() {
		root, err := Root(m.size(), m.read)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Sign(m.size(), root); err != nil {
			b.Fatal(err)
		}
	}
}
