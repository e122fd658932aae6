package sealed

import (
	"encoding/binary"
	"errors"

	"github.com/domicile-io/domicile/dataplane/record"
)

// located is one call and every place where an entry of it stands.
type located struct {
	call   ref
	tag    [16]byte // of its fold row
	row    foldRow
	raw    []byte // the row as it was read
	spills [][]byte
	view   entry
	places []ref // versions, events and views, each once
}

// identity is what a record's call is found by; see tagAll.
func (t *tenant) identity(r *record.Record) [16]byte {
	x, g := t.tagger()
	defer x.tags.Put(g)
	callKey := r.CallKey
	if callKey == "" {
		callKey = r.Key.NativeID
	}
	return g.tag(g.fold, tagFold, string(r.Key.Source), r.Key.Instance, callKey)
}

// locate finds a call's entries; nil when it was dropped or never was. Old views
// have no row: one stands behind the event that made it.
func (t *tenant) locate(call ref) (*located, error) {
	s := t.s
	first, err := s.entryAt(t.raw, call, call)
	if errors.Is(err, errNoEntry) {
		return nil, t.asideOf(call)
	}
	if err != nil {
		return nil, err
	}
	l := &located{call: call, tag: t.identity(&first.record)}
	if l.raw, err = s.get(kindFold, append(t.index.Load().key(nil, kindFold, t.raw), l.tag[:tagSize]...)); err != nil {
		return nil, err
	}
	var ok bool
	if l.row, ok = readFoldRow(l.raw); !ok || l.row.call != call {
		return nil, s.corrupt(kindFold, nil)
	}
	if l.row.gone {
		return nil, nil
	}
	if l.view, err = s.entryAt(t.raw, l.row.view, call); err != nil {
		return nil, s.indexed(err)
	}
	seen := map[ref]bool{}
	add := func(at ref) {
		if !seen[at] {
			seen[at] = true
			l.places = append(l.places, at)
		}
	}
	add(call)
	add(l.row.view)
	for _, e := range l.row.events {
		add(e.at)
	}
	prefix := append(t.index.Load().key(nil, kindSpill, t.raw), l.tag[:tagSize]...)
	err = s.scan(kindSpill, prefix, func(key, value []byte) error {
		if len(value) != refSize {
			return s.corrupt(kindSpill, nil)
		}
		add(readRef(value))
		l.spills = append(l.spills, append([]byte(nil), key...))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l, t.addViews(l, add)
}

// indexed turns the absence of what an index leads to into corruption.
func (s *Store) indexed(err error) error {
	if errors.Is(err, errNoEntry) {
		return s.corrupt(kindFold, errFrame)
	}
	return err
}

// addViews adds the view that stands behind each event of a merged call. One
// that an earlier rewrite was cut short at may be gone already.
func (t *tenant) addViews(l *located, add func(ref)) error {
	for _, at := range l.places {
		e, err := t.s.entryAt(t.raw, at, l.call)
		if errors.Is(err, errNoEntry) || err == nil && e.kind != versionOnly {
			continue
		}
		if err != nil {
			return err
		}
		next, ok, err := t.next(at)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		f, err := t.s.frameAt(t.raw, next.chunk, next.frame)
		if err != nil {
			return err
		}
		v, err := f.head(next.entry)
		if err != nil {
			return t.s.corrupt(kindFrame, err)
		}
		if v.kind == viewOnly && v.call == l.call {
			add(next)
		}
	}
	return nil
}

// next is the place behind one: in its frame, else the first of the frame that
// was written next.
func (t *tenant) next(at ref) (ref, bool, error) {
	f, err := t.s.frameAt(t.raw, at.chunk, at.frame)
	if err != nil {
		return ref{}, false, err
	}
	if int(at.entry)+1 < len(f.entries) {
		return ref{at.chunk, at.frame, at.entry + 1}, true, nil
	}
	prefix := keyOf(nil, kindFrame, t.raw)
	lower := append(frameKey(nil, t.raw, at.chunk, at.frame), 0)
	it, err := t.s.engine.Rows(lower, after(prefix))
	if err != nil {
		return ref{}, false, t.s.readError(kindFrame, err)
	}
	defer it.Close()
	if !it.First() {
		if err := it.Error(); err != nil {
			return ref{}, false, t.s.readError(kindFrame, err)
		}
		return ref{}, false, nil
	}
	key := it.Key()
	return ref{int64(binary.BigEndian.Uint64(key[17:])), binary.BigEndian.Uint16(key[25:]), 0}, true, nil
}
