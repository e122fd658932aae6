package sealed

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// ruins are what a store that was put back from a backup still leads to,
// although the keys of it were destroyed since.
type ruins struct {
	t      *tenant
	chunks map[int64]bool // nothing of them opens
	calls  map[ref]bool   // that begin, or have their view, there
	stones map[ref]bool   // of these, those that must not come back
	batch  Batch

	renewed  map[int64]bool   // chunks with frames that a note brought (renewed.go)
	redacted map[ref]*renewal // calls that were redacted after the backup
	unlinked [][16]byte       // rows of the subject index that led to whom an erasure let go

	quarantined, items, unknown uint64
}

// Mend implements store.Store. Ingest waits while it works: it is for the start
// after a restore.
func (s *Store) Mend(ctx context.Context, permit policy.Permit, f store.Forgotten) (uint64, error) {
	t, err := s.enter(permit, policy.Erase)
	if err != nil {
		return 0, err
	}
	defer s.working.Done()
	release, err := t.exclusive()
	if err != nil {
		return 0, err
	}
	defer release()
	r, err := t.mend(ctx, f, nil)
	if err != nil {
		return 0, err
	}
	return uint64(len(r.calls)), nil
}

// mend is Mend; the caller has t.exclusive. renewed are chunks with frames that
// notes brought.
func (t *tenant) mend(ctx context.Context, f store.Forgotten, renewed map[int64]bool) (*ruins, error) {
	if err := t.s.finishDestroying(t); err != nil {
		return nil, err
	}
	if err := t.ownIndex(); err != nil { // no-op unless the old key is gone
		return nil, err
	}
	r, err := t.clearRuins(ctx, f, renewed)
	if err != nil {
		return nil, err
	}
	if t.index.Load().lost {
		if err := t.reindex(ctx); err != nil {
			return nil, err
		}
	}
	t.build.Lock()
	defer t.build.Unlock()
	return r, t.inTurn(func(u *turn) error { return t.recountCells(ctx, u) })
}

// clearRuins lets the ruins go in one commit. No item is put meanwhile.
func (t *tenant) clearRuins(ctx context.Context, f store.Forgotten, renewed map[int64]bool) (r *ruins, err error) {
	t.build.Lock()
	defer t.build.Unlock()
	err = t.inTurn(func(u *turn) error {
		t.items.Lock() // after the turn, as whoever places a hold does
		defer t.items.Unlock()
		items, err := t.s.engine.Begin(t.raw, ItemTurn)
		if err != nil {
			return t.s.fail(err)
		}
		defer items.End()
		r = &ruins{t: t, chunks: map[int64]bool{}, calls: map[ref]bool{}, stones: map[ref]bool{}, batch: t.s.engine.NewBatch(),
			renewed: renewed, redacted: map[ref]*renewal{}}
		for _, call := range t.refsOf(f.Calls) {
			r.stones[call] = true
		}
		return errors.Join(u.changes(), r.clear(ctx, u, f.Owners))
	})
	return r, err
}

func (r *ruins) clear(ctx context.Context, u *turn, owners []store.Owner) error {
	t := r.t
	for _, step := range []func() error{r.findChunks, r.findCalls, func() error { return r.findPostings(owners) }, r.findFolds, r.closeRenewed, func() error { return r.findSubjects(owners) }, r.findQuarantined, r.findItems, func() error { return t.saveIndex(r.batch) }} {
		if err := errors.Join(ctx.Err(), step()); err != nil {
			return errors.Join(err, r.batch.Close())
		}
	}
	if len(r.chunks) > 0 {
		if err := t.s.noteFor(ctx, r.batch, store.Rewritten{Dropped: uint64(len(r.calls)), Chunks: uint64(len(r.chunks))}); err != nil {
			return err
		}
	}
	if err := u.applyAlive(r.batch); err != nil {
		return err
	}
	t.index.Load().saved.Store(true)
	t.s.frames.drop(t.raw, r.chunks)
	t.s.subjects.drop(r.unlinked)
	return t.s.sync(r.batch)
}

// findChunks finds the chunks whose keys are destroyed, and lets their frames go.
func (r *ruins) findChunks() error {
	t, states := r.t, map[store.KeyID]bool{}
	covers, err := r.findCovers()
	if err != nil {
		return err
	}
	return t.s.scan(kindFrame, keyOf(nil, kindFrame, t.raw), func(key, value []byte) error {
		if name, ok := pointerIn(value); ok && len(key) == 27 {
			if covers[name] {
				return nil
			}
			r.chunks[readPlace(key[17:]).chunk] = true
			return r.batch.Delete(slices.Clone(key))
		}
		if len(key) != 27 || len(value) < frameHeader {
			return nil // damage is another's work
		}
		id := keyIn(value)
		dead, known := states[id]
		if !known {
			_, err := t.s.keys.For(store.UseErase).Open(id)
			if dead = isReason(err, policy.Destroyed); err != nil && !dead && !isReason(err, policy.Internal) {
				return err
			}
			if err != nil && !dead {
				r.unknown++
			}
			states[id] = dead
		}
		if !dead {
			return nil
		}
		r.chunks[int64(binary.BigEndian.Uint64(key[17:]))] = true
		return r.batch.Delete(slices.Clone(key))
	})
}

