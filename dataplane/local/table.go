package local

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/domicile-io/domicile/internal/failpoint"
	"github.com/domicile-io/domicile/policy"
)

// A table file holds the chunk keys that were drawn in one generation (its
// birth), wrapped under a key of its own, which stands in the sheet of the
// current generation. Its version is the generation in which it was last
// written anew.
//
//	0    magic "DOMKTAB" and the format number
//	8    birth, big endian
//	16   version
//	24   1 once a key was destroyed in it: the next rotation writes it anew
//	25   zeros
//	512  entries of entrySize bytes: wrapped key, CRC-32C
//
// An entry never straddles a sector, so a write is never torn inside one. Zeros
// were never written; the mark says that the key was destroyed.
//
// Keys are made in blocks, synced before the first of a block is used. A start
// of the process begins a new block: which keys of an older block were used is
// not known, and a key is never handed out twice. So a block that a crash tore
// was never used, and stays behind as a hole.
const (
	tableBlock = 256
	tableMagic = "DOMKTAB"
	tableHead  = 512
	tableDirty = 24
	entrySize  = wrapped + 4
)

// destroyedMark stands where a key was.
var destroyedMark = summed(bytes.Repeat([]byte{0xDE}, wrapped))

type table struct {
	file    *file
	birth   uint64
	version uint64
	wrap    wrapper
	dirty   bool       // a key was destroyed since version
	next    uint64     // index of ready[0]
	ready   [][32]byte // durable, not yet used
	written uint64     // entries in the file, a torn last block counted whole
	anew    *rewrite   // while a rotation writes it anew
}

func tableName(birth, version uint64) string { return fmt.Sprintf("table-%08d-%08d", birth, version) }

func tableHeader(birth, version uint64) []byte {
	h := append(make([]byte, 0, tableHead), tableMagic...)
	h = append(h, format)
	h = binary.BigEndian.AppendUint64(h, birth)
	h = binary.BigEndian.AppendUint64(h, version)
	return h[:tableHead]
}

// createTable makes an empty table; it is durable when its folder is synced.
func createTable(p *places, region policy.RegionID, birth, version uint64, key [32]byte) (*table, error) {
	w, err := newWrapper(key, region, chunkKind)
	if err != nil {
		return nil, err
	}
	f, err := p.open(tableName(birth, version), os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, err
	}
	if err := f.write(tableHeader(birth, version), 0); err != nil {
		f.close()
		return nil, err
	}
	return &table{file: f, birth: birth, version: version, wrap: w}, nil
}

func openTable(p *places, region policy.RegionID, birth, version uint64, key [32]byte) (*table, error) {
	w, err := newWrapper(key, region, chunkKind)
	if err != nil {
		return nil, err
	}
	f, err := p.open(tableName(birth, version), 0)
	if err != nil {
		return nil, fmt.Errorf("open a key table: %w", err)
	}
	t := &table{file: f, birth: birth, version: version, wrap: w}
	if err := t.readHead(); err != nil {
		f.close()
		return nil, err
	}
	return t, nil
}

func (t *table) readHead() error {
	size, err := t.file.size()
	if err != nil {
		return err
	}
	h := make([]byte, tableHead)
	if _, err := t.file.f.ReadAt(h, 0); err != nil {
		return fmt.Errorf("head of %s: %w", t.file.name, errChanged)
	}
	t.dirty = h[tableDirty] != 0
	h[tableDirty] = 0
	if !bytes.Equal(h, tableHeader(t.birth, t.version)) {
		return fmt.Errorf("head of %s: %w", t.file.name, errChanged)
	}
	const blockSize = tableBlock * entrySize
	t.written = uint64((size-tableHead+blockSize-1)/blockSize) * tableBlock
	return nil
}

// draw hands out the next key, after making a block durable when none is left.
func (t *table) draw(random io.Reader) (uint64, [32]byte, error) {
	if len(t.ready) == 0 {
		if err := t.fill(random); err != nil {
			return 0, [32]byte{}, fmt.Errorf("extend the key table: %w", err)
		}
	}
	index, key := t.next, t.ready[0]
	clear(t.ready[0][:])
	t.next, t.ready = t.next+1, t.ready[1:]
	return index, key, nil
}

func (t *table) fill(random io.Reader) error {
	keys := make([][32]byte, tableBlock)
	block := make([]byte, 0, tableBlock*entrySize)
	for i := range keys {
		var err error
		if keys[i], err = randomKey(random); err != nil {
			return err
		}
		if block, err = t.entry(block, t.written+uint64(i), keys[i], random); err != nil {
			return err
		}
	}
	failpoint.At("keys/block")
	if err := t.file.write(block, offset(t.written)); err != nil {
		return err
	}
	failpoint.At("keys/block synced")
	t.next, t.ready = t.written, keys
	t.written += tableBlock
	return nil
}

// entry appends the entry of a key to dst.
func (t *table) entry(dst []byte, index uint64, key [32]byte, random io.Reader) ([]byte, error) {
	at := len(dst)
	dst, err := t.wrap.seal(dst, key, t.birth, place(index), random)
	if err != nil {
		return nil, err
	}
	return append(dst[:at], summed(dst[at:])...), nil
}

// open finds a key; an entry that is damaged is taken from the copy, and mended.
func (t *table) open(index uint64) ([32]byte, error) {
	if index >= t.written {
		return [32]byte{}, policy.Errorf(policy.Internal, "key %d of generation %d is not in the table: is it the keyring of these records, or was the table cut short?", index, t.birth)
	}
	b := make([]byte, entrySize)
	_, err := t.file.f.ReadAt(b, offset(index))
	if err == nil {
		if key, err := t.unwrap(b, index); err == nil || isDestroyed(err) {
			return key, err
		}
	}
	twin := t.file.other()
	if twin == nil {
		return [32]byte{}, errChanged
	}
	if _, err := twin.ReadAt(b, offset(index)); err != nil {
		return [32]byte{}, errChanged
	}
	key, err := t.unwrap(b, index)
	if err == nil || isDestroyed(err) {
		_, _ = t.file.f.WriteAt(b, offset(index)) // what fails to mend now is mended from the copy again
	}
	return key, err
}

func (t *table) unwrap(b []byte, index uint64) ([32]byte, error) {
	return unwrapEntry(t.wrap, t.birth, index, b)
}

func unwrapEntry(w wrapper, birth, index uint64, b []byte) ([32]byte, error) {
	if bytes.Equal(b, destroyedMark) {
		return [32]byte{}, policy.Errorf(policy.Destroyed, "the key was destroyed; what it sealed is gone for good")
	}
	if !whole(b) {
		return [32]byte{}, errChanged
	}
	return w.open(b[:wrapped], birth, place(index))
}

// mark writes, without a sync, that a key is destroyed.
func (t *table) mark(index uint64) error {
	if !t.dirty {
		// The flag first: a mark that no rotation noticed would leave the key to be
		// read from an older copy for good.
		if err := t.file.write([]byte{1}, tableDirty); err != nil {
			return err
		}
		t.dirty = true
	}
	if t.anew != nil {
		t.anew.marked = append(t.anew.marked, index)
	}
	return t.file.put(destroyedMark, offset(index))
}

// drop wipes what it holds, as far as the language lets it.
func (t *table) drop() {
	for i := range t.ready {
		clear(t.ready[i][:])
	}
	t.ready, t.wrap = nil, wrapper{}
	_ = t.file.close()
}

func offset(index uint64) int64 { return tableHead + int64(index)*entrySize }

func place(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }
