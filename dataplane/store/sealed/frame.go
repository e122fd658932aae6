package sealed

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
)

// A frame is up to about frameTarget bytes of entries, compressed, then sealed
// under its chunk's key with the frame number as nonce. Reading one record
// opens one frame, so the size trades compression against point reads.
//
//	0  format
//	1  key id: generation 8, index 8
//	17 ingest time, µs, 8
//	25 number of versions 2, number of entries 2
//	29 sealed: zstd of { length of the noise 4, writer 16, first version number 8, noise, entries }
//
// The clear part is in the AAD. Noise is what is random in entries: salts and ids of
// subjects. It is compressed by itself, which is a copy but for what comes again
// (ADR 0090); an entry says how much of it is its own.
const (
	frameHeader = 29
	frameTarget = 64 << 10
	noisePrefix = 4                    // of a plaintext: the length of its noise
	framePrefix = noisePrefix + 16 + 8 // of a frame's: and writer and first version number

	// Limits of a chunk (contract §6).
	chunkRecords = 4096
	chunkBytes   = 1 << 20
	chunkAge     = 60 * time.Second

	// maxFrame bounds what decompressing may yield: a frame's target and one
	// record that is as long as one may be.
	maxFrame = 16 << 20
)

// entryKind says what an entry is.
type entryKind byte

const (
	versionAndView entryKind = iota // the version is also the call's view
	versionOnly                     // the view follows as its own entry, or did not change
	viewOnly
	goneVersion // a version stood here; it is erased, or its time was over
	goneView
	numEntryKinds

	// How many times noiseUnit bytes of the frame's noise are the entry's, added to a kind.
	noiseShift = 3
	noiseMask  = 3 << noiseShift
	noiseUnit  = 16 // a salt, a subject id

	// redactedEntry, added to a kind, says that the record is not as it was
	// ingested: it has no salt, because nothing commits to it any more.
	redactedEntry entryKind = 0x80
)

func (k entryKind) gone() bool { return k == goneVersion || k == goneView }

// version reports whether the entry is, or was, a version as it was ingested.
func (k entryKind) version() bool { return k != viewOnly && k != goneView }

// entry is one record in a frame: a version as it was ingested, the folded view
// of its call, or both at once.
type entry struct {
	kind   entryKind
	salt   [16]byte // versions only: blinds the commitment in receipts
	call   ref      // the call's first entry
	ingest int64    // of its frame, µs
	listed int64    // µs; views only, as all below
	first  int64    // ingest time of the call's first event, µs
	count  uint64   // versions and events folded in
	parts  record.Parts
	adds   record.Contribution
	record record.Record

	redacted bool
}

func (e *entry) append(dst record.Form, self ref, ingest int64) record.Form {
	if e.kind.gone() {
		return record.Form{Text: append(dst.Text, byte(e.kind)), Noise: dst.Noise}
	}
	at, before := len(dst.Text), len(dst.Noise)
	if e.redacted {
		dst.Text = append(dst.Text, byte(e.kind|redactedEntry))
	} else {
		dst.Text = append(dst.Text, byte(e.kind))
	}
	if e.kind.version() && !e.redacted {
		dst.Noise = append(dst.Noise, e.salt[:]...)
	}
	if e.call == self {
		dst.Text = append(dst.Text, 0)
	} else {
		dst.Text = e.call.append(append(dst.Text, 1))
	}
	if e.kind != versionOnly {
		dst.Text = binary.AppendVarint(dst.Text, e.listed-ingest)
		dst.Text = binary.AppendVarint(dst.Text, e.first-ingest)
		dst.Text = binary.AppendUvarint(dst.Text, e.count)
		dst.Text = append(dst.Text, byte(e.parts))
		dst.Text = appendContribution(dst.Text, &e.adds)
	}
	dst = record.Append(dst, &e.record)
	dst.Text[at] |= byte((len(dst.Noise) - before) / noiseUnit << noiseShift)
	return dst
}

// kindOf is the kind of an entry.
func kindOf(text []byte) entryKind {
	if len(text) == 0 {
		return numEntryKinds
	}
	return entryKind(text[0]) &^ (redactedEntry | noiseMask)
}

// noiseOf is how many bytes of the frame's noise are an entry's.
func noiseOf(text []byte) int {
	if len(text) == 0 {
		return 0
	}
	return int(text[0]&noiseMask) >> noiseShift * noiseUnit
}

var errFrame = errors.New("not a frame")

func readEntry(b record.Form, self ref, ingest int64) (entry, error) {
	e, rest, err := readHead(b, self, ingest)
	if err != nil || e.kind.gone() {
		return e, err
	}
	e.record, err = record.Decode(rest)
	return e, err
}

// readHead reads an entry up to its record, which it leaves.
func readHead(b record.Form, self ref, ingest int64) (e entry, rest record.Form, err error) {
	rest, err = e.readHead(b, self, ingest, false)
	return e, rest, err
}

// readHead is the same into an entry that is used again, whose record stays as it is;
// brief: without what only counters need.
func (e *entry) readHead(b record.Form, self ref, ingest int64, brief bool) (rest record.Form, err error) {
	c := cursorOf(b.Text)
	k := entryKind(c.byte())
	e.ingest, e.kind, e.redacted = ingest, kindOf(b.Text), k&redactedEntry != 0
	e.salt, e.call, e.listed, e.first, e.count, e.parts, e.adds = [16]byte{}, ref{}, 0, 0, 0, 0, record.Contribution{}
	if e.kind >= numEntryKinds || len(b.Noise) != noiseOf(b.Text) || e.kind.gone() && (e.redacted || len(c.b) > 0 || len(b.Noise) > 0) {
		return rest, errFrame
	}
	if e.kind.gone() {
		return rest, nil
	}
	noise := cursorOf(b.Noise)
	if e.kind.version() && !e.redacted {
		copy(e.salt[:], noise.take(noiseUnit))
	}
	switch c.byte() {
	case 0:
		e.call = self
	case 1:
		if b := c.take(refSize); b != nil {
			e.call = readRef(b)
		}
	default:
		c.bad = true
	}
	if e.kind != versionOnly {
		e.listed, e.first = ingest+c.varint(), ingest+c.varint()
		e.count, e.parts = c.uvarint(), record.Parts(c.byte())
		if brief {
			c.skipContribution()
		} else {
			e.adds = c.contribution()
		}
	}
	if c.bad || noise.bad {
		return rest, errFrame
	}
	return record.Form{Text: c.b, Noise: noise.b}, nil
}

func appendContribution(dst []byte, a *record.Contribution) []byte {
	dst = binary.AppendVarint(dst, int64(a.Day))
	dst = binary.AppendUvarint(dst, uint64(len(a.Direction)))
	dst = append(dst, a.Direction...)
	dst = binary.AppendUvarint(dst, uint64(len(a.Country)))
	dst = append(dst, a.Country...)
	for _, n := range [...]int64{a.Calls, a.Answered, a.Billsec} {
		dst = binary.AppendVarint(dst, n)
	}
	return dst
}

// cursor reads from the front of b; after the first fault it reads zeros.
type cursor struct {
	b   []byte
	bad bool
}

func cursorOf(b []byte) cursor { return cursor{b: b} }

func (c *cursor) take(n int) []byte {
	if c.bad || n < 0 || n > len(c.b) {
		c.bad = true
		return nil
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) byte() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) uvarint() uint64 {
	if len(c.b) > 0 && c.b[0] < 0x80 && !c.bad { // as most are
		n := uint64(c.b[0])
		c.b = c.b[1:]
		return n
	}
	return c.longUvarint()
}

func (c *cursor) longUvarint() uint64 {
	n, size := binary.Uvarint(c.b)
	if size <= 0 {
		c.bad = true
		return 0
	}
	c.take(size)
	return n
}

func (c *cursor) varint() int64 {
	n := c.uvarint()
	return int64(n>>1) ^ -int64(n&1)
}

func (c *cursor) string() string { return string(c.take(int(min(c.uvarint(), maxFrame+1)))) }

func (c *cursor) contribution() record.Contribution {
	return record.Contribution{Day: int32(c.varint()), Direction: record.Direction(c.string()), Country: c.string(),
		Calls: c.varint(), Answered: c.varint(), Billsec: c.varint()}
}

func (c *cursor) skipContribution() {
	c.varint()
	for range 2 {
		c.take(int(min(c.uvarint(), maxFrame+1)))
	}
	for range 3 {
		c.varint()
	}
}

// sealedFrame is one frame on its way to disk.
type sealedFrame struct {
	chunk    *chunk
	number   uint16
	plain    record.Form // until forget: entries behind their lengths, and framePrefix with the noise
	versions int
	entries  int
	ingest   int64
	value    []byte // set by seal
}

// length is how much plaintext there is.
func (f *sealedFrame) length() int { return len(f.plain.Text) + len(f.plain.Noise) }

// frameHead begins the noise of a frame.
func frameHead(noise []byte, writer [16]byte, firstN uint64) []byte {
	noise = append(append(noise, make([]byte, noisePrefix)...), writer[:]...)
	return binary.BigEndian.AppendUint64(noise, firstN)
}

var (
	zstdEncoder = must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithWindowSize(128<<10)))
	zstdDecoder = must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxFrame)))
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // fixed options, checked by every test
	}
	return v
}

// noiseApart is from which length noise is worth a header of its own in what is compressed.
const noiseApart = 112

// pack compresses a plaintext: its noise, which begins with room for its length, then
// its text. Either way it unpacks to one after the other.
func pack(enc *zstd.Encoder, dst []byte, plain *record.Form) []byte {
	binary.BigEndian.PutUint32(plain.Noise, uint32(len(plain.Noise)-noisePrefix))
	if len(plain.Noise) >= noiseApart {
		return enc.EncodeAll(plain.Text, enc.EncodeAll(plain.Noise, dst))
	}
	plain.Noise = append(plain.Noise, plain.Text...)
	return enc.EncodeAll(plain.Noise, dst)
}

// unpack gives the cursors of what pack was given.
func unpack(raw []byte) (text, noise cursor) {
	text = cursorOf(raw)
	if b := text.take(noisePrefix); b != nil {
		noise = cursorOf(text.take(int(min(binary.BigEndian.Uint32(b), maxFrame+1))))
	}
	return text, noise
}

// takeEntries reads entries, each behind its length, and what noise is theirs.
func takeEntries(entries []record.Form, text, noise *cursor, count int) []record.Form {
	entries = slices.Grow(entries, count)
	for range count {
		b := text.take(int(min(text.uvarint(), maxFrame+1)))
		entries = append(entries, record.Form{Text: b, Noise: noise.take(noiseOf(b))})
	}
	return entries
}

// seal compresses and seals; it runs beside the building of the next frame.
func (s *Store) seal(f *sealedFrame, t tenantRaw) {
	h := append(frameSpace(), format)
	h = binary.BigEndian.AppendUint64(h, f.chunk.key.Generation)
	h = binary.BigEndian.AppendUint64(h, f.chunk.key.Index)
	h = binary.BigEndian.AppendUint64(h, uint64(f.ingest))
	h = binary.BigEndian.AppendUint16(h, uint16(f.versions))
	h = binary.BigEndian.AppendUint16(h, uint16(f.entries))
	aad := s.frameAAD(t, f.chunk.start, f.number, f.chunk.key, h)
	h = pack(zstdEncoder, h, &f.plain)
	f.value = f.chunk.aead.Seal(h[:frameHeader], frameNonce(f.number), h[frameHeader:], aad) // in place
}