// findCovers gives the covers that stand, and lets those go of which a key is
// destroyed.
func (r *ruins) findCovers() (map[framePlace]bool, error) {
	t, stand := r.t, map[framePlace]bool{}
	return stand, t.s.scan(kindCover, keyOf(nil, kindCover, t.raw), func(key, value []byte) error {
		if len(key) != 27 {
			return nil
		}
		name := readPlace(key[17:])
		gone, err := t.s.coverGone(t.raw, name, value)
		if err != nil || !gone {
			stand[name] = true
			return err
		}
		r.chunks[name.chunk] = true // for what is kept opened
		return r.batch.Delete(slices.Clone(key))
	})
}

// coverGone reports that a key of a cover is destroyed.
func (s *Store) coverGone(t tenantRaw, at framePlace, value []byte) (bool, error) {
	ids, _, _ := s.coverHeader(t, at, value) // damage is another's work
	for _, id := range ids {
		if gone, err := s.isGone(id); gone || err != nil {
			return gone, err
		}
	}
	return false, nil
}

func (r *ruins) findCalls() error {
	t := r.t
	return t.s.scan(kindTime, keyOf(nil, kindTime, t.raw), func(key, value []byte) error {
		if len(key) != 17+suffixSize {
			return nil
		}
		call := readRef(key[len(key)-refSize:])
		if !r.chunks[call.chunk] && !(len(value) == refSize && r.chunks[readRef(value).chunk]) {
			dropped, err := r.findRenewed(call, value)
			if err != nil || !dropped {
				return err
			}
			r.stones[call] = true
		}
		r.calls[call] = true
		return r.batch.Delete(slices.Clone(key))
	})
}

func (r *ruins) findPostings(owners []store.Owner) error {
	t, erased := r.t, map[[8]byte]bool{}
	for _, o := range owners {
		for _, id := range o.Subjects() {
			if raw, ok := rawSubject(id); ok {
				erased[[8]byte(raw[:8])] = true
			}
		}
	}
	return t.s.scan(kindPosting, keyOf(nil, kindPosting, t.raw), func(key, _ []byte) error {
		if len(key) != 17+8+suffixSize || !r.calls[readRef(key[len(key)-refSize:])] {
			return nil
		}
		if erased[[8]byte(key[17:25])] {
			r.stones[readRef(key[len(key)-refSize:])] = true
		}
		return r.batch.Delete(slices.Clone(key))
	})
}

// findFolds leaves a stone of each call that is forgotten, so that a feed's
// retry does not bring it back, and lets go of the others', so that what their
// sources still have can be brought in again.
func (r *ruins) findFolds() error {
	t := r.t
	x := t.index.Load()
	return t.s.scan(kindFold, x.key(nil, kindFold, t.raw), func(key, value []byte) error {
		row, ok := readFoldRow(value)
		if !ok || row.gone || !r.calls[row.call] {
			return nil
		}
		key = slices.Clone(key)
		spills := append(x.key(nil, kindSpill, t.raw), key[17:]...)
		if err := r.batch.DeleteRange(spills, after(spills)); err != nil {
			return err
		}
		if r.stones[row.call] {
			stone := foldRow{call: row.call, gone: true}
			return r.batch.Set(key, stone.append(nil))
		}
		return r.batch.Delete(key)
	})
}

// findQuarantined lets go of payloads that left the quarantine since.
func (r *ruins) findQuarantined() error {
	t := r.t
	return t.s.scan(kindQuarantine, keyOf(nil, kindQuarantine, t.raw), func(key, value []byte) error {
		if !ownKey(value) {
			return nil
		}
		if _, err := t.s.keys.For(store.UseErase).Open(keyIn(value)); !isReason(err, policy.Destroyed) {
			return nil // what is damaged is another's work
		}
		r.quarantined++
		return r.batch.Delete(slices.Clone(key))
	})
}

// recountCells makes the counters what the calls that are there add up to. The
// caller holds t.build.
func (t *tenant) recountCells(ctx context.Context, u *turn) error {
	s, sums := t.s, map[cellKey]counts{}
	err := s.scan(kindTime, keyOf(nil, kindTime, t.raw), func(key, value []byte) error {
		c, err := s.callListed(t.raw, key[17:], slices.Concat([]byte{}, value))
		if errors.Is(err, errNoEntry) || isCorrupt(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if a := record.ContributionOf(&c.Record, time.UnixMicro(unorderedTime(binary.BigEndian.Uint64(key[17:])))); a.Calls > 0 {
			k := cellKey{a.Day, a.Direction, a.Country}
			sums[k] = sums[k].plus(counts{a.Calls, a.Answered, a.Billsec})
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	g := &group{t: t, batch: s.engine.NewBatch(), deltas: map[cellKey]cell{}}
	clear(t.cells)
	err = s.scan(kindRollup, keyOf(nil, kindRollup, t.raw), func(key, value []byte) error {
		k, c, err := s.openCell(t.raw, key, value)
		if err != nil {
			return err
		}
		want := sums[k]
		g.deltas[k] = cell{live: counts{want.calls - c.live.calls, want.answered - c.live.answered, want.billsec - c.live.billsec}}
		delete(sums, k)
		return nil
	})
	for k, c := range sums {
		g.deltas[k] = cell{live: c}
	}
	if err == nil {
		err = g.writeCells()
	}
	if err == nil {
		err = g.rows.moveTo(g.batch)
	}
	if err == nil {
		err = u.applyAlive(g.batch)
	}
	if err != nil {
		clear(t.cells)
		return err
	}
	return s.sync(g.batch)
}
