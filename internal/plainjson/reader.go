// Package plainjson reads and writes the JSON that encoding/json writes of our
// own structs, without reflection: fields in order, no white space, strings of
// printable ASCII without escapes.
//
// It is a faster way to the same result and never another result. A writer
// writes the bytes that encoding/json would. A [Reader] that meets anything else
// (another order, an escape, an unknown field, a number out of range) fails, and
// its caller reads the bytes again by encoding/json, which then decides what they
// mean or refuses them. So a fault can make a reader slow, and not lenient.
package plainjson

import (
	"bytes"
	"strconv"
)

// Reader reads a document from its start. After the first failure each method
// fails; Done tells.
type Reader struct {
	rest   []byte
	failed bool
}

// Read begins a document.
func Read(b []byte) *Reader { return &Reader{rest: b} }

// Done reports whether the whole document was read as expected.
func (r *Reader) Done() bool { return !r.failed && len(r.rest) == 0 }

// Failed reports whether something unexpected came.
func (r *Reader) Failed() bool { return r.failed }

// Fail makes the reader fail.
func (r *Reader) Fail() { r.failed = true }

// Next takes a literal if it comes next.
func (r *Reader) Next(literal string) bool {
	if r.failed || len(r.rest) < len(literal) || string(r.rest[:len(literal)]) != literal {
		return false
	}
	r.rest = r.rest[len(literal):]
	return true
}

// Want takes a literal, which must come next.
func (r *Reader) Want(literal string) {
	if !r.Next(literal) {
		r.failed = true
	}
}

// Text takes a string. It aliases the document.
func (r *Reader) Text() []byte {
	r.Want(`"`)
	if r.failed {
		return nil
	}
	end := bytes.IndexByte(r.rest, '"')
	if end < 0 || !Plain(r.rest[:end]) {
		r.failed = true
		return nil
	}
	text := r.rest[:end]
	r.rest = r.rest[end+1:]
	return text
}

// String takes a string.
func (r *Reader) String() string { return string(r.Text()) }

// digits takes a number's digits as JSON allows them.
func (r *Reader) digits() string {
	n := 0
	for n < len(r.rest) && r.rest[n] >= '0' && r.rest[n] <= '9' {
		n++
	}
	if r.failed || n == 0 || n > 1 && r.rest[0] == '0' {
		r.failed = true
		return ""
	}
	text := string(r.rest[:n])
	r.rest = r.rest[n:]
	return text
}

// Uint takes a whole number. What a fraction or an exponent follows fails at
// whatever is wanted next.
func (r *Reader) Uint() uint64 {
	v, err := strconv.ParseUint(r.digits(), 10, 64)
	if err != nil {
		r.failed = true
	}
	return v
}

// Int takes a whole number that is not below zero.
func (r *Reader) Int() int64 {
	v, err := strconv.ParseInt(r.digits(), 10, 64)
	if err != nil {
		r.failed = true
	}
	return v
}

// Bool takes true or false.
func (r *Reader) Bool() bool {
	if r.Next("true") {
		return true
	}
	r.Want("false")
	return false
}

// Value takes an object or list without looking into it. It aliases the document.
func (r *Reader) Value() []byte {
	depth, quoted := 0, false
	for i := 0; i < len(r.rest) && !r.failed; i++ {
		switch c := r.rest[i]; {
		case c == '\\':
			r.failed = true
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		}
		if depth == 0 {
			if c := r.rest[i]; c != '}' && c != ']' {
				break // a value of another shape
			}
			v := r.rest[:i+1]
			r.rest = r.rest[i+1:]
			return v
		}
	}
	r.failed = true
	return nil
}
