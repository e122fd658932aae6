package server

import (
	"encoding/binary"
	"encoding/json"
	"slices"
)

// memberRoom is how many bytes are put down for the name of a member, whatever its
// length: a copy of one size is a few instructions, and one of any size a call.
const memberRoom = 24

// member is what stands between the value of a member of JSON and that of the one
// before it, as it is put down.
type member struct {
	text [memberRoom]byte
	size int
}

// memberOf makes a member of its text; one that is too long does not get through the tests.
func memberOf(text string) (m member) {
	if m.size = copy(m.text[:], text); m.size < len(text) {
		panic("no room for " + text)
	}
	return m
}

// put appends it, and leaves room for more bytes behind it: nothing up to then makes b longer.
func (m *member) put(b []byte, more int) []byte {
	at := len(b)
	if at+memberRoom+more > cap(b) {
		b = slices.Grow(b, memberRoom+more)
	}
	*(*[memberRoom]byte)(b[at : at+memberRoom]) = m.text
	return b[:at+m.size]
}

// escaped marks the bytes that a JSON string cannot hold, or that encoding/json escapes.
var escaped = func() (out [256]bool) {
	for c := range out {
		out[c] = c < ' ' || c > 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&'
	}
	return out
}()

// appendText writes a name that ends with a quote, and a string behind that quote.
func appendText(b []byte, name *member, s string) []byte {
	return appendValue(name.put(b, len(s)+1), s)
}

// appendValue writes a string behind its first quote; one that needs escapes is left to
// encoding/json.
func appendValue(b []byte, s string) []byte {
	at := len(b)
	b = slices.Grow(b, len(s)+1)
	out := b[at : at+len(s)+1]
	if !copyPlain(out, s) && !plainText(s) {
		quoted, _ := json.Marshal(s) // a string does not fail
		return append(b, quoted[1:]...)
	}
	out[len(s)] = '"'
	return b[:at+len(out)]
}

// appendSome writes a member that is left out when it is empty; name has the comma,
// the colon and the quote behind it.
func appendSome(b []byte, name *member, s string) []byte {
	if s == "" {
		return b
	}
	return appendText(b, name, s)
}

// Eight bytes at once: highs are their highest bits.
const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// copyPlain copies s and reports whether it is certain that none of its bytes is
// escaped. It is done for every byte of an export, so that it takes eight at a time, the
// last ones twice where there are fewer.
func copyPlain(out []byte, s string) bool {
	n := len(s)
	out = out[:n]
	var all uint64
	switch {
	case n >= 8:
		last := eight(s[n-8:])
		all = surelyPlain(last)
		for i := 0; i < n-8; i += 8 {
			w := eight(s[i:])
			all &= surelyPlain(w)
			binary.LittleEndian.PutUint64(out[i:], w)
		}
		binary.LittleEndian.PutUint64(out[n-8:], last)
	case n >= 4:
		w, last := four(s), four(s[n-4:])
		all = surelyPlain(w | last<<32)
		binary.LittleEndian.PutUint32(out, uint32(w))
		binary.LittleEndian.PutUint32(out[n-4:], uint32(last))
	default:
		all = highs
		for i := range n {
			if out[i] = s[i]; escaped[s[i]] {
				all = 0
			}
		}
	}
	return all&highs == highs
}

func eight(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func four(s string) uint64 {
	_ = s[3]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24
}

// surelyPlain keeps the highest bit of each byte that is ' (0x27) or above and, but for
// the bits 0x62, is not like \: so of no byte that is escaped, and of nearly all others.
// Subtracting from a byte whose highest bit is set takes nothing from the next one; that
// bit goes when the byte below it was less than what is subtracted.
func surelyPlain(w uint64) uint64 {
	return ((w | highs) - '\''*ones) & (((w | 0xe2*ones) ^ 0x7e*ones) - ones) &^ w
}

// plainText reports whether no byte of s is escaped.
func plainText(s string) bool {
	if len(s) < 8 {
		for i := range len(s) {
			if escaped[s[i]] {
				return false
			}
		}
		return true
	}
	all := plainEight(eight(s[len(s)-8:]))
	for ; len(s) > 8; s = s[8:] {
		all &= plainEight(eight(s))
	}
	return all&highs == highs
}

// plainEight keeps the highest bit of each byte that is not escaped. " and & are one
// bit apart, and so are < and >.
func plainEight(w uint64) uint64 {
	h := w | highs
	return (h - ' '*ones) & ((h ^ '\\'*ones) - ones) &
		(((h | 4*ones) ^ '&'*ones) - ones) & (((h | 2*ones) ^ '>'*ones) - ones) &^ w
}
