package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"
	"unsafe"
)

// The binary form of a record, as the store seals it: a format byte, flags, the
// native payload, then the fields in the order of [Append], each self-delimiting. It
// is written by hand because it is on the hot path of ingest. Ids of subjects are
// random and stand apart, since nothing compresses them. A text that is a part
// of the payload's memory, as parsers leave them, is written as where it stands
// there, from where the last such text ended: half of what would have to be
// compressed is said twice otherwise. A new field gets a new format number, and the
// store that seals records a new schema.
const codecFormat = 4

// Flags of the binary form.
const (
	flagPrimary = 1 << iota
	flagAssumedZone
	flagAssumedCountry
	flagKeyIsID     // CallKey is the native id
	flagKeyIsLeg    // CallKey is the native id, keySeparator and the leg
	flagHashOfBytes // ContentHash is the payload's, and is not written
	numFlags        = iota
)

// keySeparator stands between a call's id and its leg where each leg is a call of
// its own; it cannot be in an id.
const keySeparator = "\x1f"

// ErrCodec is what Decode answers for bytes that Append did not make.
var ErrCodec = errors.New("not a record's binary form: the bytes were changed or come from a newer version")

// Form is a binary form in two parts: what can be compressed, and what is random.
// They are kept apart until they are sealed, since random bytes among others spoil
// how these compress, and take the most time to do it. Neither reads without the other.
type Form struct{ Text, Noise []byte }

// Equal reports whether two forms are the same bytes.
func (f Form) Equal(g Form) bool {
	return bytes.Equal(f.Text, g.Text) && bytes.Equal(f.Noise, g.Noise)
}

// Append appends the binary form of r to dst. Times are cut to microseconds. The
// noise is of 16 bytes for each party that has a subject id as the store gives it.
func Append(dst Form, r *Record) Form {
	flags, callKey := flagsOf(r), r.CallKey
	if flags&(flagKeyIsID|flagKeyIsLeg) != 0 {
		callKey = ""
	}
	dst.Text = binary.AppendUvarint(append(dst.Text, codecFormat, flags), uint64(len(r.Native)))
	e := encoder{dst: append(dst.Text, r.Native...), noise: dst.Noise, native: r.Native}
	for _, s := range [...]string{string(r.Key.Source), r.Key.Instance, r.Key.NativeID, r.Key.Leg, r.Key.Event, callKey} {
		e.text(s)
	}
	e.party(&r.From)
	e.party(&r.To)
	for _, s := range [...]string{r.CallerName, string(r.Direction), string(r.Status),
		r.STIR.Attest, r.STIR.OrigID, r.STIR.Verstat, r.STIR.SPC} {
		e.text(s)
	}
	e.dst = binary.AppendUvarint(e.dst, uint64(len(r.RecordingRefs)))
	for _, s := range r.RecordingRefs {
		e.text(s)
	}
	e.text(r.ConsentRef)
	e.text(r.NativeType)
	var before int64
	for _, t := range [...]time.Time{r.Start, r.Ring, r.Answer, r.End} {
		e.dst, before = appendTime(e.dst, t, before)
	}
	for _, n := range [...]int64{r.Sequence, r.Duration.Microseconds(), r.Billsec.Microseconds(), int64(r.SIPCode), int64(r.Q850)} {
		e.dst = binary.AppendVarint(e.dst, n)
	}
	if flags&flagHashOfBytes == 0 {
		e.dst = append(e.dst, r.ContentHash[:]...)
	}
	return Form{e.dst, e.noise}
}

func flagsOf(r *Record) (flags byte) {
	if r.Primary {
		flags |= flagPrimary
	}
	if r.AssumedZone {
		flags |= flagAssumedZone
	}
	if r.AssumedCountry {
		flags |= flagAssumedCountry
	}
	if r.HashOfBytes {
		flags |= flagHashOfBytes
	}
	switch id := r.Key.NativeID; {
	case r.CallKey == "":
	case r.CallKey == id:
		flags |= flagKeyIsID
	case len(r.CallKey) == len(id)+len(keySeparator)+len(r.Key.Leg) && r.CallKey[:len(id)] == id &&
		r.CallKey[len(id):len(id)+len(keySeparator)] == keySeparator && r.CallKey[len(id)+len(keySeparator):] == r.Key.Leg:
		flags |= flagKeyIsLeg
	}
	return flags
}

