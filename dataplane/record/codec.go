package record

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"time"
	"unsafe"
)

// The binary form of a record, as the store seals it: a format byte, then the
// fields in the order of [Append], each self-delimiting. It is written by hand
// because it is on the hot path of ingest; a new field gets a new format number
// and Decode keeps reading the old ones.
const codecFormat = 1

// Flags of the binary form.
const (
	flagPrimary = 1 << iota
	flagAssumedZone
	flagAssumedCountry
)

// ErrCodec is what Decode answers for bytes that Append did not make.
var ErrCodec = errors.New("not a record's binary form: the bytes were changed or come from a newer version")

// Append appends the binary form of r to dst. Times are cut to microseconds.
func Append(dst []byte, r *Record) []byte {
	var flags byte
	if r.Primary {
		flags |= flagPrimary
	}
	if r.AssumedZone {
		flags |= flagAssumedZone
	}
	if r.AssumedCountry {
		flags |= flagAssumedCountry
	}
	dst = append(dst, codecFormat, flags)
	for _, s := range [...]string{string(r.Key.Source), r.Key.Instance, r.Key.NativeID, r.Key.Leg, r.Key.Event, r.CallKey,
		r.CallerName, string(r.Direction), string(r.Status),
		r.STIR.Attest, r.STIR.OrigID, r.STIR.Verstat, r.STIR.SPC, r.ConsentRef, r.NativeType} {
		dst = appendString(dst, s)
	}
	dst = appendParty(dst, &r.From)
	dst = appendParty(dst, &r.To)
	for _, t := range [...]time.Time{r.Start, r.Ring, r.Answer, r.End} {
		dst = appendTime(dst, t)
	}
	for _, n := range [...]int64{r.Sequence, r.Duration.Microseconds(), r.Billsec.Microseconds(), int64(r.SIPCode), int64(r.Q850)} {
		dst = binary.AppendVarint(dst, n)
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.RecordingRefs)))
	for _, s := range r.RecordingRefs {
		dst = appendString(dst, s)
	}
	dst = append(dst, r.ContentHash[:]...)
	dst = binary.AppendUvarint(dst, uint64(len(r.Native)))
	return append(dst, r.Native...)
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// appendTime writes 0 for the zero time, else 1 + µs, zigzag.
func appendTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(dst, 0)
	}
	n := t.UnixMicro()
	return binary.AppendUvarint(dst, (uint64(n)<<1^uint64(n>>63))+1)
}

// appendParty writes a subject id as its 16 bytes, which is half of its hex.
func appendParty(dst []byte, p *Party) []byte {
	dst = appendString(dst, p.Raw)
	dst = appendString(dst, p.E164)
	dst = appendString(dst, p.Country)
	if raw, ok := rawSubject(p.Subject); ok {
		return append(append(dst, 1), raw[:]...)
	}
	return appendString(append(dst, 0), p.Subject)
}

// rawSubject reads the bytes of a subject id in the one way that it is written.
func rawSubject(id string) (raw [16]byte, ok bool) {
	if len(id) != subjectSize || id[:2] != "SU" {
		return raw, false
	}
	for i := range raw {
		high, low := nibble(id[2+2*i]), nibble(id[3+2*i])
		if high|low > 0xf {
			return raw, false
		}
		raw[i] = high<<4 | low
	}
	return raw, true
}

// nibble is a lower-case hex digit's value, 0xff for everything else.
func nibble(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// Decode reads one record; b must hold nothing else. It copies what it keeps,
// checks every length, and allocates no more than b is long.
func Decode(b []byte) (r Record, err error) {
	d := decoder{b: b}
	if !d.record(&r) {
		return Record{}, ErrCodec
	}
	return r, nil
}

// record reads a whole record; false when b is anything else.
func (d *decoder) record(r *Record) bool {
	if d.byte() != codecFormat {
		return false
	}
	flags := d.byte()
	r.Primary, r.AssumedZone, r.AssumedCountry = flags&flagPrimary != 0, flags&flagAssumedZone != 0, flags&flagAssumedCountry != 0
	for _, s := range [...]*string{(*string)(&r.Key.Source), &r.Key.Instance, &r.Key.NativeID, &r.Key.Leg, &r.Key.Event, &r.CallKey,
		&r.CallerName, (*string)(&r.Direction), (*string)(&r.Status),
		&r.STIR.Attest, &r.STIR.OrigID, &r.STIR.Verstat, &r.STIR.SPC, &r.ConsentRef, &r.NativeType} {
		*s = d.string()
	}
	d.party(&r.From, 0)
	d.party(&r.To, 1)
	for _, t := range [...]*time.Time{&r.Start, &r.Ring, &r.Answer, &r.End} {
		*t = d.time()
	}
	r.Sequence = d.varint()
	r.Duration = time.Duration(d.varint()) * time.Microsecond
	r.Billsec = time.Duration(d.varint()) * time.Microsecond
	r.SIPCode, r.Q850 = int(d.varint()), int(d.varint())
	d.refs(r)
	copy(r.ContentHash[:], d.take(32))
	if native := d.take(d.uvarint()); len(native) > 0 && d.own == nil {
		r.Native = append([]byte(nil), native...)
	} else if len(native) > 0 {
		r.Native = native[:len(native):len(native)]
	}
	return !d.bad && len(d.b) == 0 && flags <= flagPrimary|flagAssumedZone|flagAssumedCountry
}

func (d *decoder) refs(r *Record) {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.bad = true
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
// next Read, and for as long as nobody changes those bytes. The zero value is ready.
type Space struct {
	refs     []string
	subjects [2][subjectSize]byte
}

const subjectSize = 2 + 32 // SU and hex

// Read reads what [Append] wrote, as [Decode] does.
func (w *Space) Read(r *Record, b []byte) error {
	*r = Record{}
	d := decoder{b: b, own: w}
	if !d.record(r) {
		*r = Record{}
		return ErrCodec
	}
	return nil
}

// decoder reads from the front of b; after the first fault it reads zeros.
type decoder struct {
	b   []byte
	bad bool
	own *Space // nil: what is kept is copied
}

func (d *decoder) take(n uint64) []byte {
	if d.bad || n > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) byte() byte {
	if b := d.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.bad = true
		return 0
	}
	d.take(uint64(size))
	return n
}

func (d *decoder) varint() int64 {
	n := d.uvarint()
	return int64(n>>1) ^ -int64(n&1)
}

func (d *decoder) string() string {
	b := d.take(d.uvarint())
	if d.own == nil {
		return string(b)
	}
	return unsafe.String(unsafe.SliceData(b), len(b))
}

func (d *decoder) time() time.Time {
	n := d.uvarint()
	if n == 0 {
		return time.Time{}
	}
	n--
	return time.UnixMicro(int64(n>>1) ^ -int64(n&1)).UTC()
}

func (d *decoder) party(p *Party, end int) {
	p.Raw, p.E164, p.Country = d.string(), d.string(), d.string()
	switch d.byte() {
	case 0:
		p.Subject = d.string()
	case 1:
		p.Subject = d.subject(end)
	default:
		d.bad = true
	}
}

func (d *decoder) subject(end int) string {
	var text [subjectSize]byte
	copy(text[:], "SU")
	hex.Encode(text[2:], d.take(16))
	if d.own == nil {
		return string(text[:])
	}
	own := &d.own.subjects[end]
	*own = text
	return unsafe.String(&own[0], subjectSize)
}
