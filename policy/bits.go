package policy

import (
	"encoding/hex"
)

// Bits is the random part of an id: its 32 hex digits. As a key it takes 16
// bytes and no pointer, where the id takes 50 and one.
type Bits [16]byte

// digits gives the value of each lower-case hex digit; noDigit for the rest.
var digits = func() (d [256]byte) {
	for i := range d {
		d[i] = noDigit
	}
	for i, c := range []byte("0123456789abcdef") {
		d[c] = byte(i)
	}
	return d
}()

const noDigit = 0xff

// Bits reads an id of this kind; false for what is none ([ValidID]).
func (k IDKind) Bits(id string) (b Bits, ok bool) {
	if len(id) != 34 || id[:2] != string(k) {
		return b, false
	}
	id = id[2:]
	var bad byte
	for i := range b {
		high, low := digits[id[2*i]], digits[id[2*i+1]]
		bad |= high | low
		b[i] = high<<4 | low
	}
	return b, bad < 16
}

// Of gives the id of this kind with these bits.
func (k IDKind) Of(b Bits) string {
	var id [34]byte
	copy(id[:], k)
	hex.Encode(id[2:], b[:])
	return string(id[:])
}
