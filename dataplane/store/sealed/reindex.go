package sealed

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Limits of a rebuild: how much it holds in memory before it writes, and how few
// frames may be left when ingest is held up for the rest.
const (
	reindexRows   = 4096
	reindexLast   = 64
	reindexPasses = 16
	reindexKnown  = 1 << 19 // parties whose row is known to be copied
)

// Reindex implements store.Store. It plays every frame again, in order, into
// rows under a fresh key, while ingest goes on; what came meanwhile is played in
// further passes, the last of them short and with ingest waiting. Then one
// commit makes the new rows the tenant's and deletes the old ones, and the old
// key is destroyed. Stones of dropped calls have no frame and do not come along.
func (s *Store) Reindex(ctx context.Context, permit policy.Permit) error {
	t, err := s.enter(permit, policy.Erase)
	if err != nil {
		return err
	}
	defer s.working.Done()
	release, err := t.exclusive()
	if err != nil {
		return err
	}
	defer release()
	if err := errors.Join(s.usable(), s.finishDestroying(t)); err != nil {
		return err
	}
	return t.reindex(ctx)
}

// reindex is Reindex; the caller has t.exclusive.
func (t *tenant) reindex(ctx context.Context) error {
	s := t.s
	old := t.index.Load()
	if !old.saved.Load() {
		return nil // nothing is stored under it
	}
	r := &reindexer{t: t, ctx: ctx, old: old, began: s.now(), upTo: math.MinInt64, folds: map[[16]byte]*foldRow{}, copied: map[[16]byte]bool{}}
	if err := r.begin(); err != nil {
		return err
	}
	for range reindexPasses {
		n, err := r.pass()
		if err != nil {
			return err
		}
		if n <= reindexLast {
			break
		}
	}
	return r.end()
}

// Reindexed implements store.Store.
func (s *Store) Reindexed(_ context.Context, permit policy.Permit) (since, dirty time.Time, err error) {
	t, err := s.enterAny(permit, policy.View, policy.Process, policy.Erase)
	if err != nil {
		return since, dirty, err
	}
	defer s.working.Done()
	row, err := s.get(kindIndex, indexRow(t.raw, indexCurrent))
	if err != nil {
		return since, dirty, err
	}
	if len(row) == indexRowSize {
		since = readMicro(row[21:])
	}
	if row, err = s.get(kindIndex, indexRow(t.raw, indexDirty)); err == nil && len(row) == 8 {
		dirty = readMicro(row)
	}
	return since, dirty, err
}

// reindexer builds one tenant's next generation of rows.
type reindexer struct {
	t     *tenant
	ctx   context.Context
	old   *index
	next  *index
	began time.Time
	upTo  int64 // chunks up to this one are played

	batch  Batch
	folds  map[[16]byte]*foldRow // changed, not yet in the batch
	copied map[[16]byte]bool     // parties whose row was copied in this pass
}

// begin draws the next key. What an earlier try that was cut short has left is
// deleted, with its key.
func (r *reindexer) begin() error {
	t, s := r.t, r.t.s
	left, err := s.get(kindIndex, indexRow(t.raw, indexNext))
	if err != nil {
		return err
	}
	if len(left) == 16 {
		if err := s.destroyKeys([]store.KeyID{readKeyID(left)}); err != nil {
			return err
		}
	}
	id, key, err := s.keys.Draw()
	if err != nil {
		return err
	}
	if r.next, err = s.newIndex(t.raw, key); err != nil {
		return err
	}
	r.next.id, r.next.generation = id, r.old.generation+1
	r.next.saved.Store(true)
	b := s.engine.NewBatch()
	if err := errors.Join(r.deleteAll(b, r.next), b.Set(indexRow(t.raw, indexNext), appendKeyID(nil, id))); err != nil {
		return err
	}
	if err := t.applyChange(b); err != nil {
		return err
	}
	r.batch = s.engine.NewBatch()
	return s.sync(b)
}

