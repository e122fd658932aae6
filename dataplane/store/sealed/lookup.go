package sealed

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/policy"
)

// fold finds a call by its fold tag: in this group, else on disk, else nil.
func (g *group) fold(tag [16]byte) (*foldState, error) {
	if st, ok := g.folds[tag]; ok {
		return st, nil
	}
	if g.t.s.seen.absent(tag) {
		g.t.s.seen.add(tag) // the caller makes the call now
		return nil, nil
	}
	g.key = append(g.t.index.Load().key(g.key, kindFold, g.t.raw), tag[:tagSize]...)
	value, err := g.get(kindFold, g.key)
	if err != nil {
		return nil, err
	}
	if value == nil {
		g.t.s.seen.add(tag)
		return nil, nil
	}
	row, ok := readFoldRow(value)
	if !ok {
		return nil, g.t.s.corrupt(kindFold, nil)
	}
	st := &foldState{row: row}
	g.folds[tag] = st
	return st, nil
}

// known reports whether the call holds the event already, and whether it holds
// it with the same content.
func (g *group) known(st *foldState, tags *recordTags) (known, same bool, err error) {
	for i := range st.row.events {
		if e := &st.row.events[i]; e.key == tags.key {
			known = true
			if e.content == tags.content {
				return true, true, nil
			}
		}
	}
	if st.row.total <= uint64(len(st.row.events)) {
		return known, false, nil
	}
	prefix := spillKey(nil, g.t.index.Load(), g.t.raw, tags.fold, tags.key[:], nil)
	whole := string(spillKey(nil, g.t.index.Load(), g.t.raw, tags.fold, tags.key[:], tags.content[:]))
	if _, ok := g.spills[whole]; ok {
		return true, true, nil
	}
	for k := range g.spills {
		known = known || strings.HasPrefix(k, string(prefix))
	}
	it, err := g.t.s.engine.Rows(prefix, after(prefix))
	if err != nil {
		return false, false, g.t.s.readError(kindSpill, err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		known = true
		if bytes.Equal(it.Key(), []byte(whole)) {
			return true, true, nil
		}
	}
	if err := it.Error(); err != nil {
		if err = g.t.s.readError(kindSpill, err); !isCorrupt(err) {
			return false, false, err
		}
	}
	return known, false, nil
}

// view gives the call's current view, from this group or from its frame.
func (g *group) view(st *foldState) (*entry, error) {
	if st.view != nil {
		return st.view, nil
	}
	e, err := g.t.s.entryAt(g.t.raw, st.row.view, st.row.call)
	if errors.Is(err, errNoEntry) {
		return nil, g.t.s.corrupt(kindFold, errFrame)
	}
	if err != nil {
		return nil, err
	}
	st.view = &e
	return st.view, nil
}

// identify gives both parties their subject ids: the known one, or a new random
// one (contract §6: random, so that nothing can be computed from a number). A
// number that changed hands stands for whoever had it when the call was listed.
func (g *group) identify(r *record.Record, tags *recordTags, listed int64) error {
	var err error
	if r.From.Subject, err = g.subject(tags.from, r.From.E164 == "", r.Key.Instance, listed); err != nil {
		return err
	}
	r.To.Subject, err = g.subject(tags.to, r.To.E164 == "", r.Key.Instance, listed)
	return err
}

func (g *group) subject(tag [16]byte, raw bool, instance string, listed int64) (string, error) {
	if tag == ([16]byte{}) {
		return "", nil
	}
	if raw {
		if err := g.register(instance); err != nil {
			return "", err
		}
	}
	if g.t.s.seen.absent(tag) { // which is the common case, and cheaper to find than the others
		return g.newSubject(tag, nil, listed)
	}
	if id, ok := g.t.s.subjects.find(tag); ok {
		return subjectID(id), nil
	}
	if id, ok := g.subjects[tag]; ok {
		return subjectID(id), nil
	}
	row, ok, err := g.owned[tag], true, error(nil)
	if row == nil {
		g.key = append(g.t.index.Load().key(g.key, kindSubject, g.t.raw), tag[:tagSize]...)
		if row, ok, err = g.t.readSubject(g.get(kindSubject, g.key)); err != nil && !isCorrupt(err) {
			return "", err
		}
	}
	if ok {
		if id, plain := row.plain(); plain {
			g.t.s.subjects.add(tag, id)
			return subjectID(id), nil
		}
		if own := row.at(listed); len(own.ids) > 0 {
			return subjectID(own.ids[0]), nil
		}
	}
	return g.newSubject(tag, row, listed)
}

// newSubject draws the id of a party that has none: of all times, or, in the
// row of a number that changed hands, of the owner's that was let go.
func (g *group) newSubject(tag [16]byte, row tenures, listed int64) (string, error) {
	g.t.s.seen.add(tag)
	id, err := g.drawID()
	if err != nil {
		return "", err
	}
	if row == nil {
		row = single(id)
		g.subjects[tag] = id
	} else {
		row = slices.Clone(row)
		row.at(listed).ids = [][16]byte{id}
		g.owned[tag] = row
	}
	g.key = append(g.t.index.Load().key(g.key, kindSubject, g.t.raw), tag[:tagSize]...)
	g.value = row.append(g.value[:0])
	g.rows.set(g.key, g.value)
	return subjectID(id), nil
}

// drawID gives 16 random bytes. They are read for up to 64 ids at once, but never for
// more than the group's records may need.
func (g *group) drawID() (id [16]byte, err error) {
	if len(g.ids) == 0 {
		g.ids = make([]byte, 16*min(2*countRecords(g.jobs), 64))
		if _, err := io.ReadFull(g.t.s.rand, g.ids); err != nil {
			return id, err
		}
	}
	copy(id[:], g.ids)
	g.ids = g.ids[16:]
	return id, nil
}

// findSubject reads a row of the subject index.
func (t *tenant) findSubject(x *index, tag [16]byte) (row tenures, ok bool, err error) {
	var buf [40]byte
	return t.readSubject(t.s.get(kindSubject, append(x.key(buf[:0], kindSubject, t.raw), tag[:tagSize]...)))
}

// readSubject reads the value of such a row.
func (t *tenant) readSubject(value []byte, err error) (row tenures, ok bool, _ error) {
	if err != nil || value == nil {
		return nil, false, err
	}
	if row, ok = readTenures(value); !ok {
		return nil, false, t.s.corrupt(kindSubject, nil)
	}
	return row, true, nil
}

// register notes, sealed, the name of an instance that has raw numbers: a
// search for a raw number must try each.
func (g *group) register(instance string) error {
	t := g.t
	x, m := t.tagger()
	tag := m.tag(m.place, tagInstance, instance)
	x.tags.Put(m)
	if t.known[tag] {
		return nil
	}
	key := append(keyOf(nil, kindInstance, t.raw), tag[:]...)
	old, err := g.get(kindInstance, key)
	if err != nil {
		return err
	}
	if old == nil {
		value, err := t.s.sealRow(kindInstance, t.raw, key, []byte(instance))
		if err != nil {
			return err
		}
		g.rows.set(key, value)
	}
	if len(t.known) >= maxKnownInstances {
		clear(t.known)
	}
	t.known[tag] = true
	return nil
}

// maxKnownInstances bounds the memory of the instances seen by one tenant.
const maxKnownInstances = 1024

func subjectID(raw [16]byte) string {
	var text [2 + 2*len(raw)]byte
	hex.Encode(text[copy(text[:], policy.KindSubject):], raw[:])
	return string(text[:])
}

func rawSubject(id string) (raw [16]byte, ok bool) {
	if !policy.ValidID(policy.KindSubject, id) {
		return raw, false
	}
	_, err := hex.Decode(raw[:], []byte(id[2:]))
	return raw, err == nil
}

// tagCache remembers subject ids by tag: two generations of a bounded map, so
// that what is used stays and nothing is linked in lists. Tags are keyed per
// tenant, so one cache serves all.
type tagCache struct {
	mu       sync.Mutex
	new, old map[[16]byte][16]byte
}

// tagCacheHalf bounds each generation; both together hold at most twice as many
// entries, of about 60 bytes.
const tagCacheHalf = 1 << 17

func (c *tagCache) find(tag [16]byte) ([16]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id, ok := c.new[tag]; ok {
		return id, true
	}
	id, ok := c.old[tag]
	if ok {
		c.put(tag, id)
	}
	return id, ok
}

func (c *tagCache) add(tag, id [16]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(tag, id)
}

// clear forgets all.
func (c *tagCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.new, c.old = nil, nil
}

// drop forgets tags.
func (c *tagCache) drop(tags [][16]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, tag := range tags {
		delete(c.new, tag)
		delete(c.old, tag)
	}
}

func (c *tagCache) put(tag, id [16]byte) {
	if c.new == nil || len(c.new) >= tagCacheHalf {
		c.new, c.old = make(map[[16]byte][16]byte, 1024), c.new
	}
	c.new[tag] = id
}
