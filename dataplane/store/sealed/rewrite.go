package sealed

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/failpoint"
	"github.com/domicile-io/domicile/policy"
)

// Limits of one commit of a rewrite: what it holds in memory and, at worst, how
// long groups wait for it.
const (
	rewriteChunks = 16
	rewriteCalls  = 4096
)

// Rewrite implements store.Store. Chunks are sealed anew beside ingest, which
// waits only for the commit; calls that got an event meanwhile are done again
// while it waits.
func (s *Store) Rewrite(ctx context.Context, permit policy.Permit, w store.Rewrite) (store.Rewritten, error) {
	t, err := s.enter(permit, policy.Erase)
	if err != nil {
		return store.Rewritten{}, err
	}
	defer s.working.Done()
	if err := s.usable(); err != nil {
		return store.Rewritten{}, err
	}
	release, err := t.exclusive()
	if err != nil {
		return store.Rewritten{}, err
	}
	defer release()
	var out store.Rewritten
	if err := s.finishDestroying(t); err != nil {
		return out, err
	}
	all := t.refsOf(w.Calls)
	calls := all
	var damaged []ref
	for len(calls) > 0 {
		if err := ctx.Err(); err != nil {
			return out, &policy.Error{Reason: policy.NotReady, Cause: err, Message: "the rewrite was left before it was done; repeat it"}
		}
		done, n, bad, err := t.rewriteSome(ctx, &w, calls)
		damaged = append(damaged, bad...)
		out.Add(done)
		if err != nil {
			return out, err
		}
		calls = calls[n:]
	}
	for _, call := range damaged { // a row that leads to a cover is made anew where it can be
		if err := t.setAside(frameKey(nil, t.raw, call.chunk, call.frame)); err != nil {
			return out, err
		}
	}
	if len(damaged) > 0 {
		done, err := t.dropDamaged(ctx, damaged)
		out.Add(done)
		if err != nil {
			return out, err
		}
	}
	out.Damaged, err = t.countUndead(all)
	return out, err
}

// refsOf reads ids, in order of place, each once; those of others are left out.
func (t *tenant) refsOf(ids []string) []ref {
	out := make([]ref, 0, len(ids))
	for _, id := range ids {
		if at, ok := t.s.callRef(t.raw, id); ok {
			out = append(out, at)
		}
	}
	slices.SortFunc(out, func(a, b ref) int { return bytes.Compare(a.append(nil), b.append(nil)) })
	return slices.Compact(out)
}

// sealOpen ends the chunk being written: what is in it can be sealed anew, and
// what comes goes into another, which is named by a time after the one that it
// answers. A chunk that is still being written must never be sealed anew: its
// next frame would be under a key that is destroyed. The caller holds t.build.
func (t *tenant) sealOpen() (sealed int64, err error) {
	err = t.load()
	t.chunk = nil
	return t.last, err
}

// sealNow is sealOpen in a turn of its own, here and on every other node. The
// caller does not hold t.build.
func (t *tenant) sealNow() (sealed int64, err error) {
	t.build.Lock()
	defer t.build.Unlock()
	return t.sealHeld()
}

// sealHeld is sealNow; the caller holds t.build.
func (t *tenant) sealHeld() (sealed int64, err error) {
	err = t.inTurn(func(u *turn) error {
		if sealed, err = t.sealOpen(); err != nil {
			return err
		}
		return u.leave()
	})
	return sealed, err
}

// rewriteSome rewrites calls from the front of the list, as many as one commit
// may hold, and says how many; damaged are those of them that do not open.
func (t *tenant) rewriteSome(ctx context.Context, w *store.Rewrite, calls []ref) (done store.Rewritten, n int, damaged []ref, err error) {
	sealed, err := t.sealNow()
	if err != nil {
		return done, 0, nil, err
	}
	p, n, err := t.plan(w, calls, sealed)
	if err == nil {
		done, err = t.carryOut(ctx, p)
	}
	if !errors.Is(err, errOvertaken) {
		return done, n, p.damaged, err
	}
	// An event of one of the calls came meanwhile: look again, and let none come.
	t.build.Lock()
	defer t.build.Unlock()
	for try := 1; ; try++ {
		if sealed, err = t.sealHeld(); err != nil {
			return done, 0, nil, err
		}
		if p, n, err = t.plan(w, calls[:n], sealed); err == nil {
			p.locked = true
			var rest store.Rewritten
			rest, err = t.carryOut(ctx, p)
			done.Add(rest)
		}
		switch {
		case !errors.Is(err, errOvertaken):
			return done, n, p.damaged, err
		case try == maxTries: // only other nodes can bring events now
			return done, 0, nil, errElsewhere
		}
	}
}

var errOvertaken = errors.New("an event came meanwhile")

