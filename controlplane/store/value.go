package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"

	bolt "go.etcd.io/bbolt"
)

// bbolt's pages carry no checksum, so each value does: CRC-32C over bucket,
// key and content, in front of the content. A value that was moved under
// another key fails as one that was flipped.

const sealSize = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errCorrupt is in the chain of every error of a value that fails its checksum.
var errCorrupt = errors.New("stored value fails its checksum: restore this voter from its peers")

func checksum(bucket, key, content []byte) uint32 {
	var sep [2]byte
	binary.BigEndian.PutUint16(sep[:], uint16(len(key)))
	c := crc32.Update(0, castagnoli, bucket)
	c = crc32.Update(c, castagnoli, sep[:])
	c = crc32.Update(c, castagnoli, key)
	return crc32.Update(c, castagnoli, content)
}

func seal(bucket, key, content []byte) []byte {
	out := make([]byte, sealSize, sealSize+len(content))
	binary.BigEndian.PutUint32(out, checksum(bucket, key, content))
	return append(out, content...)
}

// unseal gives the content of a value; it aliases value.
func unseal(bucket, key, value []byte) ([]byte, error) {
	if len(value) < sealSize || binary.BigEndian.Uint32(value) != checksum(bucket, key, value[sealSize:]) {
		return nil, fmt.Errorf("%s/%q: %w", bucket, key, errCorrupt)
	}
	return value[sealSize:], nil
}

// load reads one object; ok is false when there is none.
func load[T any](tx *bolt.Tx, bucket, key []byte) (v T, ok bool, err error) {
	raw := tx.Bucket(bucket).Get(key)
	if raw == nil {
		return v, false, nil
	}
	v, err = decode[T](bucket, key, raw)
	return v, err == nil, err
}

func decode[T any](bucket, key, raw []byte) (v T, err error) {
	content, err := unseal(bucket, key, raw)
	if err != nil {
		return v, err
	}
	if unplain(content, &v) {
		return v, nil
	}
	v = *new(T)
	if err := json.Unmarshal(content, &v); err != nil {
		return v, fmt.Errorf("decode %s/%q: %w", bucket, key, err)
	}
	return v, nil
}

// encode gives the content of an object. encoding/json writes struct fields in
// order and map keys sorted, so equal objects have equal bytes on every node.
func encode(v any) ([]byte, error) {
	if b, ok := plain(v); ok {
		return b, nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return b, nil
}
