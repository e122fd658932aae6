package sealed

import (
	"bytes"
	"errors"
	"slices"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
)

// unit is what is sealed anew as a whole: a chunk, or all covers that are named by a
// chunk, with every frame that they hold.
type unit struct {
	chunk   int64
	covered bool
}

func (u unit) compare(v unit) int {
	switch {
	case u.chunk < v.chunk, u.chunk == v.chunk && !u.covered && v.covered:
		return -1
	case u == v:
		return 0
	}
	return 1
}

// unitOf finds the unit that a chunk's frames are in. Either all of them are
// covered or none; a damaged row says nothing.
func (t *tenant) unitOf(chunk int64) (unit, error) {
	out, found := unit{chunk: chunk}, errors.New("found")
	err := t.s.scan(kindFrame, chunkPrefix(t.raw, chunk), func(_, value []byte) error {
		if name, ok := pointerIn(value); ok {
			if row, err := t.s.get(kindCover, coverKey(nil, t.raw, name)); err != nil || row == nil {
				return err
			}
			out = unit{name.chunk, true}
			return found
		}
		if len(value) >= frameHeader {
			return found
		}
		return nil
	})
	if err == nil {
		err = t.asideUnit(&out, found)
	}
	if err == found {
		err = nil
	}
	return out, err
}

// asideUnit finds the unit of a chunk of which no row is left: pointers that were
// moved aside with their cover still name it.
func (t *tenant) asideUnit(out *unit, found error) error {
	return t.s.scan(kindAside, asideKey(chunkPrefix(t.raw, out.chunk)), func(_, value []byte) error {
		name, ok := pointerIn(value)
		if !ok {
			return nil
		}
		row, err := t.s.get(kindAside, asideKey(coverKey(nil, t.raw, name)))
		if err != nil || row == nil {
			return err
		}
		*out = unit{name.chunk, true}
		return found
	})
}

// units keeps what unitOf found, for as long as the caller has t.exclusive.
type units struct {
	t  *tenant
	of map[int64]unit
}

func (u *units) find(chunk int64) (unit, error) {
	if found, ok := u.of[chunk]; ok {
		return found, nil
	}
	found, err := u.t.unitOf(chunk)
	if err == nil {
		u.of[chunk] = found
	}
	return found, err
}

// resealCovers is reseal for the covers that are named by a chunk: the new key
// takes the place of all that they were sealed under.
func (t *tenant) resealCovers(id unit, edits map[ref]record.Form, newest int64) (*resealed, error) {
	out := &resealed{id: id, chunks: map[int64]bool{id.chunk: true}}
	covers, err := t.openCovers(id.chunk, out)
	if err != nil {
		return nil, err
	}
	left := false
	for _, c := range covers {
		for _, f := range c.frames {
			out.chunks[f.chunk] = true
			left = f.edit(edits) || left || f.chunk >= newest
		}
	}
	if !left {
		return out, nil
	}
	if out.key, _, err = t.s.keys.For(store.UseErase).Draw(); err != nil {
		return nil, err
	}
	for _, c := range covers {
		c.keys = []store.KeyID{out.key}
		value, err := t.s.sealCover(t.raw, c)
		if err != nil {
			return out, err
		}
		out.rows = append(out.rows, Row{coverKey(nil, t.raw, c.at), value})
		for _, f := range c.frames {
			out.pointers = append(out.pointers, Row{frameKey(nil, t.raw, f.chunk, f.number), pointerTo(c.at)})
		}
	}
	return out, nil
}

// openCovers opens the covers that are named by a chunk, past the cache, and notes
// their rows and keys, also those of covers that were moved aside.
func (t *tenant) openCovers(chunk int64, out *resealed) (covers []*cover, err error) {
	err = t.s.scan(kindCover, coversOf(t.raw, chunk), func(key, value []byte) error {
		if len(key) != 27 {
			return t.s.corrupt(kindCover, nil)
		}
		name := readPlace(key[17:])
		c, err := t.s.openCover(t.raw, name, value)
		if isCorrupt(err) {
			out.broken = append(out.broken, aside{bytes.Clone(key), bytes.Clone(value)})
			out.destroyAll(t.s.headerKeys(t.raw, name, value))
			return nil
		}
		if err != nil {
			return err
		}
		covers = append(covers, c)
		out.stored = append(out.stored, bytes.Clone(key))
		for _, f := range c.frames {
			out.stored = append(out.stored, frameKey(nil, t.raw, f.chunk, f.number))
		}
		out.destroyAll(c.keys)
		return nil
	})
	if err != nil {
		return nil, err
	}
	prefix := asideKey(coversOf(t.raw, chunk))
	return covers, t.s.scan(kindAside, prefix, func(key, value []byte) error {
		if at := key[len(prefix)-8:]; len(at) == placeSize {
			out.destroyAll(t.s.headerKeys(t.raw, readPlace(at), value))
		}
		return nil
	})
}

// headerKeys are the keys of a cover that does not open; none when its header is
// damaged too.
func (s *Store) headerKeys(t tenantRaw, at framePlace, value []byte) []store.KeyID {
	ids, _, _ := s.coverHeader(t, at, value)
	return ids
}

// destroyAll adds keys to those under which nothing will be sealed any more.
func (c *resealed) destroyAll(ids []store.KeyID) {
	for _, k := range ids {
		if !slices.Contains(c.old, k) {
			c.old = append(c.old, k)
		}
	}
}

// edit puts edits in the places of entries, and reports whether anything is left.
func (f *frame) edit(edits map[ref]record.Form) (left bool) {
	for i := range f.entries {
		if b, ok := edits[ref{f.chunk, f.number, uint16(i)}]; ok {
			f.entries[i] = b
		}
		left = left || len(f.entries[i].Text) > 0 && !kindOf(f.entries[i].Text).gone()
	}
	return left
}
