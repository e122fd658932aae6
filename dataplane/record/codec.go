package record

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"time"
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
	var raw [16]byte
	if len(p.Subject) == 34 && strings.HasPrefix(p.Subject, "SU") {
		if _, err := hex.Decode(raw[:], []byte(p.Subject[2:])); err == nil && hex.EncodeToString(raw[:]) == p.Subject[2:] {
			return append(append(dst, 1), raw[:]...)
		}
	}
	return appendString(append(dst, 0), p.Subject)
}

// Decode reads one record; b must hold nothing else. It copies what it keeps,
// checks every length, and allocates no more than b is long.
func Decode(b []byte) (Record, error) {
	d := decoder{b: b}
	if d.byte() != codecFormat {
		return Record{}, ErrCodec
	}
	flags := d.byte()
	r := Record{Primary: flags&flagPrimary != 0, AssumedZone: flags&flagAssumedZone != 0, AssumedCountry: flags&flagAssumedCountry != 0}
	for _, s := range [...]*string{(*string)(&r.Key.Source), &r.Key.Instance, &r.Key.NativeID, &r.Key.Leg, &r.Key.Event, &r.CallKey,
		&r.CallerName, (*string)(&r.Direction), (*string)(&r.Status),
		&r.STIR.Attest, &r.STIR.OrigID, &r.STIR.Verstat, &r.STIR.SPC, &r.ConsentRef, &r.NativeType} {
		*s = d.string()
	}
	d.party(&r.From)
	d.party(&r.To)
	for _, t := range [...]*time.Time{&r.Start, &r.Ring, &r.Answer, &r.End} {
		*t = d.time()
	}
	r.Sequence = d.varint()
	r.Duration = time.Duration(d.varint()) * time.Microsecond
	r.Billsec = time.Duration(d.varint()) * time.Microsecond
	r.SIPCode, r.Q850 = int(d.varint()), int(d.varint())
	if n := d.uvarint(); n > 0 && n <= uint64(len(d.b)) {
		r.RecordingRefs = make([]string, n)
		for i := range r.RecordingRefs {
			r.RecordingRefs[i] = d.string()
		}
	} else if n > 0 {
		d.bad = true
	}
	copy(r.ContentHash[:], d.take(32))
	if native := d.take(d.uvarint()); len(native) > 0 {
		r.Native = append([]byte(nil), native...)
	}
	if d.bad || len(d.b) > 0 || flags > flagPrimary|flagAssumedZone|flagAssumedCountry {
		return Record{}, ErrCodec
	}
	return r, nil
}

// decoder reads from the front of b; after the first fault it reads zeros.
type decoder struct {
	b   []byte
	bad bool
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

func (d *decoder) string() string { return string(d.take(d.uvarint())) }

func (d *decoder) time() time.Time {
	n := d.uvarint()
	if n == 0 {
		return time.Time{}
	}
	n--
	return time.UnixMicro(int64(n>>1) ^ -int64(n&1)).UTC()
}

func (d *decoder) party(p *Party) {
	p.Raw, p.E164, p.Country = d.string(), d.string(), d.string()
	switch d.byte() {
	case 0:
		p.Subject = d.string()
	case 1:
		p.Subject = "SU" + hex.EncodeToString(d.take(16))
	default:
		d.bad = true
	}
}
