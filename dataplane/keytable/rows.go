package keytable

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/policy"
)

// format of the rows; others are refused.
const format = 1

// Buckets of the shelf. Numbers are big endian, in eight bytes.
const (
	bucketState  shelf.Bucket = "state"  // see the keys below
	bucketSheets shelf.Bucket = "sheets" // generation → JSON sheetRow; goes when its generation is destroyed
	bucketFates  shelf.Bucket = "fates"  // generation → JSON fate, for good
	bucketBirths shelf.Bucket = "births" // birth → JSON birthRow
	bucketBlocks shelf.Bucket = "blocks" // birth, version, block → 256 entries
	bucketNames  shelf.Bucket = "names"  // generation, tag → wrapped key
	bucketStale  shelf.Bucket = "stale"  // birth, version → nothing: its blocks are to be deleted
)

// Buckets are those that the shelf of a key table has.
func Buckets() []shelf.Bucket {
	return []shelf.Bucket{bucketState, bucketSheets, bucketFates, bucketBirths, bucketBlocks, bucketNames, bucketStale}
}

// Keys of bucketState.
var (
	stateCurrent = []byte("current") // number of the current generation
	statePlanned = []byte("planned") // number of the one that a rotation makes; absent: none is made
	stateAsked   = []byte("asked")   // present: Retire asked for a rotation
)

// An entry is a wrapped key: 12 bytes of random nonce, 32 of ciphertext, 16 of tag.
const (
	entrySize  = 12 + 32 + 16
	blockSize  = 256 // entries
	blockBytes = blockSize * entrySize
)

// destroyedMark stands where a key was.
var destroyedMark = bytes.Repeat([]byte{0xDE}, entrySize)

// birthRow is the state of the keys that were drawn in one generation.
type birthRow struct {
	Version uint64 `json:"version"`           // generation in which its blocks were last written anew
	Blocks  uint64 `json:"blocks"`            // handed out
	Dirty   bool   `json:"dirty,omitempty"`   // a key was destroyed since Version
	Pending uint64 `json:"pending,omitempty"` // version that a rotation is writing
	Redirty bool   `json:"redirty,omitempty"` // a key was destroyed since that began
}

// sheetRow is a sheet as it lies on the shelf.
type sheetRow struct {
	Kind    string    `json:"kind"`
	Token   []byte    `json:"token"`
	Created time.Time `json:"created"`
	Sealed  []byte    `json:"sealed"` // nonce and JSON secrets
}

// secrets are what a generation's key protects.
type secrets struct {
	Tag    []byte     `json:"tag"`   // key of the names' tags; outlives generations
	Names  []byte     `json:"names"` // wraps the names of this generation
	Tables []tableKey `json:"tables"`
}

// tableKey wraps the keys of one birth in one version.
type tableKey struct {
	Birth   uint64 `json:"birth"`
	Version uint64 `json:"version"`
	Key     []byte `json:"key"`
}

func (s *secrets) table(birth uint64) (tableKey, bool) {
	for _, t := range s.Tables {
		if t.Birth == birth {
			return t, true
		}
	}
	return tableKey{}, false
}

func (s *secrets) wipe() {
	clear(s.Tag)
	clear(s.Names)
	for _, t := range s.Tables {
		clear(t.Key)
	}
}

func number(n ...uint64) (out []byte) {
	for _, v := range n {
		out = binary.BigEndian.AppendUint64(out, v)
	}
	return out
}

func numberIn(b []byte) uint64 {
	if len(b) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func putJSON(tx shelf.Tx, b shelf.Bucket, key []byte, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode a row of the key table: %w", err)
	}
	return tx.Put(b, key, raw)
}

func readJSON(tx shelf.Tx, b shelf.Bucket, key []byte, v any) (bool, error) {
	raw, err := tx.Get(b, key)
	if err != nil || raw == nil {
		return false, err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return true, errChanged
	}
	return true, nil
}

var errChanged = policy.Errorf(policy.Internal, "a row of the key table does not open: it was changed, or the custodian's key is another; put the key database back")

// binder wraps under one key, bound to region, kind and place.
type binder struct {
	aead   cipher.AEAD
	region policy.RegionID
	kind   string
	random io.Reader
}

func newBinder(key []byte, region policy.RegionID, kind string, random io.Reader) (binder, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return binder{}, err
	}
	aead, err := cipher.NewGCM(block)
	return binder{aead, region, kind, random}, err
}

func (b binder) aad(place []byte) []byte {
	return append(fmt.Appendf(nil, "domicile key table %d\x00%s\x00%s\x00", format, b.region, b.kind), place...)
}

func (b binder) seal(plain, place []byte) ([]byte, error) {
	nonce := make([]byte, 12, 12+len(plain)+16)
	if _, err := io.ReadFull(b.random, nonce); err != nil {
		return nil, fmt.Errorf("draw a nonce: %w", err)
	}
	return b.aead.Seal(nonce, nonce, plain, b.aad(place)), nil
}

func (b binder) open(sealed, place []byte) ([]byte, error) {
	if len(sealed) < 12+16 {
		return nil, errChanged
	}
	plain, err := b.aead.Open(nil, sealed[:12], sealed[12:], b.aad(place))
	if err != nil {
		return nil, errChanged
	}
	return plain, nil
}

// openKey opens an entry of a block.
func (b binder) openKey(entry, place []byte) (key [32]byte, err error) {
	if bytes.Equal(entry, destroyedMark) {
		return key, policy.Errorf(policy.Destroyed, "the key was destroyed; what it sealed is gone for good")
	}
	plain, err := b.open(entry, place)
	if err != nil || len(plain) != len(key) {
		return key, errChanged
	}
	defer clear(plain)
	return [32]byte(plain), nil
}

func isDestroyed(err error) bool { return errors.Is(err, &policy.Error{Reason: policy.Destroyed}) }

func (t *Table) randomKey() ([]byte, error) {
	key := make([]byte, 32)
	if _, err := io.ReadFull(t.o.Rand, key); err != nil {
		return nil, fmt.Errorf("draw a key: %w", err)
	}
	return key, nil
}
