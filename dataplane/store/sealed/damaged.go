package sealed

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/domicile-io/domicile/dataplane/store"
)

// dropDamaged drops calls of which an entry does not open. What would lead to
// their rows cannot be read, so every index row of the tenant is looked at; it
// is rare. Ingest waits. What they added to the counters is not known any more
// and stays. The keys of their chunks are known from the frames that still open;
// when none does, the calls count as Damaged: the key may live. That is noted in
// rows of their own, so that a rewrite that is repeated after a crash says it again.
func (t *tenant) dropDamaged(ctx context.Context, calls []ref) (out store.Rewritten, err error) {
	t.build.Lock()
	defer t.build.Unlock()
	sealed, err := t.sealHeld()
	if err != nil {
		return out, err
	}
	p := t.newPlan(&store.Rewrite{}, sealed)
	p.locked = true
	if p.newest, err = t.newestChunk(); err != nil {
		return out, err
	}
	d := &damage{t: t, plan: p, calls: map[ref]bool{}, folds: map[ref]foundFold{}}
	for _, call := range calls {
		d.calls[call] = true
		if err := p.touch(call.chunk); err != nil {
			return out, err
		}
	}
	for _, find := range []func() error{d.findFolds, d.findRows} {
		if err := find(); err != nil {
			return out, err
		}
	}
	var ids []unit
	for id := range p.parts {
		if id.chunk > sealed && t.s.engine.Shared() { // alone, nobody else writes; and what does not open tells no time
			return out, errElsewhere // another node is writing it
		}
		ids = append(ids, id)
	}
	slices.SortFunc(ids, unit.compare)
	for part := range slices.Chunk(ids, rewriteChunks) {
		done, err := t.commitDamaged(ctx, d, part)
		out.Add(done)
		if err != nil {
			return out, err
		}
	}
	out.Dropped += uint64(len(calls))
	return out, t.commitRows(d)
}

// damage is what is known of calls whose entries do not open.
type damage struct {
	t     *tenant
	plan  *plan
	calls map[ref]bool
	folds map[ref]foundFold
	rows  [][]byte // keys of time rows, postings and events past foldInline
}

// foundFold is a call's fold row, as it was found.
type foundFold struct{ key, value []byte }

// findFolds finds the calls' fold rows, and by them their other entries.
func (d *damage) findFolds() error {
	t := d.t
	return t.s.scan(kindFold, t.index.Load().key(nil, kindFold, t.raw), func(key, value []byte) error {
		row, ok := readFoldRow(value)
		if !ok || !d.calls[row.call] || row.gone {
			return nil
		}
		d.folds[row.call] = foundFold{slices.Clone(key), slices.Clone(value)}
		l := &located{call: row.call}
		add := func(at ref) { l.places = append(l.places, at) }
		add(row.call)
		add(row.view)
		for _, e := range row.events {
			add(e.at)
		}
		err := t.s.scan(kindSpill, append(t.index.Load().key(nil, kindSpill, t.raw), key[17:]...), func(key, value []byte) error {
			d.rows = append(d.rows, slices.Clone(key))
			if len(value) == refSize {
				add(readRef(value))
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := t.addViews(l, add); err != nil && !isCorrupt(err) {
			return err
		}
		return d.edit(l)
	})
}

func (d *damage) edit(l *located) error {
	for _, at := range l.places {
		if err := d.plan.touch(at.chunk); err != nil {
			return err
		}
		e, err := d.t.s.entryAt(d.t.raw, at, l.call)
		switch {
		case errors.Is(err, errNoEntry) || isCorrupt(err):
		case err != nil:
			return err
		case e.kind.version():
			d.plan.edits[at] = erased(goneVersion)
		default:
			d.plan.edits[at] = erased(goneView)
		}
	}
	return nil
}

// findRows finds what lists the calls; the tail of each such row is a call's ref.
func (d *damage) findRows() error {
	for _, k := range []kind{kindTime, kindPosting} {
		err := d.t.s.scan(k, keyOf(nil, k, d.t.raw), func(key, _ []byte) error {
			if len(key) > refSize && d.calls[readRef(key[len(key)-refSize:])] {
				d.rows = append(d.rows, slices.Clone(key))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *tenant) commitDamaged(ctx context.Context, d *damage, parts []unit) (out store.Rewritten, err error) {
	b := t.s.engine.NewBatch()
	gone := map[int64]bool{}
	var sealed []*resealed
	for _, id := range parts {
		c, err := t.reseal(id, d.plan.edits, d.plan.newest)
		if err == nil {
			err = c.write(t, b)
		}
		if err != nil {
			return out, errors.Join(err, b.Close())
		}
		if len(c.old) == 0 {
			if err := d.undead(b); err != nil {
				return out, errors.Join(err, b.Close())
			}
		}
		maps.Copy(gone, c.chunks)
		sealed = append(sealed, c)
		out.Chunks, out.Keys = out.Chunks+1, out.Keys+uint64(len(c.old))
	}
	if err := t.s.noteFor(ctx, b, out); err != nil {
		return out, errors.Join(err, b.Close())
	}
	err = t.inTurn(func(u *turn) error { return errors.Join(u.changes(), u.applyUnheld(ctx, b)) })
	if err != nil {
		return out, errors.Join(err, b.Close())
	}
	t.s.frames.drop(t.raw, gone)
	if err := t.s.sync(b); err != nil {
		return out, err
	}
	t.backupFrames(sealed)
	return out, t.s.finishDestroying(t)
}

// undead notes that a key of these calls may live. Which of them stood in the
// chunk nobody knows any more.
func (d *damage) undead(b Batch) error {
	for call := range d.calls {
		if err := b.Set(call.append(keyOf(nil, kindUndead, d.t.raw)), nil); err != nil {
			return err
		}
	}
	return nil
}

// countUndead counts those of some calls of which a key may live.
func (t *tenant) countUndead(calls []ref) (n uint64, err error) {
	noted := map[ref]bool{} // of the tenant; mostly none, and never many
	prefix := keyOf(nil, kindUndead, t.raw)
	err = t.s.scan(kindUndead, prefix, func(key, _ []byte) error {
		if len(key) == len(prefix)+refSize {
			noted[readRef(key[len(prefix):])] = true
		}
		return nil
	})
	for _, call := range calls {
		if noted[call] {
			n++
		}
	}
	return n, err
}

// commitRows lets nothing list the calls any more; their stones stay.
func (t *tenant) commitRows(d *damage) error {
	b := t.s.engine.NewBatch()
	var errs []error
	for _, key := range d.rows {
		errs = append(errs, b.Delete(key))
	}
	for call, fold := range d.folds {
		stone := foldRow{call: call, gone: true}
		errs = append(errs, b.Set(fold.key, stone.append(nil)))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	err := t.inTurn(func(u *turn) error {
		for _, fold := range d.folds { // another node may have begun a new call in its place
			if now, err := t.s.get(kindFold, fold.key); err != nil || !bytes.Equal(now, fold.value) {
				return errors.Join(err, errElsewhere)
			}
		}
		return errors.Join(u.changes(), u.applyAlive(b))
	})
	if err != nil {
		return err
	}
	return t.s.sync(b)
}
