package sealed

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// A cover holds frames that were too small to stand alone, compressed together.
// Each frame keeps its place: its row stays and becomes a pointer that names the
// cover. A cover covers whole chunks, or one chunk is covered by several covers,
// so that what is sealed under one key stands under one chunk's name.
//
//	0  format
//	1  salt 32
//	33 number of keys, then their ids (appendKeyIDs)
//	…  MAC 16 of all before it, under a key of the region's
//	…  sealed: zstd of { length of the noise 4, noise, table, entries }, as of a frame
//
// It is sealed under a key that is derived from the salt and the keys of all that
// it covers: it opens as long as each of them lives, and with the first that is
// destroyed it is gone, from every copy. So a merge draws and destroys no key. The
// salt is random, so the key is of this one value and the nonce may be zero.
// Everything before the sealed part is in the AAD. The MAC vouches for the ids also
// when the rest is damaged, or when one of the keys is gone: whoever destroys keys
// destroys none that a flipped bit names.
type cover struct {
	at     framePlace
	keys   []store.KeyID
	frames []*frame // in order of place
	size   int      // bytes held
}

// framePlace is where a frame stands.
type framePlace struct {
	chunk  int64
	number uint16
}

func (p framePlace) before(q framePlace) bool {
	return p.chunk < q.chunk || p.chunk == q.chunk && p.number < q.number
}

func (p framePlace) append(dst []byte) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64(dst, uint64(p.chunk)), p.number)
}

func readPlace(b []byte) framePlace {
	return framePlace{int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint16(b[8:])}
}

const (
	placeSize = 10

	// pointerMark begins the row of a covered frame; no format has its number.
	pointerMark = 0xc0
	pointerSize = 1 + placeSize

	coverSalt = 32
	coverMAC  = 16
	coverHead = 1 + coverSalt
	coverKeys = 128      // of one cover: opening it opens them all
	maxCover  = maxFrame // of plain bytes, as decompressing may yield
)

func coverKey(buf []byte, t tenantRaw, at framePlace) []byte {
	return at.append(keyOf(buf, kindCover, t))
}

// coversOf is what the keys of all covers begin with that are named by a chunk.
func coversOf(t tenantRaw, chunk int64) []byte {
	return binary.BigEndian.AppendUint64(keyOf(nil, kindCover, t), uint64(chunk))
}

func pointerTo(at framePlace) []byte {
	return at.append(append(make([]byte, 0, pointerSize), pointerMark))
}

// pointerIn reads the row of a covered frame; false when it is no such row.
func pointerIn(value []byte) (framePlace, bool) {
	if len(value) != pointerSize || value[0] != pointerMark {
		return framePlace{}, false
	}
	return readPlace(value[1:]), true
}

func (f *frame) place() framePlace { return framePlace{f.chunk, f.number} }

// frame finds a covered frame; nil when it is not in here.
func (c *cover) frame(at framePlace) *frame {
	i, ok := slices.BinarySearchFunc(c.frames, at, func(f *frame, at framePlace) int {
		switch p := f.place(); {
		case p == at:
			return 0
		case p.before(at):
			return -1
		}
		return 1
	})
	if !ok {
		return nil
	}
	return c.frames[i]
}

// coverEncoder compresses better than ingest has the time to.
var coverEncoder = sync.OnceValue(func() *zstd.Encoder {
	return must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderCRC(false), zstd.WithWindowSize(128<<10), zstd.WithEncoderConcurrency(1)))
})

// sealCover seals a cover under its keys, and a salt that is drawn for it.
func (s *Store) sealCover(t tenantRaw, c *cover) ([]byte, error) {
	h := append(make([]byte, 0, 4<<10), format)
	salt := make([]byte, coverSalt)
	if _, err := io.ReadFull(s.rand, salt); err != nil {
		return nil, err
	}
	h = appendKeyIDs(append(h, salt...), c.keys)
	h = append(h, s.coverMAC(t, c.at, h)...)
	aead, err := s.coverAEAD(c.keys, salt)
	if err != nil {
		return nil, err
	}
	aad := s.coverAAD(t, c.at, h)
	n := len(h)
	plain := c.plain()
	h = pack(coverEncoder(), h, &plain)
	return aead.Seal(h[:n], make([]byte, 12), h[n:], aad), nil
}