// carryOut seals and commits a plan: first, in commits of their own, units that
// hold no more than earlier events of its calls, then those by which the calls
// are found, with all rows. Cut short in between, a call is still found.
func (t *tenant) carryOut(ctx context.Context, p *plan) (store.Rewritten, error) {
	var out store.Rewritten
	essential := map[unit]bool{}
	for _, c := range p.calls {
		for _, chunk := range [...]int64{c.call.chunk, c.row.view.chunk} {
			id, err := p.units.find(chunk)
			if err != nil {
				return out, err
			}
			essential[id] = true
		}
	}
	var first, last []unit
	for id := range p.parts {
		if essential[id] {
			last = append(last, id)
		} else {
			first = append(first, id)
		}
	}
	slices.SortFunc(first, unit.compare)
	slices.SortFunc(last, unit.compare)
	if len(first)+len(last) <= rewriteChunks {
		first, last = nil, append(first, last...)
	}
	for part := range slices.Chunk(first, rewriteChunks) {
		done, err := t.commitRewrite(ctx, p, part, false)
		out.Add(done)
		if err != nil {
			return out, err
		}
	}
	done, err := t.commitRewrite(ctx, p, last, true)
	out.Add(done)
	return out, err
}

// commitRewrite makes one commit durable and then destroys the keys that
// nothing is sealed under any more.
func (t *tenant) commitRewrite(ctx context.Context, p *plan, parts []unit, whole bool) (store.Rewritten, error) {
	if len(p.calls) == 0 {
		return store.Rewritten{}, nil
	}
	var sealed []*resealed
	unused := func(err error) error {
		if isReason(err, policy.OutcomeUnknown) {
			return err // perhaps they are used: better a key too many than a chunk that never opens
		}
		var ids []store.KeyID
		for _, c := range sealed {
			if c.key != (store.KeyID{}) {
				ids = append(ids, c.key)
			}
		}
		return errors.Join(err, t.s.destroyKeys(ids))
	}
	for _, id := range parts {
		c, err := t.reseal(id, p.edits, p.newest)
		if c != nil {
			sealed = append(sealed, c)
		}
		if err != nil {
			return store.Rewritten{}, unused(err)
		}
	}
	b := t.s.engine.NewBatch()
	failpoint.At("rewrite/write")
	out, err := t.applyRewrite(ctx, p, b, sealed, whole)
	if err != nil {
		_ = b.Close()
		if errors.Is(err, errOvertaken) {
			if err := unused(nil); err != nil {
				return store.Rewritten{}, err
			}
			return store.Rewritten{}, errOvertaken
		}
		return store.Rewritten{}, unused(err)
	}
	failpoint.At("rewrite/sync")
	if err := t.s.sync(b); err != nil {
		return store.Rewritten{}, err
	}
	failpoint.At("rewrite/synced")
	t.backupFrames(sealed)
	return out, t.s.finishDestroying(t)
}

// applyRewrite makes the commit visible, unless one of the calls has changed.
func (t *tenant) applyRewrite(ctx context.Context, p *plan, b Batch, sealed []*resealed, whole bool) (out store.Rewritten, err error) {
	if !p.locked {
		t.build.Lock()
		defer t.build.Unlock()
	}
	err = t.inTurn(func(u *turn) error {
		if b.Count() > 0 {
			b.Reset()
		}
		out, err = t.applyInTurn(ctx, u, p, b, sealed, whole)
		return err
	})
	return out, err
}

func (t *tenant) applyInTurn(ctx context.Context, u *turn, p *plan, b Batch, sealed []*resealed, whole bool) (out store.Rewritten, err error) {
	if err := errors.Join(u.changes(), p.unchanged(t)); err != nil {
		return out, err
	}
	gone := map[int64]bool{}
	for _, c := range sealed {
		if err := c.write(t, b); err != nil {
			return out, err
		}
		maps.Copy(gone, c.chunks)
		out.Chunks++
		out.Keys += uint64(len(c.old))
	}
	g := &group{t: t, batch: b, deltas: map[cellKey]cell{}}
	if whole {
		if err := p.rows(g); err != nil {
			return out, err
		}
		if !p.w.KeepCounts {
			if err := t.soil(b); err != nil {
				return out, err
			}
		}
		out.Dropped, out.Redacted, out.Versions = p.dropped, p.redacted, p.versions
	}
	if err := g.writeCells(); err != nil {
		clear(t.cells)
		return out, err
	}
	if err := errors.Join(g.rows.moveTo(b), t.s.noteFor(ctx, b, out)); err != nil {
		return out, err
	}
	if err := u.applyUnheld(ctx, b); err != nil {
		clear(t.cells)
		return out, err
	}
	t.s.frames.drop(t.raw, gone)
	return out, nil
}

// newestChunk is the chunk of the tenant's last frame.
func (t *tenant) newestChunk() (int64, error) {
	prefix := keyOf(nil, kindFrame, t.raw)
	it, err := t.s.engine.Rows(prefix, after(prefix))
	if err != nil {
		return 0, t.s.readError(kindFrame, err)
	}
	defer it.Close()
	if it.Last() && len(it.Key()) == 27 {
		return int64(binary.BigEndian.Uint64(it.Key()[17:])), nil
	}
	if err := it.Error(); err != nil {
		return 0, t.s.readError(kindFrame, err)
	}
	return 0, nil
}
