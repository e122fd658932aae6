package sealed

import (
	"bytes"
	"errors"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// plan is what a rewrite will do to some calls: new bytes for the places of
// their entries, and the rows that change with them.
type plan struct {
	w      *store.Rewrite
	locked bool  // the caller holds t.build
	newest int64 // chunk of the tenant's last frame
	sealed int64 // no chunk that is named by a later time may be touched

	calls []*located
	fates []*fated // one per call
	edits map[ref]record.Form
	parts map[unit]bool // that hold the places of edits
	units *units

	damaged []ref // calls of which something does not open

	dropped, redacted, versions uint64
}

// fated is what becomes of one call.
type fated struct {
	drop     bool
	adds     record.Contribution // of the redacted view
	tag      [16]byte            // of the redacted records
	tagged   bool
	stays    map[[16]byte]bool // subjects that redacted records still name
	leaves   map[[16]byte]bool // subjects that records named before
	listed   int64
	versions uint64
}

// plan looks at calls from the front of the list until a commit is full; n is
// how many it has looked at.
func (t *tenant) plan(w *store.Rewrite, calls []ref, sealed int64) (p *plan, n int, err error) {
	p = t.newPlan(w, sealed)
	if p.newest, err = t.newestChunk(); err != nil {
		return p, 0, err
	}
	essential := map[unit]bool{}
	for _, call := range calls {
		if len(p.calls) == rewriteCalls || len(p.calls) > 0 && len(essential) >= rewriteChunks-1 {
			break
		}
		n++
		l, err := t.locate(call)
		if err == nil && l != nil {
			err = p.decide(t, l)
		}
		if isCorrupt(err) {
			p.damaged = append(p.damaged, call)
			continue
		}
		if err != nil {
			return p, n, err
		}
		if l == nil {
			continue
		}
		for _, chunk := range [...]int64{l.call.chunk, l.row.view.chunk} {
			id, err := p.units.find(chunk)
			if err != nil {
				return p, n, err
			}
			essential[id] = true
		}
	}
	return p, n, nil
}

func (t *tenant) newPlan(w *store.Rewrite, sealed int64) *plan {
	return &plan{w: w, sealed: sealed, edits: map[ref]record.Form{}, parts: map[unit]bool{}, units: &units{t, map[int64]unit{}}}
}

// touch says that something is edited in a chunk.
func (p *plan) touch(chunk int64) error {
	id, err := p.units.find(chunk)
	if err == nil {
		p.parts[id] = true
	}
	return err
}

// decide asks for the call's fate and makes the edits.
func (p *plan) decide(t *tenant, l *located) error {
	fate := store.Drop
	if p.w.Fate != nil {
		fate = p.w.Fate(t.s.callOf(t.raw, &l.view))
	}
	switch {
	case fate == store.Keep:
		return nil
	case fate > store.Drop || fate == store.Redact && p.w.Redact == nil:
		return policy.Errorf(policy.Internal, "a rewrite names no way to redact, or an unknown fate; nothing was changed")
	}
	f := &fated{drop: fate == store.Drop, stays: map[[16]byte]bool{}, leaves: map[[16]byte]bool{}, listed: l.view.listed}
	for _, at := range l.places {
		if at.chunk > p.sealed {
			return errOvertaken
		}
		e, err := t.s.entryAt(t.raw, at, l.call)
		if errors.Is(err, errNoEntry) {
			continue // gone by an earlier rewrite that was cut short
		}
		if err != nil {
			return err
		}
		if e.kind.version() {
			f.versions++
		}
		if p.edits[at], err = p.edit(t, f, &e, at, at == l.row.view); err != nil {
			return err
		}
		if err := p.touch(at.chunk); err != nil {
			return err
		}
	}
	p.versions += f.versions
	if f.drop {
		p.dropped++
	} else {
		p.redacted++
	}
	p.calls, p.fates = append(p.calls, l), append(p.fates, f)
	return nil
}

// erased is what is left of an entry.
func erased(k entryKind) record.Form { return record.Form{Text: []byte{byte(k)}} }

// edit gives the bytes that will stand in an entry's place.
func (p *plan) edit(t *tenant, f *fated, e *entry, at ref, current bool) (record.Form, error) {
	isView := e.kind != versionOnly
	note := func(to map[[16]byte]bool) {
		for _, party := range [...]*record.Party{&e.record.From, &e.record.To} {
			if id, ok := rawSubject(party.Subject); ok {
				to[id] = true
			}
		}
	}
	note(f.leaves)
	if f.drop {
		if e.kind.version() {
			return erased(goneVersion), nil
		}
		return erased(goneView), nil
	}
	native := e.record.Native
	p.w.Redact(&e.record)
	if !bytes.Equal(native, e.record.Native) {
		e.record.ContentHash, e.record.HashOfBytes = [32]byte{}, false // an unkeyed hash of what was said
	}
	tag := t.identity(&e.record)
	if f.tagged && tag != f.tag {
		return record.Form{}, policy.Errorf(policy.Internal, "a redaction gave the records of one call different keys; nothing was changed")
	}
	f.tag, f.tagged = tag, true
	note(f.stays)
	e.redacted = true
	if isView {
		e.adds = record.ContributionOf(&e.record, time.UnixMicro(e.listed))
	}
	if current {
		f.adds = e.adds
	}
	return e.append(record.Form{}, at, e.ingest), nil
}

// unchanged reports errOvertaken when a call got an event since it was located.
func (p *plan) unchanged(t *tenant) error {
	for _, l := range p.calls {
		row, err := t.s.get(kindFold, append(t.index.Load().key(nil, kindFold, t.raw), l.tag[:tagSize]...))
		if err != nil {
			return err
		}
		if !bytes.Equal(row, l.raw) {
			return errOvertaken
		}
	}
	return nil
}

// rows writes what the calls' rows become.
func (p *plan) rows(g *group) error {
	for i, l := range p.calls {
		f := p.fates[i]
		for id := range f.leaves {
			if !f.stays[id] {
				if err := g.batch.Delete(postingKey(nil, g.t.raw, id, f.listed, l.call)); err != nil {
					return err
				}
			}
		}
		if f.drop {
			if err := p.dropRows(g, l); err != nil {
				return err
			}
			continue
		}
		g.count(&l.view.adds, -1)
		g.count(&f.adds, 1)
		if err := p.closeRow(g, l, f); err != nil {
			return err
		}
	}
	return nil
}

// dropRows takes a call out of every index; its fold row stays as a stone.
func (p *plan) dropRows(g *group, l *located) error {
	if p.w.KeepCounts {
		g.settle(&l.view.adds)
	} else {
		g.count(&l.view.adds, -1)
	}
	if err := g.batch.Delete(timeKey(nil, g.t.raw, l.view.listed, l.call)); err != nil {
		return err
	}
	for _, key := range l.spills {
		if err := g.batch.Delete(key); err != nil {
			return err
		}
	}
	stone := foldRow{call: l.call, gone: true}
	return g.batch.Set(append(g.t.index.Load().key(nil, kindFold, g.t.raw), l.tag[:tagSize]...), stone.append(nil))
}

// closeRow lets a redacted call take no more events. When its key was redacted
// too, its row moves to where the new key leads, and a stone stays.
func (p *plan) closeRow(g *group, l *located, f *fated) error {
	row := l.row
	row.closed = true
	old := append(g.t.index.Load().key(nil, kindFold, g.t.raw), l.tag[:tagSize]...)
	if f.tag == l.tag {
		return g.batch.Set(old, row.append(nil))
	}
	g.t.s.seen.add(f.tag)
	for _, key := range l.spills {
		at, err := g.t.s.get(kindSpill, key)
		if err != nil {
			return err
		}
		moved := bytes.Clone(key)
		copy(moved[17:], f.tag[:tagSize])
		if err := errors.Join(g.batch.Delete(key), g.batch.Set(moved, at)); err != nil {
			return err
		}
	}
	stone := foldRow{call: l.call, gone: true}
	return errors.Join(g.batch.Set(old, stone.append(nil)),
		g.batch.Set(append(g.t.index.Load().key(nil, kindFold, g.t.raw), f.tag[:tagSize]...), row.append(nil)))
}