// encoder writes a record's fields behind its payload.
type encoder struct {
	dst    []byte
	noise  []byte
	native []byte
	end    int // of the last text that is a part of native
}

// shortestPart is the length from which a text is worth to be written as a part.
const shortestPart = 3

// text writes 2 × length and the bytes, or 2 × length + 1 and how far behind the end
// of the last part a part of native begins, zigzag.
func (e *encoder) text(s string) {
	if at := e.part(s); at >= 0 {
		e.dst = binary.AppendUvarint(e.dst, uint64(len(s))<<1|1)
		e.dst = binary.AppendVarint(e.dst, int64(at-e.end))
		e.end = at + len(s)
		return
	}
	e.dst = append(binary.AppendUvarint(e.dst, uint64(len(s))<<1), s...)
}

// part is where a text stands in native when they share their memory, else -1. The
// bytes are compared as well, so that nothing is left to addresses.
func (e *encoder) part(s string) int {
	if len(s) < shortestPart || len(s) > len(e.native) {
		return -1
	}
	at := uintptr(unsafe.Pointer(unsafe.StringData(s))) - uintptr(unsafe.Pointer(unsafe.SliceData(e.native)))
	if at > uintptr(len(e.native)-len(s)) || string(e.native[at:at+uintptr(len(s))]) != s {
		return -1
	}
	return int(at)
}

// appendTime writes 0 for the zero time, else 1 + µs since before, zigzag; what
// comes next is counted from it.
func appendTime(dst []byte, t time.Time, before int64) ([]byte, int64) {
	if t.IsZero() {
		return append(dst, 0), before
	}
	us := t.UnixMicro()
	n := us - before
	return binary.AppendUvarint(dst, (uint64(n)<<1^uint64(n>>63))+1), us
}

// party writes a subject id as its 16 bytes, which is half of its hex, with the noise.
func (e *encoder) party(p *Party) {
	e.text(p.Raw)
	e.text(p.E164)
	e.text(p.Country)
	if raw, ok := rawSubject(p.Subject); ok {
		e.dst, e.noise = append(e.dst, 1), append(e.noise, raw[:]...)
		return
	}
	e.dst = append(e.dst, 0)
	e.text(p.Subject)
}

// rawSubject reads the bytes of a subject id in the one way that it is written.
func rawSubject(id string) (raw [16]byte, ok bool) {
	if len(id) != subjectSize || id[:2] != "SU" {
		return raw, false
	}
	var all byte
	for i := range raw {
		high, low := nibbles[id[2+2*i]], nibbles[id[3+2*i]]
		all |= high | low
		raw[i] = high<<4 | low
	}
	return raw, all <= 0xf
}

// nibbles are the values of lower-case hex digits, 0xff for everything else: an id's
// are random, so that no branch would be guessed.
var nibbles = func() (out [256]byte) {
	for c := range out {
		switch {
		case c >= '0' && c <= '9':
			out[c] = byte(c) - '0'
		case c >= 'a' && c <= 'f':
			out[c] = byte(c) - 'a' + 10
		default:
			out[c] = 0xff
		}
	}
	return out
}()

// Decode reads one record; f must hold nothing else. It copies what it keeps,
// checks every length, and allocates no more than f is long.
func Decode(f Form) (r Record, err error) {
	d := decoder{b: f.Text, noise: f.Noise}
	if !d.record(&r) {
		return Record{}, ErrCodec
	}
	return r, nil
}

// record reads a whole record; false when there is anything else.
func (d *decoder) record(r *Record) bool {
	if d.byte() != codecFormat {
		return false
	}
	flags := d.byte()
	r.Primary, r.AssumedZone, r.AssumedCountry = flags&flagPrimary != 0, flags&flagAssumedZone != 0, flags&flagAssumedCountry != 0
	d.native = d.take(d.uvarint())
	if len(d.native) > 0 && d.own == nil {
		r.Native = append([]byte(nil), d.native...)
	} else if len(d.native) > 0 {
		r.Native = d.native[:len(d.native):len(d.native)]
	}
	r.Key = Key{SourceKind(d.string()), d.string(), d.string(), d.string(), d.string()}
	r.CallKey = d.string()
	d.party(&r.From, 0)
	d.party(&r.To, 1)
	r.CallerName, r.Direction, r.Status = d.string(), Direction(d.string()), Status(d.string())
	r.STIR = STIR{d.string(), d.string(), d.string(), d.string()}
	d.refs(r)
	r.ConsentRef, r.NativeType = d.string(), d.string()
	var before int64
	for _, t := range [...]*time.Time{&r.Start, &r.Ring, &r.Answer, &r.End} {
		*t, before = d.time(before)
	}
	r.Sequence = d.varint()
	r.Duration = time.Duration(d.varint()) * time.Microsecond
	r.Billsec = time.Duration(d.varint()) * time.Microsecond
	r.SIPCode, r.Q850 = int(d.varint()), int(d.varint())
	d.hash(r, flags)
	d.callKey(r, flags)
	return !d.bad && d.at == len(d.b) && len(d.noise) == 0 && flags < 1<<numFlags
}

// hash reads the hash of the payload, or makes it. Who reads for a moment only has no
// use for it, and it would be a sixth of the time.
func (d *decoder) hash(r *Record, flags byte) {
	if r.HashOfBytes = flags&flagHashOfBytes != 0; !r.HashOfBytes {
		copy(r.ContentHash[:], d.take(32))
		return
	}
	if d.own == nil {
		r.ContentHash = sha256.Sum256(d.native)
	}
}

// callKey puts together a call key that is made of other fields.
func (d *decoder) callKey(r *Record, flags byte) {
	of := flags & (flagKeyIsID | flagKeyIsLeg)
	if of == 0 {
		return
	}
	if r.CallKey != "" || of == flagKeyIsID|flagKeyIsLeg {
		d.fail()
		return
	}
	if of == flagKeyIsID {
		r.CallKey = r.Key.NativeID
		return
	}
	if d.own == nil {
		r.CallKey = r.Key.NativeID + keySeparator + r.Key.Leg
		return
	}
	d.own.key = append(append(append(d.own.key[:0], r.Key.NativeID...), keySeparator...), r.Key.Leg...)
	r.CallKey = unsafe.String(unsafe.SliceData(d.own.key), len(d.own.key))
}

func (d *decoder) refs(r *Record) {
	n := d.uvarint()
	if n > uint64(len(d.b)-d.at) {
		d.fail()
	}
	if n == 0 || d.bad {
		return
	}
	if d.own != nil {
		d.own.refs = slices.Grow(d.own.refs[:0], int(n))[:n]
		r.RecordingRefs = d.own.refs
	} else {
		r.RecordingRefs = make([]string, n)
	}
	for i := range r.RecordingRefs {
		r.RecordingRefs[i] = d.string()
	}
}

// Space is where records are read into for a moment, one after the other: their
// texts and lists are those of the bytes that they are read from, and of the Space,
// so that reading one costs no memory of its own. Such a record is valid until the
// next Read, and for as long as nobody changes those bytes. It has no ContentHash when
// that is the hash of Native. The zero value is ready.
type Space struct {
	refs     []string
	subjects [2][subjectSize]byte
	key      []byte
}

const subjectSize = 2 + 32 // SU and hex

// Read reads what [Append] wrote, as [Decode] does.
func (w *Space) Read(r *Record, f Form) error {
	*r = Record{}
	d := decoder{b: f.Text, noise: f.Noise, own: w}
	if !d.record(r) {
		*r = Record{}
		return ErrCodec
	}
	return nil
}

