package local

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"github.com/domicile-io/domicile/policy"
)

// A names file, one per generation, is a run of entries of nameEntry bytes,
// which a disk sector holds whole, so that a write is never torn inside:
//
//	0   tag: HMAC-SHA256 of the name, under a key of the sheet that outlives generations
//	32  wrapped key
//	92  zeros
//	124 CRC-32C of what is before
//
// The CRC tells a cut-short tail from a changed entry. That matters here: an
// entry taken for absent would be made anew, and an index under a new key
// finds nothing.
const (
	nameEntry = 128
	maxName   = 256
)

// nobodyTag begins the tag of an entry that nobody's name leads to. A name's own
// tag begins so by chance once in 2^64.
var nobodyTag = bytes.Repeat([]byte{0xFF}, 8)

type names struct {
	file  *file
	gen   uint64
	wrap  wrapper
	tag   [32]byte // key of the tags
	keys  map[[32]byte][32]byte
	count int64
}

func namesName(gen uint64) string { return fmt.Sprintf("names-%08d", gen) }

// createNames makes a names file that holds keys; it is durable when its folder
// is synced.
func createNames(p *places, region policy.RegionID, gen uint64, key, tag [32]byte, keys map[[32]byte][32]byte, random io.Reader) (*names, error) {
	n, err := namesOf(p, region, gen, key, tag, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, err
	}
	var all []byte
	for tag, key := range keys {
		e, err := n.entry(tag, key, random)
		if err != nil {
			n.drop()
			return nil, err
		}
		all = append(all, e...)
		n.keys[tag] = key
	}
	n.count = int64(len(keys))
	if err := n.file.write(all, 0); err != nil {
		n.drop()
		return nil, fmt.Errorf("wrap the named keys anew: %w", err)
	}
	return n, nil
}

func openNames(p *places, region policy.RegionID, gen uint64, key, tag [32]byte) (*names, error) {
	n, err := namesOf(p, region, gen, key, tag, 0)
	if err != nil {
		return nil, err
	}
	if err := n.read(); err != nil {
		n.drop()
		return nil, err
	}
	return n, nil
}

func namesOf(p *places, region policy.RegionID, gen uint64, key, tag [32]byte, flag int) (*names, error) {
	w, err := newWrapper(key, region, nameKind)
	if err != nil {
		return nil, err
	}
	f, err := p.open(namesName(gen), flag)
	if err != nil {
		return nil, fmt.Errorf("open the name table: %w", err)
	}
	return &names{file: f, gen: gen, wrap: w, tag: tag, keys: map[[32]byte][32]byte{}}, nil
}

func (n *names) read() error {
	size, err := n.file.size()
	if err != nil {
		return err
	}
	data, err := io.ReadAll(io.NewSectionReader(n.file.f, 0, size))
	if err != nil {
		return err
	}
	full := data[:len(data)/nameEntry*nameEntry]
	// A file system may have grown the file before a crash and not written the
	// entry: zeros at the end were never acknowledged.
	for len(full) > 0 && allZero(full[len(full)-nameEntry:]) {
		full = full[:len(full)-nameEntry]
	}
	for at := 0; at < len(full); at += nameEntry {
		e := full[at : at+nameEntry]
		if !whole(e) {
			return fmt.Errorf("entry %d of the name table: %w", at/nameEntry, errChanged)
		}
		key, err := n.wrap.open(e[32:32+wrapped], n.gen, e[:32])
		if err != nil {
			return fmt.Errorf("entry %d of the name table: %w", at/nameEntry, err)
		}
		n.keys[[32]byte(e[:32])] = key
	}
	n.count = int64(len(full) / nameEntry)
	if len(full) == len(data) {
		return nil
	}
	return n.file.f.Truncate(int64(len(full)))
}

func (n *names) find(name string) ([32]byte, bool) {
	key, ok := n.keys[n.tagOf(name)]
	return key, ok
}

// add makes a new key for name durable.
func (n *names) add(name string, random io.Reader) (key [32]byte, err error) {
	if key, err = randomKey(random); err != nil {
		return key, err
	}
	tag := n.tagOf(name)
	e, err := n.entry(tag, key, random)
	if err != nil {
		return key, err
	}
	if err := n.file.write(e, n.count*nameEntry); err != nil {
		return key, fmt.Errorf("extend the name table: %w", err)
	}
	n.keys[tag] = key
	n.count++
	return key, nil
}

// forget overwrites the entries of names in place and syncs.
func (n *names) forget(list []string, random io.Reader) (int, error) {
	gone := map[[32]byte]bool{}
	for _, name := range list {
		if tag := n.tagOf(name); n.keys[tag] != [32]byte{} {
			gone[tag] = true
		}
	}
	if len(gone) == 0 {
		return 0, nil
	}
	at := make([]byte, 32)
	for i := int64(0); i < n.count; i++ {
		if _, err := n.file.f.ReadAt(at, i*nameEntry); err != nil {
			return 0, fmt.Errorf("read the name table: %w", err)
		}
		if !gone[[32]byte(at)] {
			continue
		}
		nobody, err := randomKey(random)
		if err != nil {
			return 0, err
		}
		copy(nobody[:], nobodyTag)
		nothing, err := randomKey(random)
		if err != nil {
			return 0, err
		}
		e, err := n.entry(nobody, nothing, random)
		if err != nil {
			return 0, err
		}
		if err := n.file.put(e, i*nameEntry); err != nil {
			return 0, fmt.Errorf("forget a name: %w", err)
		}
		delete(n.keys, [32]byte(at))
		n.keys[nobody] = nothing
	}
	if err := n.file.sync(); err != nil {
		return 0, fmt.Errorf("forget names: %w", err)
	}
	return len(gone), nil
}

func (n *names) entry(tag, key [32]byte, random io.Reader) ([]byte, error) {
	e, err := n.wrap.seal(bytes.Clone(tag[:]), key, n.gen, tag[:], random)
	if err != nil {
		return nil, err
	}
	return summed(append(e, make([]byte, nameEntry-4-len(e))...)), nil
}

// living are the keys that a name leads to.
func (n *names) living() map[[32]byte][32]byte {
	out := make(map[[32]byte][32]byte, len(n.keys))
	for tag, key := range n.keys {
		if !bytes.HasPrefix(tag[:], nobodyTag) {
			out[tag] = key
		}
	}
	return out
}

func (n *names) tagOf(name string) [32]byte {
	mac := hmac.New(sha256.New, n.tag[:])
	mac.Write([]byte(name))
	return [32]byte(mac.Sum(nil))
}

// drop wipes what it holds, as far as the language lets it.
func (n *names) drop() {
	clear(n.keys)
	clear(n.tag[:])
	n.wrap = wrapper{}
	_ = n.file.close()
}
