package sealed

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// small is a run of whole chunks, or a chunk.
type small struct {
	chunks map[int64]bool
	keys   []store.KeyID
	frames []*frame
	plain  int // bytes
	stored int // bytes of the rows
}

// walk looks at chunks until something is ready to be covered, or enough was read.
func (m *merger) walk(ctx context.Context) error {
	t := m.t
	if m.from >= m.before {
		return nil
	}
	it, err := t.s.engine.Rows(frameKey(nil, t.raw, m.from, 0), frameKey(nil, t.raw, m.before, 0))
	if err != nil {
		return t.s.readError(kindFrame, err)
	}
	defer it.Close()
	ok := it.First()
	for ok && m.ready == nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		if m.rows >= stepRows || m.read >= stepBytes {
			m.more = true
			return nil
		}
		var c *small
		var chunk int64
		if chunk, c, ok, err = m.chunk(it); err != nil {
			return err
		}
		m.take(chunk, c)
	}
	if err := it.Error(); err != nil {
		return t.s.readError(kindFrame, err)
	}
	if m.more = ok || m.ready != nil; m.ready == nil && m.run != nil && m.enough() {
		m.ready, m.run, m.next = m.run, nil, m.before
	}
	return nil
}

// take adds a chunk to the run, or ends the run before it; nil: it is not to be
// covered.
func (m *merger) take(chunk int64, c *small) {
	fits := c != nil && c.plain <= coverTarget
	if m.run != nil && (!fits || m.run.plain+c.plain > coverTarget || len(m.run.keys)+len(c.keys) > coverKeys) {
		if m.worth(m.run) {
			m.ready, m.run, m.next = m.run, nil, chunk // this one is looked at again
			return
		}
		m.run = nil
	}
	switch {
	case fits && m.run == nil:
		m.run, m.next = c, chunk
	case fits:
		m.run.add(c)
	case c != nil:
		m.ready, m.next = c, chunk+1
	default:
		m.next = chunk + 1
	}
}

func (s *small) add(c *small) {
	for id := range c.chunks {
		s.chunks[id] = true
	}
	for _, k := range c.keys {
		if !slices.Contains(s.keys, k) {
			s.keys = append(s.keys, k)
		}
	}
	s.frames = append(s.frames, c.frames...)
	s.plain, s.stored = s.plain+c.plain, s.stored+c.stored
}

func (m *merger) worth(s *small) bool {
	return len(s.frames) >= fewFrames || m.o.All && len(s.frames) > 1
}

// enough reports that the run behind which nothing stands yet need not wait for
// more: it is long, or has waited for long.
func (m *merger) enough() bool {
	r := m.run
	waited := m.t.s.now().Sub(time.UnixMicro(r.frames[0].chunk)) >= longWait
	return m.worth(r) && (m.o.All || r.plain >= coverEnough || waited && len(r.frames) >= smallEntries)
}

// chunk reads the rows of one chunk, and gives it when it is whole and small.
func (m *merger) chunk(it Rows) (id int64, out *small, more bool, err error) {
	s := m.t.s
	if len(it.Key()) != 27 {
		return 0, nil, false, s.corrupt(kindFrame, nil)
	}
	id = readPlace(it.Key()[17:]).chunk
	out = &small{chunks: map[int64]bool{id: true}}
	large, entries := false, 0
	var values [][]byte
	more = true
	for ; more && len(it.Key()) == 27 && readPlace(it.Key()[17:]).chunk == id; more = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return id, nil, more, s.readError(kindFrame, err)
		}
		m.rows, m.read = m.rows+1, m.read+len(value)
		if len(value) < frameHeader || int(readPlace(it.Key()[17:]).number) != len(values) {
			large = true // it is covered, or not whole
		}
		if large {
			continue
		}
		entries += int(binary.BigEndian.Uint16(value[27:]))
		out.stored += len(it.Key()) + len(value)
		values = append(values, bytes.Clone(value))
		large = out.stored > maxCover/2 || len(values) > smallEntries && entries/len(values) >= smallEntries
	}
	if large || len(values) == 0 || entries/len(values) >= smallEntries {
		return id, nil, more, nil
	}
	if whole, err := m.t.open(out, id, values); err != nil || !whole {
		return id, nil, more, err
	}
	if out.plain/len(out.frames) >= smallFrame || out.plain > coverTarget && len(out.frames) == 1 {
		return id, nil, more, nil
	}
	return id, out, more, nil
}

// plainSize is about how many bytes a frame adds to a cover's plain bytes.
func (f *frame) plainSize() int { return f.size - 256 }

// open opens the frames of a chunk; false when one does not, or was moved aside.
func (t *tenant) open(out *small, id int64, values [][]byte) (bool, error) {
	s := t.s
	for n, value := range values {
		f, err := s.openFrame(t.raw, id, uint16(n), value)
		if isCorrupt(err) {
			s.suspect(framePlace{id, uint16(n)}, t.raw)
		}
		if isCorrupt(err) || isReason(err, policy.Destroyed) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if f.size > maxCover/2 {
			return false, nil
		}
		f.covered = true
		out.frames = append(out.frames, f)
		out.plain += f.plainSize()
		if k := keyIn(value); !slices.Contains(out.keys, k) {
			out.keys = append(out.keys, k)
		}
	}
	aside := false
	err := s.scan(kindAside, asideKey(chunkPrefix(t.raw, id)), func(_, _ []byte) error { aside = true; return nil })
	return !aside && len(out.keys) <= coverKeys, err
}

// parts cuts what is ready into what one cover holds each.
func (s *small) parts() (parts [][]*frame) {
	if s.plain <= coverTarget {
		return [][]*frame{s.frames}
	}
	from, size := 0, 0
	for i, f := range s.frames {
		if size += f.plainSize(); i > from && size > coverTarget {
			parts = append(parts, s.frames[from:i])
			from, size = i, f.plainSize()
		}
	}
	return append(parts, s.frames[from:])
}