func frameNonce(number uint16) []byte {
	return binary.BigEndian.AppendUint16(make([]byte, 10, 12), number)
}

func (s *Store) frameAAD(t tenantRaw, chunk int64, number uint16, id store.KeyID, header []byte) []byte {
	place := binary.BigEndian.AppendUint64(nil, uint64(chunk))
	place = binary.BigEndian.AppendUint16(place, number)
	return s.aad(kindFrame, t, id, append(place, header...))
}

// frame is an opened frame: entries are decoded when they are asked for.
type frame struct {
	chunk    int64
	number   uint16
	ingest   int64
	writer   [16]byte
	firstN   uint64
	entries  []record.Form
	versions int
	size     int    // bytes held
	raw      []byte // that the entries are of
	covered  bool   // it stands in a cover
}

// entrySize is what an opened frame holds for each entry.
const entrySize = 48

// openFrame checks, opens and decompresses.
func (s *Store) openFrame(t tenantRaw, chunk int64, number uint16, value []byte) (*frame, error) {
	f := &frame{}
	if err := s.openInto(f, t, chunk, number, value); err != nil {
		return nil, err
	}
	return f, nil
}

// openInto is openFrame into a frame whose memory is used again.
func (s *Store) openInto(f *frame, t tenantRaw, chunk int64, number uint16, value []byte) error {
	if len(value) < frameHeader+16 || value[0] != format {
		return s.corrupt(kindFrame, errFrame)
	}
	id := keyIn(value)
	aead, err := s.aeadOf(kindFrame, id)
	if err != nil {
		return err
	}
	packed, err := aead.Open(frameSpace(), frameNonce(number), value[frameHeader:], s.frameAAD(t, chunk, number, id, value[:frameHeader]))
	if err != nil {
		return s.corrupt(kindFrame, err)
	}
	raw, err := zstdDecoder.DecodeAll(packed, f.raw[:0])
	clear(packed)
	putFrameSpace(packed)
	if err != nil {
		return s.corrupt(kindFrame, err)
	}
	*f = frame{chunk: chunk, number: number, ingest: frameIngest(value), raw: raw, entries: f.entries[:0],
		versions: int(binary.BigEndian.Uint16(value[25:]))}
	if err := f.split(raw, int(binary.BigEndian.Uint16(value[27:]))); err != nil {
		return s.corrupt(kindFrame, err)
	}
	return nil
}

// keyIn reads the key id of a sealed value, behind its format byte.
func keyIn(value []byte) store.KeyID {
	return store.KeyID{Generation: binary.BigEndian.Uint64(value[1:]), Index: binary.BigEndian.Uint64(value[9:])}
}

func frameIngest(value []byte) int64 { return int64(binary.BigEndian.Uint64(value[17:])) }

// split finds the entries, each behind its length.
func (f *frame) split(raw []byte, count int) error {
	text, noise := unpack(raw)
	copy(f.writer[:], noise.take(16))
	if b := noise.take(8); b != nil {
		f.firstN = binary.BigEndian.Uint64(b)
	}
	f.entries = takeEntries(f.entries, &text, &noise, count)
	f.size = len(raw) + 256 + entrySize*count
	if text.bad || noise.bad || len(text.b) > 0 || len(noise.b) > 0 {
		return errFrame
	}
	return nil
}

// entry decodes one entry.
func (f *frame) entry(i uint16) (entry, error) {
	if int(i) >= len(f.entries) {
		return entry{}, errFrame
	}
	return readEntry(f.entries[i], ref{f.chunk, f.number, i}, f.ingest)
}

// head decodes an entry without its record.
func (f *frame) head(i uint16) (entry, error) {
	e, _, err := readHead(f.entries[i], ref{f.chunk, f.number, i}, f.ingest)
	return e, err
}
