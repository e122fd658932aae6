package local

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// A sheet is all that the key of a generation protects: the keys of the tables
// and of the names. It is written once, when its generation begins, and its
// appearance is what makes that generation the current one:
//
//	0   magic "DOMKSHT" and the format number
//	8   id of the keyring, 16 random bytes
//	24  generation, big endian
//	32  time of creation, Unix seconds
//	40  custodian's kind (length, bytes) and token (length in two bytes, bytes)
//	…   nonce; sealed under the generation's key: key of the tags, key of the
//	    names, number of tables, and birth, version and key of each
//	…   CRC-32C
//
// Everything before the nonce is additional data.
const sheetMagic = "DOMKSHT"

type sheet struct {
	ring       [16]byte
	generation uint64
	created    time.Time // UTC, whole seconds
	kind       string
	token      []byte

	tag    [32]byte // key of the names' tags; outlives generations
	names  [32]byte // wraps the names of this generation
	tables []tableKey
}

// tableKey is the key of one table file.
type tableKey struct {
	birth, version uint64
	key            [32]byte
}

func sheetName(gen uint64) string { return fmt.Sprintf("sheet-%08d", gen) }

func (s *sheet) head() []byte {
	b := append([]byte(sheetMagic), format)
	b = append(b, s.ring[:]...)
	b = binary.BigEndian.AppendUint64(b, s.generation)
	b = binary.BigEndian.AppendUint64(b, uint64(s.created.Unix()))
	b = append(b, byte(len(s.kind)))
	b = append(b, s.kind...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.token)))
	return append(b, s.token...)
}

func sheetAEAD(key [32]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func sheetAAD(head []byte, region policy.RegionID) []byte {
	return append([]byte("domicile key sheet\x00"+string(region)+"\x00"), head...)
}

// encode seals the sheet under its generation's key.
func (s *sheet) encode(key [32]byte, region policy.RegionID, random io.Reader) ([]byte, error) {
	if len(s.kind) > 32 || len(s.token) > maxToken {
		return nil, fmt.Errorf("the %s custodian gave a token of %d bytes; at most %d fit", s.kind, len(s.token), maxToken)
	}
	aead, err := sheetAEAD(key)
	if err != nil {
		return nil, err
	}
	body := append(slices.Clone(s.tag[:]), s.names[:]...)
	defer func() { clear(body) }()
	body = slices.Grow(body, 4+len(s.tables)*48)
	body = binary.BigEndian.AppendUint32(body, uint32(len(s.tables)))
	for _, t := range s.tables {
		body = binary.BigEndian.AppendUint64(body, t.birth)
		body = binary.BigEndian.AppendUint64(body, t.version)
		body = append(body, t.key[:]...)
	}
	head := s.head()
	nonce := make([]byte, 12)
	if _, err := io.ReadFull(random, nonce); err != nil {
		return nil, fmt.Errorf("draw a nonce: %w", err)
	}
	return summed(aead.Seal(append(slices.Clone(head), nonce...), nonce, body, sheetAAD(head, region))), nil
}

// sheetHead reads what is in the clear, and gives what is sealed.
func sheetHead(data []byte) (*sheet, []byte, error) {
	bad := fmt.Errorf("a sheet of the key table: %w", errChanged)
	if len(data) < 47 || !whole(data) || string(data[:7]) != sheetMagic {
		return nil, nil, bad
	}
	if data[7] != format {
		return nil, nil, fmt.Errorf("the keyring has format %d and this program knows %d", data[7], format)
	}
	s := &sheet{ring: [16]byte(data[8:24]), generation: binary.BigEndian.Uint64(data[24:]), created: time.Unix(int64(binary.BigEndian.Uint64(data[32:])), 0).UTC()}
	rest := data[40 : len(data)-4]
	n := int(rest[0])
	if len(rest) < 1+n+2 {
		return nil, nil, bad
	}
	s.kind, rest = string(rest[1:1+n]), rest[1+n:]
	n = int(binary.BigEndian.Uint16(rest))
	if len(rest) < 2+n+12 {
		return nil, nil, bad
	}
	s.token, rest = slices.Clone(rest[2:2+n]), rest[2+n:]
	return s, rest, nil
}

// unseal fills in what sheetHead could not.
func (s *sheet) unseal(sealed []byte, key [32]byte, region policy.RegionID) error {
	aead, err := sheetAEAD(key)
	if err != nil {
		return err
	}
	body, err := aead.Open(nil, sealed[:12], sealed[12:], sheetAAD(s.head(), region))
	if err != nil || len(body) < 68 {
		return fmt.Errorf("the sheet of generation %d: %w", s.generation, errChanged)
	}
	defer clear(body)
	s.tag, s.names = [32]byte(body[:32]), [32]byte(body[32:64])
	n := int(binary.BigEndian.Uint32(body[64:]))
	if len(body) != 68+48*n {
		return fmt.Errorf("the sheet of generation %d: %w", s.generation, errChanged)
	}
	s.tables = make([]tableKey, n)
	for i := range s.tables {
		b := body[68+48*i:]
		s.tables[i] = tableKey{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), [32]byte(b[16:48])}
	}
	return nil
}

// wipe forgets what was sealed, as far as the language lets it.
func (s *sheet) wipe() {
	clear(s.tag[:])
	clear(s.names[:])
	for i := range s.tables {
		clear(s.tables[i].key[:]) // which tables there are is no secret
	}
}

func (s *sheet) table(birth uint64) (tableKey, bool) {
	for _, t := range s.tables {
		if t.birth == birth {
			return t, true
		}
	}
	return tableKey{}, false
}

// sheets lists the generations that have a sheet in a folder, oldest first.
func sheets(dir string) (out []uint64, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if n, ok := strings.CutPrefix(e.Name(), "sheet-"); ok {
			if gen, err := strconv.ParseUint(n, 10, 64); err == nil {
				out = append(out, gen)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// newest reads the head of the newest sheet in a folder; nil when it has none.
// One that is damaged is an error: an older one would hand out keys again that
// the newer generation replaced.
func newest(dir string) (*sheet, error) {
	list, err := sheets(dir)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	gen := list[len(list)-1]
	data, err := os.ReadFile(filepath.Join(dir, sheetName(gen)))
	if err != nil {
		return nil, err
	}
	s, _, err := sheetHead(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sheetName(gen), err)
	}
	if s.generation != gen {
		return nil, fmt.Errorf("%s is the sheet of generation %d: %w", sheetName(gen), s.generation, errChanged)
	}
	return s, nil
}

func sameRing(a, b *sheet) bool { return a == nil || b == nil || bytes.Equal(a.ring[:], b.ring[:]) }
