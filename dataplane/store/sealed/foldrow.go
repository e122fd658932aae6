package sealed

import "encoding/binary"

// foldRow is what is known of one call without opening a frame: where it
// began, where its current view is, and which events it holds, each as keyed
// tags. It answers deduplication.
//
//	flags | ref of the call | [ref of the view] | [n] | n × (key tag 4, content tag 8, [ref])
//
// The first event's ref is the call's; flag 1 says that the view's is too. The
// row of a dropped call (flag 2) ends after its ref and stays, so that an event
// which comes again does not make a new call; a redacted one (flag 4) takes no
// further events either. Nearly all calls have one event: then n is flag 8.
//
// Tags are as long as they must be (ADR 0068): two events of one call pass for one by
// chance once in 2^96, two contents of one event once in 2^64.
type foldRow struct {
	call   ref
	view   ref
	events []foldEvent
	total  uint64 // events, with those in spill rows
	gone   bool   // dropped
	closed bool   // redacted
}

// ended reports that whatever comes of the call now is passed over.
func (f *foldRow) ended() bool { return f.gone || f.closed }

type foldEvent struct {
	key     [4]byte // HMAC of native id, leg and event, cut
	content [8]byte // keyed permutation of the content hash, cut
	at      ref
}

// foldInline bounds the events in the row; later ones stand in rows of their
// own, so that a call with ever more events does not cost ever more per event.
const foldInline = 32

const (
	foldViewIsCall = 1
	foldGone       = 2
	foldClosed     = 4
	foldOne        = 8
)

func (f *foldRow) append(dst []byte) []byte {
	if f.gone {
		return f.call.append(append(dst, foldGone))
	}
	var flags byte
	if f.closed {
		flags |= foldClosed
	}
	if f.total == 1 {
		flags |= foldOne
	}
	if f.view == f.call {
		dst = f.call.append(append(dst, flags|foldViewIsCall))
	} else {
		dst = f.view.append(f.call.append(append(dst, flags)))
	}
	if f.total != 1 {
		dst = binary.AppendUvarint(dst, f.total)
	}
	for i, e := range f.events {
		dst = append(append(dst, e.key[:]...), e.content[:]...)
		if i > 0 {
			dst = e.at.append(dst)
		}
	}
	return dst
}

func readFoldRow(b []byte) (foldRow, bool) {
	c := cursorOf(b)
	flags := c.byte()
	var f foldRow
	if b := c.take(refSize); b != nil {
		f.call = readRef(b)
	}
	f.view = f.call
	if f.gone, f.closed = flags&foldGone != 0, flags&foldClosed != 0; f.gone {
		return f, !c.bad && len(c.b) == 0 && flags == foldGone
	}
	if flags&foldViewIsCall == 0 {
		if b := c.take(refSize); b != nil {
			f.view = readRef(b)
		}
	}
	if f.total = 1; flags&foldOne == 0 {
		f.total = c.uvarint()
	}
	n := min(f.total, foldInline)
	if c.bad || flags&^(foldViewIsCall|foldClosed|foldOne) != 0 || n == 0 {
		return foldRow{}, false
	}
	f.events = make([]foldEvent, n)
	for i := range f.events {
		e := &f.events[i]
		copy(e.key[:], c.take(4))
		copy(e.content[:], c.take(8))
		e.at = f.call
		if i > 0 {
			if b := c.take(refSize); b != nil {
				e.at = readRef(b)
			}
		}
	}
	return f, !c.bad && len(c.b) == 0
}

// spillKey is the row of an event past foldInline; with no content tag, the
// prefix of all versions of one event.
func spillKey(buf []byte, x *index, t tenantRaw, fold [16]byte, key []byte, content []byte) []byte {
	b := append(x.key(buf, kindSpill, t), fold[:tagSize]...)
	return append(append(b, key...), content...)
}