func (s *Store) coverAAD(t tenantRaw, at framePlace, header []byte) []byte {
	return s.aad(kindCover, t, store.KeyID{}, append(at.append(nil), header...))
}

// coverAEAD derives the key of a cover. DESTROYED when one of the keys is.
func (s *Store) coverAEAD(ids []store.KeyID, salt []byte) (cipher.AEAD, error) {
	secret := make([]byte, 0, 32*len(ids))
	defer func() { clear(secret) }()
	for _, id := range ids {
		key, err := s.keys.For(store.UseRead).Open(id)
		if isReason(err, policy.Internal) {
			return nil, s.corrupt(kindCover, err)
		}
		if err != nil {
			return nil, err
		}
		secret = append(secret, key[:]...)
	}
	key, err := hkdf.Key(sha256.New, secret, salt, "domicile cover", 32)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return newAEAD([32]byte(key))
}

// appendKeyIDs writes how many keys there are and each as the differences to the
// one before: they were drawn one after the other.
func appendKeyIDs(dst []byte, ids []store.KeyID) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ids)))
	var last store.KeyID
	for _, id := range ids {
		dst = binary.AppendVarint(dst, int64(id.Generation-last.Generation))
		dst = binary.AppendVarint(dst, int64(id.Index-last.Index))
		last = id
	}
	return dst
}

func (s *Store) coverMAC(t tenantRaw, at framePlace, header []byte) []byte {
	mac := hmac.New(sha256.New, s.indexKey[:])
	_, _ = io.WriteString(mac, "domicile cover header\x00")
	mac.Write(t[:])
	mac.Write(at.append(nil))
	mac.Write(header)
	return mac.Sum(nil)[:coverMAC]
}

// coverHeader reads the clear part of a cover: its keys, and how long it is. Not ok:
// it is not as it was written.
func (s *Store) coverHeader(t tenantRaw, at framePlace, value []byte) (ids []store.KeyID, n int, ok bool) {
	if len(value) < coverHead+1 || value[0] != format {
		return nil, 0, false
	}
	c := cursorOf(value[coverHead:])
	count := c.uvarint()
	if count == 0 || count > coverKeys {
		return nil, 0, false
	}
	var last store.KeyID
	for range count {
		last = store.KeyID{Generation: last.Generation + uint64(c.varint()), Index: last.Index + uint64(c.varint())}
		ids = append(ids, last)
	}
	n = len(value) - len(c.b)
	if mac := c.take(coverMAC); c.bad || len(c.b) < 16 || !hmac.Equal(mac, s.coverMAC(t, at, value[:n])) {
		return nil, 0, false
	}
	return ids, n + coverMAC, true
}

// openCover checks, opens and decompresses.
func (s *Store) openCover(t tenantRaw, at framePlace, value []byte) (*cover, error) {
	ids, n, ok := s.coverHeader(t, at, value)
	if !ok {
		return nil, s.corrupt(kindCover, errFrame)
	}
	aead, err := s.coverAEAD(ids, value[1:coverHead])
	if err != nil {
		return nil, err
	}
	packed, err := aead.Open(nil, make([]byte, 12), value[n:], s.coverAAD(t, at, value[:n]))
	if err != nil {
		return nil, s.corrupt(kindCover, err)
	}
	raw, err := zstdDecoder.DecodeAll(packed, nil)
	if err != nil {
		return nil, s.corrupt(kindCover, err)
	}
	c := &cover{at: at, keys: ids, size: len(raw) + 256}
	if err := c.split(raw); err != nil {
		return nil, s.corrupt(kindCover, err)
	}
	return c, nil
}