// decoder reads b from at on; after the first fault it reads zeros. Moving on in it
// writes no pointer, which the garbage collector would have to be told of.
type decoder struct {
	b      []byte
	at     int // behind what was read; after a fault, the end
	noise  []byte
	bad    bool
	own    *Space // nil: what is kept is copied
	native []byte
	end    int64 // of the last text that is a part of native
}

func (d *decoder) fail() { d.bad, d.at = true, len(d.b) }

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)-d.at) {
		d.fail()
		return nil
	}
	d.at += int(n)
	return d.b[d.at-int(n) : d.at]
}

func (d *decoder) byte() byte {
	if b := d.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	if at := d.at; at < len(d.b) && d.b[at] < 0x80 { // as most are
		d.at++
		return uint64(d.b[at])
	}
	return d.longUvarint()
}

func (d *decoder) longUvarint() uint64 {
	n, size := binary.Uvarint(d.b[d.at:])
	if size <= 0 {
		d.fail()
		return 0
	}
	d.at += size
	return n
}

func (d *decoder) varint() int64 {
	n := d.uvarint()
	return int64(n>>1) ^ -int64(n&1)
}

func (d *decoder) string() string {
	b, short := d.shortText()
	if !short {
		if h := d.uvarint(); h&1 == 0 {
			b = d.take(h >> 1)
		} else {
			b = d.part(h >> 1)
		}
	}
	if d.own == nil {
		return string(b)
	}
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// shortText reads a text that stands here and has fewer than 64 bytes, as most that
// are not parts of native; false: it is none.
func (d *decoder) shortText() (b []byte, ok bool) {
	if d.at >= len(d.b) || d.b[d.at]&0x81 != 0 {
		return nil, false
	}
	from := d.at + 1
	end := from + int(d.b[d.at]>>1)
	if end > len(d.b) {
		return nil, false
	}
	d.at = end
	return d.b[from:end], true
}

// part is n bytes of native.
func (d *decoder) part(n uint64) []byte {
	at, size := d.end+d.varint(), int64(len(d.native))
	if d.bad || at < 0 || at > size || n > uint64(size-at) {
		d.fail()
		return nil
	}
	d.end = at + int64(n)
	return d.native[at:d.end]
}

func (d *decoder) time(before int64) (time.Time, int64) {
	n := d.uvarint()
	if n == 0 {
		return time.Time{}, before
	}
	n--
	us := before + (int64(n>>1) ^ -int64(n&1))
	return time.UnixMicro(us).UTC(), us
}

func (d *decoder) party(p *Party, end int) {
	p.Raw, p.E164, p.Country = d.string(), d.string(), d.string()
	switch d.byte() {
	case 0:
		p.Subject = d.string()
	case 1:
		p.Subject = d.subject(end)
	default:
		d.fail()
	}
}

func (d *decoder) subject(end int) string {
	if d.bad || len(d.noise) < 16 {
		d.fail()
		return ""
	}
	var text *[subjectSize]byte
	if d.own != nil {
		text = &d.own.subjects[end]
	} else {
		text = new([subjectSize]byte)
	}
	text[0], text[1] = 'S', 'U'
	PutHex(text[2:], d.noise[:16])
	d.noise = d.noise[16:]
	return unsafe.String(&text[0], subjectSize)
}

// hexPairs are the bytes, two lower-case hex digits each, the first one in the low half.
var hexPairs = func() (out [256]uint16) {
	const digits = "0123456789abcdef"
	for c := range out {
		out[c] = uint16(digits[c>>4]) | uint16(digits[c&15])<<8
	}
	return out
}()

// PutHex is hex.Encode, two digits at a time: an export writes 48 bytes so of each call.
func PutHex(dst, src []byte) {
	dst = dst[:2*len(src)]
	for i, c := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], hexPairs[c])
	}
}
