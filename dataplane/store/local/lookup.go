package local

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"

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
	g.key = append(keyOf(g.key, kindFold, g.t.raw), tag[:]...)
	value, closer, err := g.t.s.db.Get(g.key)
	if err == pebble.ErrNotFound {
		g.t.s.seen.add(tag)
		return nil, nil
	}
	if err != nil {
		return nil, g.t.s.readError(kindFold, err)
	}
	row, ok := readFoldRow(value)
	if err := closer.Close(); err != nil {
		return nil, err
	}
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
	prefix := spillKey(nil, g.t.raw, tags.fold, tags.key[:], nil)
	whole := string(spillKey(nil, g.t.raw, tags.fold, tags.key[:], tags.content[:]))
	if _, ok := g.spills[whole]; ok {
		return true, true, nil
	}
	for k := range g.spills {
		known = known || strings.HasPrefix(k, string(prefix))
	}
	it, err := g.t.s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
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
		return false, false, g.t.s.readError(kindSpill, err)
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
		return nil, g.t.s.corrupt(kindFold, err)
	}
	if err != nil {
		return nil, err
	}
	st.view = &e
	return st.view, nil
}

// identify gives both parties their subject ids: the known one, or a new random
// one (contract §6: random, so that nothing can be computed from a number).
func (g *group) identify(r *record.Record, tags *recordTags) error {
	var err error
	if r.From.Subject, err = g.subject(tags.from, r.From.E164 == "", r.Key.Instance); err != nil {
		return err
	}
	r.To.Subject, err = g.subject(tags.to, r.To.E164 == "", r.Key.Instance)
	return err
}

func (g *group) subject(tag [16]byte, raw bool, instance string) (string, error) {
	if tag == ([16]byte{}) {
		return "", nil
	}
	if raw {
		if err := g.register(instance); err != nil {
			return "", err
		}
	}
	if id, ok := g.t.s.subjects.find(tag); ok {
		return subjectID(id), nil
	}
	if id, ok := g.subjects[tag]; ok {
		return subjectID(id), nil
	}
	var id [16]byte
	ok, err := false, error(nil)
	if !g.t.s.seen.absent(tag) {
		if id, ok, err = g.t.s.findSubject(g.t.raw, tag); err != nil {
			return "", err
		}
	}
	if !ok {
		g.t.s.seen.add(tag)
		if _, err := io.ReadFull(g.t.s.rand, id[:]); err != nil {
			return "", err
		}
		g.key = append(keyOf(g.key, kindSubject, g.t.raw), tag[:]...)
		g.rows.set(g.key, id[:])
		g.subjects[tag] = id
		return subjectID(id), nil
	}
	g.t.s.subjects.add(tag, id)
	return subjectID(id), nil
}

// findSubject reads the subject index.
func (s *Store) findSubject(t tenantRaw, tag [16]byte) (id [16]byte, ok bool, err error) {
	var buf [40]byte
	value, closer, err := s.db.Get(append(keyOf(buf[:0], kindSubject, t), tag[:]...))
	if err == pebble.ErrNotFound {
		return id, false, nil
	}
	if err != nil {
		return id, false, s.readError(kindSubject, err)
	}
	n := copy(id[:], value)
	if err := closer.Close(); err != nil {
		return id, false, err
	}
	if n != len(id) {
		return id, false, s.corrupt(kindSubject, nil)
	}
	return id, true, nil
}

// register notes, sealed, the name of an instance that has raw numbers: a
// search for a raw number must try each.
func (g *group) register(instance string) error {
	t := g.t
	m := t.tags.Get().(*tagger)
	tag := m.tag(m.fold, tagInstance, instance)
	t.tags.Put(m)
	if t.known[tag] {
		return nil
	}
	key := append(keyOf(nil, kindInstance, t.raw), tag[:]...)
	old, err := t.s.get(kindInstance, key)
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
	return string(policy.KindSubject) + hex.EncodeToString(raw[:])
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
