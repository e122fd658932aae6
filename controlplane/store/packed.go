package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
)

// What nearly every change has in it, policies as rows and the commands PutPolicy and
// Batch, is written in bytes of its own: JSON of a policy has six times as many, and
// each of them is encoded, hashed, sent, logged, decoded and stored on every voter.
// What is signed and shipped is JSON, as before (docs/adr/0004, 0085).
//
//	number: a varint, in as few bytes as it has
//	text:   its length (number) and its bytes
//	flag:   0 or 1
//	list:   one more than its length (number), 0 for nil; then each
//	other:  text of JSON, for what is rare; empty when there is none
//
// Each value has one form, but for what stands in JSON in it, and a reader takes no
// other. JSON begins with a brace, so the first byte tells both apart.

// packedForm is the first byte of a packed row. Another form takes another number.
const packedForm = 1

// packer writes. After bad, what it wrote is worth nothing: encoding/json must write
// the object, or refuse it.
type packer struct {
	b   []byte
	bad bool
}

func (p *packer) number(n uint64) { p.b = binary.AppendUvarint(p.b, n) }
func (p *packer) signed(n int64)  { p.b = binary.AppendVarint(p.b, n) }

func (p *packer) flag(set bool) {
	if set {
		p.b = append(p.b, 1)
		return
	}
	p.b = append(p.b, 0)
}

func (p *packer) bytes(b []byte) {
	p.number(uint64(len(b)))
	p.b = append(p.b, b...)
}

func packText[T ~string](p *packer, text T) {
	p.number(uint64(len(text)))
	p.b = append(p.b, text...)
}

// other writes what is rare; nothing when it is absent.
func (p *packer) other(v any, present bool) {
	if !present {
		p.number(0)
		return
	}
	content, err := json.Marshal(v)
	p.bytes(content)
	p.bad = p.bad || err != nil
}

// unpacker reads. It holds a string, so that texts are parts of it and not copies.
// After bad it reads nothing more.
type unpacker struct {
	rest string
	bad  bool
}

func (u *unpacker) fail() { u.rest, u.bad = "", true }

// done reports whether everything was read, and was as expected.
func (u *unpacker) done() bool { return !u.bad && u.rest == "" }

func (u *unpacker) number() (n uint64) {
	for i := range min(len(u.rest), binary.MaxVarintLen64) {
		c := u.rest[i]
		n |= uint64(c&0x7f) << (7 * i)
		if c >= 0x80 {
			continue
		}
		if i > 0 && c == 0 || i == binary.MaxVarintLen64-1 && c > 1 {
			break // longer than it must be, or too great
		}
		u.rest = u.rest[i+1:]
		return n
	}
	u.fail()
	return 0
}

func (u *unpacker) signed() int64 {
	n := u.number()
	return int64(n>>1) ^ -int64(n&1)
}

func (u *unpacker) byte() byte {
	if u.rest == "" {
		u.fail()
		return 0
	}
	c := u.rest[0]
	u.rest = u.rest[1:]
	return c
}

func (u *unpacker) flag() bool {
	c := u.byte()
	if c > 1 {
		u.fail()
	}
	return c == 1
}

func (u *unpacker) text() string {
	n := u.number()
	if n > uint64(len(u.rest)) {
		u.fail()
		return ""
	}
	text := u.rest[:n]
	u.rest = u.rest[n:]
	return text
}

// length of a list whose members take at least a byte each; has is false for nil.
func (u *unpacker) length() (n int, has bool) {
	switch more := u.number(); {
	case more == 0:
		return 0, false
	case more-1 > uint64(len(u.rest)):
		u.fail()
		return 0, false
	default:
		return int(more - 1), true
	}
}

// other reads what is rare, and refuses unknown fields.
func (u *unpacker) other(into any) {
	text := u.text()
	if text == "" {
		return
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if d.Decode(into) != nil || d.More() {
		u.fail()
	}
}
