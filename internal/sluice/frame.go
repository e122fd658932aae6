package sluice

import (
	"encoding/binary"
)

// Frames of RFC 9113, §4.1 and §6, as far as they are looked at.
const (
	headBytes = 9
	preface   = 24 // bytes that a client says first, §3.4

	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	frameWindowUpdate = 0x8

	flagPadded = 0x8

	initialWindowSize = 0x4 // a setting
)

// head is the beginning of a frame.
type head struct {
	length int
	kind   byte
	flags  byte
	stream uint32
}

func readHead(b []byte) head {
	return head{length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]), kind: b[3], flags: b[4], stream: binary.BigEndian.Uint32(b[5:]) &^ (1 << 31)}
}

func appendHead(b []byte, h head) []byte {
	b = append(b, byte(h.length>>16), byte(h.length>>8), byte(h.length), h.kind, h.flags)
	return binary.BigEndian.AppendUint32(b, h.stream)
}

// greeting is a SETTINGS frame: no stream begins with a window.
var greeting = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(
	appendHead(nil, head{length: 6, kind: frameSettings}), initialWindowSize), 0)

// widen is a WINDOW_UPDATE of a stream.
func widen(stream uint32, by uint32) []byte {
	return binary.BigEndian.AppendUint32(appendHead(nil, head{length: 4, kind: frameWindowUpdate, stream: stream}), by)
}

// tracker follows the frames of what is written in pieces of any size.
type tracker struct {
	left int // bytes of the frame that is under way
	have int // bytes of the next head
	head [headBytes]byte
}

// between reports whether one frame has ended and none has begun.
func (t *tracker) between() bool { return t.left == 0 && t.have == 0 }

func (t *tracker) pass(b []byte) {
	for len(b) > 0 {
		if t.left > 0 {
			n := min(t.left, len(b))
			t.left, b = t.left-n, b[n:]
			continue
		}
		n := copy(t.head[t.have:], b)
		t.have, b = t.have+n, b[n:]
		if t.have == headBytes {
			t.left, t.have = readHead(t.head[:]).length, 0
		}
	}
}