func (r *reindexer) deleteAll(b Batch, x *index) error {
	var errs []error
	for _, k := range []kind{kindFold, kindSpill, kindSubject} {
		prefix := x.key(nil, k, r.t.raw)
		errs = append(errs, b.DeleteRange(prefix, after(prefix)))
	}
	return errors.Join(errs...)
}

// pass plays the frames that came since the last one, and says how many.
func (r *reindexer) pass() (int, error) {
	sealed, err := r.t.sealNow()
	if err != nil {
		return 0, err
	}
	return r.play(sealed)
}

func (r *reindexer) play(sealed int64) (n int, err error) {
	t, s := r.t, r.t.s
	clear(r.copied)
	prefix := keyOf(nil, kindFrame, t.raw)
	lower := prefix
	if r.upTo != math.MinInt64 {
		lower = frameKey(nil, t.raw, r.upTo+1, 0)
	}
	it, err := s.engine.Rows(lower, after(prefix))
	if err != nil {
		return 0, s.readError(kindFrame, err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		key := it.Key()
		value, err := it.ValueAndErr()
		if err != nil || len(key) != 27 {
			return n, s.readError(kindFrame, err)
		}
		chunk := int64(binary.BigEndian.Uint64(key[17:]))
		if chunk > sealed {
			break
		}
		f, err := s.openCurrent(t.raw, chunk, binary.BigEndian.Uint16(key[25:]), value)
		if isCorrupt(err) || isReason(err, policy.NotFound) {
			continue // its calls go on being counted as corrupt
		}
		if err != nil {
			return n, err
		}
		if err := r.frame(f); err != nil {
			return n, err
		}
		n++
	}
	if err := it.Error(); err != nil {
		return n, s.readError(kindFrame, err)
	}
	r.upTo = sealed
	return n, r.flush()
}

// frame plays one frame.
func (r *reindexer) frame(f *frame) error {
	g := r.next.tags.Get().(*tagger)
	defer r.next.tags.Put(g)
	o := r.old.tags.Get().(*tagger)
	defer r.old.tags.Put(o)
	for i := range f.entries {
		e, err := f.entry(uint16(i))
		if err != nil {
			return r.t.s.corrupt(kindFrame, err)
		}
		if e.kind.gone() {
			continue
		}
		if err := r.entry(g, &e, ref{f.chunk, f.number, uint16(i)}); err != nil {
			return err
		}
		for _, p := range [...]*record.Party{&e.record.From, &e.record.To} {
			instance := e.record.Key.Instance
			if err := r.party(o.party(instance, p), g.party(instance, p), p.Subject); err != nil {
				return err
			}
		}
	}
	if len(r.folds)+int(r.batch.Count()) >= reindexRows {
		if err := r.flush(); err != nil {
			return err
		}
	}
	return r.ctx.Err()
}

// entry plays one version or view, as a group did when it was stored.
func (r *reindexer) entry(g *tagger, e *entry, at ref) error {
	var tags recordTags
	g.record(r.next.content, &e.record, &tags)
	row, err := r.fold(tags.fold, e, at)
	if err != nil {
		return err
	}
	row.closed = row.closed || e.redacted
	if e.kind != versionOnly {
		row.view = at
	}
	if e.kind == viewOnly || at == row.call {
		if at == row.call {
			row.total, row.events = 1, []foldEvent{{key: tags.key, content: tags.content, at: at}}
		}
		return nil
	}
	row.total++
	if len(row.events) < foldInline {
		row.events = append(row.events, foldEvent{key: tags.key, content: tags.content, at: at})
		return nil
	}
	return r.batch.Set(spillKey(nil, r.next, r.t.raw, tags.fold, tags.key[:], tags.content[:]), at.append(nil))
}

// fold finds the call's row under the next key, or begins it.
func (r *reindexer) fold(tag [16]byte, e *entry, at ref) (*foldRow, error) {
	if row, ok := r.folds[tag]; ok {
		return row, nil
	}
	row := &foldRow{call: e.call, view: at}
	if e.call != at {
		value, err := r.t.s.get(kindFold, append(r.next.key(nil, kindFold, r.t.raw), tag[:tagSize]...))
		if err != nil {
			return nil, err
		}
		if value != nil {
			found, ok := readFoldRow(value)
			if !ok {
				return nil, r.t.s.corrupt(kindFold, nil)
			}
			row = &found
		}
	}
	r.t.s.seen.add(tag)
	r.folds[tag] = row
	return row, nil
}

// party copies the row of the subject index that a party leads to. It is read
// anew in each pass, because ingest may have changed it since the last.
// When the old rows are lost, the party's own record says whom it led to.
func (r *reindexer) party(old, next [16]byte, subject string) error {
	if next == ([16]byte{}) || r.copied[next] {
		return nil
	}
	if len(r.copied) >= reindexKnown {
		clear(r.copied)
	}
	r.copied[next] = true
	row, err := r.t.s.get(kindSubject, append(r.old.key(nil, kindSubject, r.t.raw), old[:tagSize]...))
	if id, ok := rawSubject(subject); err == nil && row == nil && ok && r.old.lost {
		row = id[:]
	}
	if err != nil || row == nil {
		return err // nobody is to be found by it any more
	}
	r.t.s.seen.add(next)
	return r.batch.Set(append(r.next.key(nil, kindSubject, r.t.raw), next[:tagSize]...), row)
}

// flush writes what was gathered. It needs no sync: the last commit has one, and
// what is lost before it is built again.
func (r *reindexer) flush() error {
	for tag, row := range r.folds {
		if row.total == 0 {
			continue // its first event does not open; a view alone is no call
		}
		if err := r.batch.Set(append(r.next.key(nil, kindFold, r.t.raw), tag[:tagSize]...), row.append(nil)); err != nil {
			return err
		}
	}
	clear(r.folds)
	b := r.batch
	r.batch = r.t.s.engine.NewBatch()
	if err := r.t.s.usable(); err != nil {
		return err
	}
	if err := r.t.s.engine.Write(b); err != nil {
		return r.t.s.fail(err)
	}
	return b.Close()
}

// end plays what is left while ingest waits, and changes over.
func (r *reindexer) end() error {
	t := r.t
	t.build.Lock()
	defer t.build.Unlock()
	if err := t.inTurn(r.changeOver); err != nil {
		return err
	}
	return t.s.finishDestroying(t)
}

func (r *reindexer) changeOver(u *turn) error {
	t, s := r.t, r.t.s
	sealed, err := t.sealOpen()
	if err = errors.Join(err, u.changes()); err != nil {
		return err
	}
	if _, err := r.play(sealed); err != nil {
		return err
	}
	b := s.engine.NewBatch()
	err = errors.Join(b.Set(indexRow(t.raw, indexCurrent), s.indexRowOf(t.raw, r.next, r.began)),
		b.Delete(indexRow(t.raw, indexNext)), b.Delete(indexRow(t.raw, indexDirty)),
		b.Set(destroyKey(t.raw, r.old.id), nil), r.deleteAll(b, r.old))
	if err != nil {
		return err
	}
	if err := u.applyAlive(b); err != nil {
		return err
	}
	t.index.Store(r.next)
	return s.sync(b)
}

// Waiting implements store.Store.
func (s *Store) Waiting(ctx context.Context) (tenants []policy.TenantID, err error) {
	if err := s.hold(); err != nil {
		return nil, err
	}
	defer s.working.Done()
	n := 0
	err = s.scan(kindIndex, []byte{byte(kindIndex)}, func(key, _ []byte) error {
		if len(key) == 18 && key[17] == indexDirty {
			tenants = append(tenants, policy.TenantID(string(policy.KindTenant)+hexOf(key[1:17])))
		}
		if n++; n%4096 == 0 {
			return ctx.Err()
		}
		return nil
	})
	return tenants, err
}