// plain is a cover's content before it is compressed: the writers, then of each
// frame what stood in its header, then of each frame its entries behind their
// lengths. Numbers are differences to what the frame before lets expect.
func (c *cover) plain() record.Form {
	var writers [][16]byte
	of := map[[16]byte]int{}
	for _, f := range c.frames {
		if _, ok := of[f.writer]; !ok {
			of[f.writer] = len(writers)
			writers = append(writers, f.writer)
		}
	}
	raw := binary.AppendUvarint(nil, uint64(len(writers)))
	for _, w := range writers {
		raw = append(raw, w[:]...)
	}
	raw = binary.AppendUvarint(raw, uint64(len(c.frames)))
	chunk, next := c.at.chunk, make([]uint64, len(writers))
	for _, f := range c.frames {
		w := of[f.writer]
		raw = binary.AppendVarint(raw, f.chunk-chunk)
		raw = binary.AppendUvarint(raw, uint64(f.number))
		raw = binary.AppendVarint(raw, f.ingest-f.chunk)
		raw = binary.AppendUvarint(raw, uint64(w))
		raw = binary.AppendVarint(raw, int64(f.firstN-next[w]))
		raw = binary.AppendUvarint(raw, uint64(f.versions))
		raw = binary.AppendUvarint(raw, uint64(len(f.entries)))
		chunk, next[w] = f.chunk, f.firstN+uint64(f.versions)
	}
	plain := record.Form{Text: raw, Noise: make([]byte, noisePrefix)}
	for _, f := range c.frames {
		plain = appendEntries(plain, f.entries)
	}
	return plain
}

// split reads what plain wrote.
func (c *cover) split(raw []byte) error {
	b, noise := unpack(raw)
	count := b.uvarint()
	if count == 0 || count > uint64(len(b.b)/16) {
		return errFrame
	}
	writers := make([][16]byte, count)
	for i := range writers {
		copy(writers[i][:], b.take(16))
	}
	if count = b.uvarint(); count == 0 || count > uint64(len(b.b)/7) { // a frame's part of the table has seven numbers
		return errFrame
	}
	counts := make([]uint64, count)
	c.frames = make([]*frame, count)
	chunk, next := c.at.chunk, make([]uint64, len(writers))
	for i := range c.frames {
		f := &frame{covered: true}
		f.chunk = chunk + b.varint()
		f.number = uint16(b.uvarint())
		f.ingest = f.chunk + b.varint()
		w := b.uvarint()
		if b.bad || w >= uint64(len(writers)) {
			return errFrame
		}
		f.writer = writers[w]
		f.firstN = next[w] + uint64(b.varint())
		f.versions = int(b.uvarint() & 0xffff)
		counts[i] = b.uvarint()
		chunk, next[w] = f.chunk, f.firstN+uint64(f.versions)
		if i == 0 && f.place() != c.at || i > 0 && !c.frames[i-1].place().before(f.place()) {
			return errFrame
		}
		c.frames[i] = f
	}
	for i, f := range c.frames {
		if b.bad || counts[i] > uint64(len(b.b)) {
			return errFrame
		}
		f.entries = takeEntries(nil, &b, &noise, int(counts[i]))
		c.size += 128 + entrySize*len(f.entries)
	}
	if b.bad || noise.bad || len(b.b) > 0 || len(noise.b) > 0 {
		return errFrame
	}
	return nil
}

// errNoCover: a pointer's cover is not there. Whoever read the pointer reads it
// again: only when it is still the same is that damage.
var errNoCover = errors.New("a frame's cover is not there")

// coverAt opens a cover, from the cache when it was used lately.
func (s *Store) coverAt(t tenantRaw, at framePlace) (*cover, error) {
	k := frameID{t, at.chunk, at.number, true}
	held, since, ok := s.frames.find(k)
	if ok {
		return held.cover, nil
	}
	key := coverKey(nil, t, at)
	value, err := s.get(kindCover, key)
	for {
		if err != nil {
			return nil, err
		}
		if value == nil {
			return nil, errNoCover
		}
		c, err := s.openCover(t, at, value)
		if err == nil {
			s.frames.add(k, opened{cover: c}, since)
			return c, nil
		}
		if !isReason(err, policy.Destroyed) {
			return nil, err
		}
		// It was sealed anew since it was read.
		again, readErr := s.get(kindCover, key)
		if readErr != nil {
			return nil, readErr
		}
		if bytes.Equal(again, value) {
			return nil, err
		}
		value = again
	}
}

// openStored opens what stands in a frame's row: the frame, or in its cover.
func (s *Store) openStored(t tenantRaw, at framePlace, value []byte) (*frame, error) {
	name, ok := pointerIn(value)
	if !ok {
		return s.openFrame(t, at.chunk, at.number, value)
	}
	c, err := s.coverAt(t, name)
	if err != nil {
		return nil, err
	}
	if f := c.frame(at); f != nil {
		return f, nil
	}
	return nil, s.corrupt(kindCover, errFrame)
}
