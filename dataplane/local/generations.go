package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/domicile-io/domicile/policy"
)

// The generations file: one slot of slotSize bytes per generation, generation 1
// first. A slot is one disk sector, so destroying one never rewrites another:
//
//	0  magic "DOMKGEN" and the format number
//	8  generation, big endian
//	16 state: 'L' live, 'D' destroyed (the rest is then random)
//	17 wrapped generation key
//	77 zeros
const (
	slotSize  = 512
	slotMagic = "DOMKGEN"
	live      = 'L'
	destroyed = 'D'
)

type generations struct {
	file   *os.File
	root   wrapper
	keys   map[uint64][32]byte // live ones
	count  uint64              // slots, also destroyed ones
	random io.Reader
}

func openGenerations(path string, region policy.RegionID, root [32]byte, random io.Reader) (*generations, error) {
	w, err := newWrapper(root, region, generationKind)
	if err != nil {
		return nil, err
	}
	g := &generations{root: w, keys: map[uint64][32]byte{}, random: random}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		slot, _, err := g.make(1)
		if err != nil {
			return nil, err
		}
		if err := writeWhole(path, slot); err != nil {
			return nil, err
		}
	}
	if g.file, err = os.OpenFile(path, os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	if err := g.read(); err != nil {
		g.file.Close()
		return nil, err
	}
	return g, nil
}

func (g *generations) read() error {
	data, err := io.ReadAll(g.file)
	if err != nil {
		return err
	}
	// A torn last slot, short or still zeros, belongs to a generation that was
	// never used.
	g.count = uint64(len(data) / slotSize)
	if n := g.count; n > 1 && allZero(data[(n-1)*slotSize:]) {
		g.count--
	}
	for n := uint64(1); n <= g.count; n++ {
		s := data[(n-1)*slotSize : n*slotSize]
		if string(s[:7]) != slotMagic || s[7] != format || binary.BigEndian.Uint64(s[8:]) != n {
			return fmt.Errorf("slot %d of %s is not of format %d: %w", n, generationsFile, format, errChanged)
		}
		if s[16] == destroyed {
			continue
		}
		key, err := g.root.open(s[17:17+wrapped], n, nil)
		if err != nil {
			return fmt.Errorf("generation %d: %w", n, err)
		}
		g.keys[n] = key
	}
	if _, ok := g.keys[g.count]; !ok {
		return fmt.Errorf("%s has no live newest generation: %w", generationsFile, errChanged)
	}
	return nil
}

// make draws a generation's key and the bytes of its slot.
func (g *generations) make(n uint64) (slot []byte, key [32]byte, err error) {
	if _, err := io.ReadFull(g.random, key[:]); err != nil {
		return nil, key, fmt.Errorf("draw a generation key: %w", err)
	}
	s := append([]byte(slotMagic), format)
	s = binary.BigEndian.AppendUint64(s, n)
	s, err = g.root.seal(append(s, live), key, n, nil, g.random)
	if err != nil {
		return nil, key, err
	}
	return append(s, make([]byte, slotSize-len(s))...), key, nil
}

// add makes the next generation durable.
func (g *generations) add(n uint64, slot []byte, key [32]byte) error {
	if err := writeAt(g.file, slot, int64(n-1)*slotSize); err != nil {
		return err
	}
	g.keys[n], g.count = key, n
	return nil
}

// destroy overwrites the slot's key in place and syncs.
func (g *generations) destroy(n uint64) error {
	rest := make([]byte, slotSize-16)
	if _, err := io.ReadFull(g.random, rest); err != nil {
		return fmt.Errorf("draw the overwrite of generation %d: %w", n, err)
	}
	rest[0] = destroyed
	if err := writeAt(g.file, rest, int64(n-1)*slotSize+16); err != nil {
		return err
	}
	delete(g.keys, n)
	return nil
}

func (g *generations) current() uint64 { return g.count }

func (g *generations) key(n uint64) ([32]byte, error) {
	if key, ok := g.keys[n]; ok {
		return key, nil
	}
	if n >= 1 && n <= g.count {
		return [32]byte{}, policy.Errorf(policy.Destroyed, "key generation %d was destroyed; what it sealed is gone for good", n)
	}
	return [32]byte{}, policy.Errorf(policy.Internal, "key generation %d is not in this keyring: is it the keyring of these records?", n)
}

// writeAt writes in place and makes it durable.
func writeAt(f *os.File, b []byte, at int64) error {
	if _, err := f.WriteAt(b, at); err != nil {
		return err
	}
	return datasync(f)
}

func datasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

func isDestroyed(err error) bool { return errors.Is(err, &policy.Error{Reason: policy.Destroyed}) }
