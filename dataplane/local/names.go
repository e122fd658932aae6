package local

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"

	"github.com/domicile-io/domicile/policy"
)

// A names file, one per generation, is a run of entries of nameEntry bytes,
// which a disk sector holds whole, so that a write is never torn inside:
//
//	0   tag: HMAC-SHA256 of the name under a key of the root, which outlives generations
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

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type names struct {
	file  *os.File
	gen   uint64
	wrap  wrapper
	tag   [32]byte // key of the tags
	keys  map[[32]byte][32]byte
	count int64
}

func openNames(dir string, region policy.RegionID, gen uint64, key, tag [32]byte) (*names, error) {
	w, err := newWrapper(derive(key, "name"), region, nameKind)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(namesPath(dir, gen), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	n := &names{file: f, gen: gen, wrap: w, tag: tag, keys: map[[32]byte][32]byte{}}
	if err := n.read(); err != nil {
		f.Close()
		return nil, err
	}
	return n, syncDir(dir)
}

func namesPath(dir string, gen uint64) string {
	return filepath.Join(dir, fmt.Sprintf("names-%08d", gen))
}

func (n *names) read() error {
	data, err := io.ReadAll(n.file)
	if err != nil {
		return err
	}
	whole := data[:len(data)/nameEntry*nameEntry]
	// A file system may have grown the file before a crash and not written the
	// entry: zeros at the end were never acknowledged.
	for len(whole) > 0 && allZero(whole[len(whole)-nameEntry:]) {
		whole = whole[:len(whole)-nameEntry]
	}
	for at := 0; at < len(whole); at += nameEntry {
		e := whole[at : at+nameEntry]
		if crc32.Checksum(e[:124], castagnoli) != binary.BigEndian.Uint32(e[124:]) {
			return fmt.Errorf("entry %d of the name table: %w", at/nameEntry, errChanged)
		}
		key, err := n.wrap.open(e[32:32+wrapped], n.gen, e[:32])
		if err != nil {
			return fmt.Errorf("entry %d of the name table: %w", at/nameEntry, err)
		}
		n.keys[[32]byte(e[:32])] = key
	}
	n.count = int64(len(whole) / nameEntry)
	if len(whole) == len(data) {
		return nil
	}
	return n.file.Truncate(int64(len(whole)))
}

func (n *names) find(name string) ([32]byte, bool) {
	key, ok := n.keys[n.tagOf(name)]
	return key, ok
}

// add makes a new key for name durable.
func (n *names) add(name string, random io.Reader) (key [32]byte, err error) {
	if _, err := io.ReadFull(random, key[:]); err != nil {
		return key, err
	}
	tag := n.tagOf(name)
	e, err := n.entry(tag, key, random)
	if err != nil {
		return key, err
	}
	if err := writeAt(n.file, e, n.count*nameEntry); err != nil {
		return key, fmt.Errorf("extend the name table: %w", err)
	}
	n.keys[tag] = key
	n.count++
	return key, nil
}

// takeOver wraps all names of an older generation under this one.
func (n *names) takeOver(old *names, random io.Reader) error {
	var all []byte
	for tag, key := range old.keys {
		e, err := n.entry(tag, key, random)
		if err != nil {
			return err
		}
		all = append(all, e...)
	}
	if err := writeAt(n.file, all, 0); err != nil {
		return fmt.Errorf("wrap the named keys anew: %w", err)
	}
	n.keys, n.count = maps.Clone(old.keys), old.count
	return nil
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
		if _, err := n.file.ReadAt(at, i*nameEntry); err != nil {
			return 0, fmt.Errorf("read the name table: %w", err)
		}
		if !gone[[32]byte(at)] {
			continue
		}
		var nobody, nothing [32]byte
		if _, err := io.ReadFull(random, nobody[:]); err != nil {
			return 0, err
		}
		if _, err := io.ReadFull(random, nothing[:]); err != nil {
			return 0, err
		}
		e, err := n.entry(nobody, nothing, random)
		if err != nil {
			return 0, err
		}
		if err := writeAt(n.file, e, i*nameEntry); err != nil {
			return 0, fmt.Errorf("forget a name: %w", err)
		}
		delete(n.keys, [32]byte(at))
		n.keys[nobody] = nothing
	}
	return len(gone), nil
}

func (n *names) entry(tag, key [32]byte, random io.Reader) ([]byte, error) {
	e, err := n.wrap.seal(append([]byte(nil), tag[:]...), key, n.gen, tag[:], random)
	if err != nil {
		return nil, err
	}
	e = append(e, make([]byte, 124-len(e))...)
	return binary.BigEndian.AppendUint32(e, crc32.Checksum(e, castagnoli)), nil
}

func (n *names) tagOf(name string) [32]byte {
	mac := hmac.New(sha256.New, n.tag[:])
	mac.Write([]byte(name))
	return [32]byte(mac.Sum(nil))
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
