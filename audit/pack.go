package audit

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A leaf is hashed and shown as JSON of some 330 bytes, and kept in a third of it:
//
//	seconds and nanoseconds of Time (2 varints)
//	Revision less Index (varint): 1 in a cluster's first epoch
//	Action: its number in actions (1), or 0 and its text
//	Actor, Resource: an id's two letters and 16 bytes, or a text
//	Command (32)
//
// A text is its length (1) and its bytes; the length of an id is asID. It is
// written by hand and not by a library's compression, because it is part of the
// state: every voter must write the same bytes, whatever version it has.

const (
	asID     = 0xff
	idBytes  = idDigits / 2
	sumBytes = 32
)

// actions that have a number. Append only: the numbers are in every state.
var actions = []Action{"", // 0: text
	"policy.put", "tenant.create", "tenant.update", "key.create", "key.delete", "change.add", "change.approve", "change.reject",
	"violation.open", "violation.acknowledge", "violation.resolve", "token.create", "token.revoke", "node.register", "node.admit",
	"member.put", "tenant.receipt", "signing_key.enrol", "region.put", "basis.put", "basis.drill",
}

var errPacked = errors.New("a kept audit leaf has not the form that one has")

// Pack gives the bytes in which a leaf is kept. Errors as Encode's.
func (l Leaf) Pack() ([]byte, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	return l.pack()
}

// EncodeAndPack is Encode and Pack.
func (l Leaf) EncodeAndPack() (record, packed []byte, err error) {
	if record, err = l.Encode(); err == nil {
		packed, err = l.pack()
	}
	return record, packed, err
}

// pack is Pack for a leaf that was checked.
func (l Leaf) pack() ([]byte, error) {
	at := l.Time.UTC()
	b := make([]byte, 0, 128)
	b = binary.AppendUvarint(b, uint64(at.Unix()))
	b = binary.AppendUvarint(b, uint64(at.Nanosecond()))
	b = binary.AppendUvarint(b, l.Revision-l.Index)
	if n := slices.Index(actions, l.Action); n > 0 {
		b = append(b, byte(n))
	} else {
		b = appendText(append(b, 0), string(l.Action))
	}
	b = appendID(appendID(b, l.Actor), l.Resource)
	return hex.AppendDecode(b, []byte(l.Command))
}

func appendID(b []byte, s string) []byte {
	if !hexID(s) {
		return appendText(b, s)
	}
	b = append(append(b, asID), s[:2]...)
	b, _ = hex.AppendDecode(b, []byte(s[2:])) // hexID has looked at it
	return b
}

func appendText(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

// Unpack gives the canonical bytes of a kept leaf, as Encode gave them.
func Unpack(index uint64, packed []byte) ([]byte, error) {
	l := Leaf{Format: LeafFormat, Index: index, Outcome: Applied}
	r := unpacker{b: packed}
	seconds, nanos := r.number(), r.number()
	l.Time = time.Unix(int64(seconds), int64(nanos)).UTC()
	l.Revision = index + r.number()
	if n := int(r.take(1)[0]); n >= len(actions) {
		return nil, fmt.Errorf("%w: its action is of a newer version", errPacked)
	} else if l.Action = actions[n]; n == 0 {
		l.Action = Action(r.text())
	}
	l.Actor, l.Resource = r.text(), r.text()
	l.Command = hex.EncodeToString(r.take(sumBytes))
	if r.bad || len(r.b) > 0 {
		return nil, errPacked
	}
	if err := l.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", errPacked, err)
	}
	return l.canonical(), nil
}

type unpacker struct {
	b   []byte
	bad bool
}

func (r *unpacker) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.bad, size = true, len(r.b)
	}
	r.b = r.b[size:]
	return n
}

// take gives the next n bytes; zeros once they are not there.
func (r *unpacker) take(n int) []byte {
	if len(r.b) < n {
		r.bad = true
		return make([]byte, n)
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *unpacker) text() string {
	n := r.take(1)[0]
	if n != asID {
		return string(r.take(int(n)))
	}
	var s strings.Builder
	s.Write(r.take(2))
	s.WriteString(hex.EncodeToString(r.take(idBytes)))
	return s.String()
}
