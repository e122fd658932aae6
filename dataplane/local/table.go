package local

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/domicile-io/domicile/policy"
)

// A key table file, one per generation, is a run of wrapped keys; entry i is at
// i × wrapped. Keys are made in blocks, synced before the first of a block is
// used. A start of the process begins a new block: which keys of an older block
// were used is not known, and a key is never handed out twice. So a block that
// a crash tore was never used, and stays behind as a hole.
const tableBlock = 256

type table struct {
	file    *os.File
	gen     uint64
	wrap    wrapper
	next    uint64     // index of ready[0]
	ready   [][32]byte // durable, not yet used
	written uint64     // entries in the file, a torn last block counted whole
}

func openTable(dir string, region policy.RegionID, gen uint64, key [32]byte) (*table, error) {
	w, err := newWrapper(derive(key, "chunk"), region, chunkKind)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(tablePath(dir, gen), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() == 0 {
		err = syncDir(dir)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	const blockSize = tableBlock * wrapped
	blocks := (info.Size() + blockSize - 1) / blockSize
	return &table{file: f, gen: gen, wrap: w, written: uint64(blocks) * tableBlock}, nil
}

func tablePath(dir string, gen uint64) string {
	return filepath.Join(dir, fmt.Sprintf("table-%08d", gen))
}

// draw hands out the next key, after making a block durable when none is left.
func (t *table) draw(random io.Reader) (uint64, [32]byte, error) {
	if len(t.ready) == 0 {
		if err := t.fill(random); err != nil {
			return 0, [32]byte{}, fmt.Errorf("extend the key table: %w", err)
		}
	}
	index, key := t.next, t.ready[0]
	t.next, t.ready = t.next+1, t.ready[1:]
	return index, key, nil
}

func (t *table) fill(random io.Reader) error {
	keys := make([][32]byte, tableBlock)
	block := make([]byte, 0, tableBlock*wrapped)
	for i := range keys {
		if _, err := io.ReadFull(random, keys[i][:]); err != nil {
			return err
		}
		var err error
		if block, err = t.wrap.seal(block, keys[i], t.gen, place(t.written+uint64(i)), random); err != nil {
			return err
		}
	}
	if err := writeAt(t.file, block, int64(t.written)*wrapped); err != nil {
		return err
	}
	t.next, t.ready = t.written, keys
	t.written += tableBlock
	return nil
}

func (t *table) open(index uint64) ([32]byte, error) {
	if index >= t.written {
		return [32]byte{}, policy.Errorf(policy.Internal, "key %d of generation %d is not in the table: is it the keyring of these records, or was the table cut short?", index, t.gen)
	}
	b := make([]byte, wrapped)
	if _, err := t.file.ReadAt(b, int64(index)*wrapped); err != nil {
		return [32]byte{}, &policy.Error{Reason: policy.Internal, Message: errChanged.Message, Cause: err}
	}
	if allZero(b) {
		return [32]byte{}, policy.Errorf(policy.Destroyed, "the key was destroyed; what it sealed is gone for good")
	}
	return t.wrap.open(b, t.gen, place(index))
}

func place(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }
