package sealed

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/internal/failpoint"
	"github.com/domicile-io/domicile/policy"
)

// What is small is merged: chunks whose frames hold few entries each, because their
// records came alone, are put under covers (cover.go). Nothing else changes: places,
// ids, entries and rows of every index stay, and no key is drawn or destroyed. So a
// merge that is cut short at any moment has happened or has not.

// MergeOptions say what is merged.
type MergeOptions struct {
	// After is how old a chunk must be; 0 is an hour: events of calls that are being
	// folded still open it.
	After time.Duration
	// All also takes what was written just now, and a few frames that would wait for
	// more; After does not count. It is for tests.
	All bool
}

// MergeAfter is MergeOptions.After when it is zero.
const MergeAfter = time.Hour

// Merged says what a merge did.
type Merged struct {
	Frames uint64 // that were covered
	Covers uint64 // that cover them
	Before uint64 // bytes of the frames' rows
	After  uint64 // bytes of the covers' rows, and of the pointers to them
	More   bool   // there is more to be looked at now
}

// Add adds what another merge did.
func (m *Merged) Add(o Merged) {
	m.Frames, m.Covers, m.Before, m.After, m.More = m.Frames+o.Frames, m.Covers+o.Covers, m.Before+o.Before, m.After+o.After, o.More
}

// Limits of merging.
const (
	coverTarget  = frameTarget     // plain bytes of a cover
	coverEnough  = coverTarget / 2 // of frames that need not wait for more
	smallFrame   = coverTarget / 4 // plain bytes of a frame, about, that is worth merging
	smallEntries = 16              // entries of such a frame, about
	fewFrames    = 4               // fewer are not worth a cover
	longWait     = 7 * 24 * time.Hour

	stepRows  = 2048 // of one step: how much is read before others have their turn
	stepBytes = 8 << 20
)

// Merge makes one step of merging what is small of one tenant: it looks at some
// chunks, from where the last step stopped, and covers at most one run of them. Like
// a scrub it moves nothing and needs no permit. It is refused on a full disk.
func (s *Store) Merge(ctx context.Context, id policy.TenantID, o MergeOptions) (Merged, error) {
	t, err := s.tenantOf(id)
	if err != nil {
		return Merged{}, err
	}
	defer s.working.Done()
	if err := errors.Join(ctx.Err(), s.usable(), s.room(s.now())); err != nil {
		return Merged{}, err
	}
	if o.All {
		if _, err := t.sealNow(); err != nil {
			return Merged{}, err
		}
	}
	release, err := t.exclusive()
	if err != nil {
		return Merged{}, err
	}
	defer release()
	m := &merger{t: t, o: o}
	if m.before, err = m.bound(); err != nil {
		return Merged{}, err
	}
	if m.from, err = t.mergedUpTo(); err != nil {
		return Merged{}, err
	}
	m.next = m.from
	if err := m.walk(ctx); err != nil {
		return Merged{}, err
	}
	return m.finish()
}

// merger is one step.
type merger struct {
	t      *tenant
	o      MergeOptions
	before int64 // chunks from here on are left alone
	from   int64 // chunks before this one are done

	run   *small // chunks that wait for the next
	ready *small // what is to be covered
	next  int64  // where the next step begins
	read  int    // bytes
	rows  int
	more  bool
}

// bound is the first chunk that is not looked at: never the tenant's newest, which
// may be being written, and of which the clock is read.
func (m *merger) bound() (int64, error) {
	newest, err := m.t.newestChunk()
	if err != nil || m.o.All {
		return newest, err
	}
	after := m.o.After
	if after == 0 {
		after = MergeAfter
	}
	return min(newest, m.t.s.now().Add(-after).UnixMicro()), nil
}

// finish covers what is ready, and notes how far it has come.
func (m *merger) finish() (out Merged, err error) {
	out.More = m.more
	t := m.t
	b := t.s.engine.NewBatch()
	if m.next != m.from {
		if err := t.noteMerged(b, m.next); err != nil {
			return out, err
		}
	}
	if m.ready != nil {
		if out, err = m.cover(b); err != nil {
			return out, errors.Join(err, b.Close())
		}
		out.More = m.more
	}
	switch {
	case out.Covers > 0:
		return out, m.commit(b)
	case b.Count() > 0: // it may be lost: then it is looked at again
		if err := t.s.engine.Write(b); err != nil {
			return out, t.s.fail(err)
		}
	}
	return out, b.Close()
}

// commit makes the covers visible and durable. Whoever holds a frame as it was
// reads the same in it; what is kept opened goes, because whoever drops the cover
// one day does not look for it.
func (m *merger) commit(b Batch) error {
	t := m.t
	failpoint.At("merge/write")
	if err := t.applyChange(b); err != nil {
		return errors.Join(err, b.Close())
	}
	t.s.frames.drop(t.raw, m.ready.chunks)
	failpoint.At("merge/sync")
	if err := t.s.sync(b); err != nil {
		return err
	}
	failpoint.At("merge/synced")
	return nil
}

// cover seals what is ready into a batch: a run under one cover, a chunk that is
// longer than one holds under several. What would take no less room stays.
func (m *merger) cover(b Batch) (out Merged, err error) {
	t, s := m.t, m.t.s
	rows := []Row{}
	for _, frames := range m.ready.parts() {
		c := &cover{at: frames[0].place(), keys: m.ready.keys, frames: frames}
		value, err := s.sealCover(t.raw, c)
		if err == nil {
			err = s.sameCover(t.raw, c, value)
		}
		if err != nil {
			return Merged{}, err
		}
		rows = append(rows, Row{coverKey(nil, t.raw, c.at), value})
		for _, f := range frames {
			rows = append(rows, Row{frameKey(nil, t.raw, f.chunk, f.number), pointerTo(c.at)})
		}
		out.Covers++
		out.Frames += uint64(len(frames))
	}
	for _, r := range rows {
		out.After += uint64(len(r.Key) + len(r.Value))
	}
	if out.Before = uint64(m.ready.stored); out.After >= out.Before {
		return Merged{}, nil
	}
	for _, r := range rows {
		if err := b.Set(r.Key, r.Value); err != nil {
			return Merged{}, err
		}
	}
	return out, nil
}

// sameCover opens a sealed cover again and holds it against what it is to hold: the
// frames' own rows go for it.
func (s *Store) sameCover(t tenantRaw, want *cover, value []byte) error {
	got, err := s.openCover(t, want.at, value)
	if err != nil {
		return err
	}
	same := slices.EqualFunc(got.frames, want.frames, func(g, w *frame) bool {
		return g.place() == w.place() && g.ingest == w.ingest && g.writer == w.writer && g.firstN == w.firstN && g.versions == w.versions &&
			slices.EqualFunc(g.entries, w.entries, record.Form.Equal)
	})
	if !same || !slices.Equal(got.keys, want.keys) {
		return policy.Errorf(policy.Internal, "a cover of %d frames does not read as what it was made of; nothing was changed", len(want.frames))
	}
	return nil
}

// mergedUpTo is the chunk before which all were looked at.
func (t *tenant) mergedUpTo() (int64, error) {
	row, err := t.s.get(kindIndex, indexRow(t.raw, indexMerged))
	if err != nil || row == nil {
		return 0, err
	}
	if len(row) != 8 {
		return 0, t.s.corrupt(kindIndex, nil)
	}
	return int64(binary.BigEndian.Uint64(row)), nil
}

func (t *tenant) noteMerged(b Batch, chunk int64) error {
	return b.Set(indexRow(t.raw, indexMerged), binary.BigEndian.AppendUint64(nil, uint64(chunk)))
}

// Size is about how many bytes there are.
func (s *Store) Size() uint64 { return s.engine.Size() }

// Reclaim gives the room of frames that were covered back to the disk, where the
// engine leaves that to be asked for.
func (s *Store) Reclaim(ctx context.Context, id policy.TenantID) error {
	t, err := s.tenantOf(id)
	if err != nil {
		return err
	}
	defer s.working.Done()
	if err := errors.Join(s.usable(), s.room(s.now())); err != nil {
		return err
	}
	if err := s.engine.Compact(ctx, t.prefixesOf([]kind{kindFrame})); err != nil {
		return fmt.Errorf("rewrite the tables that held what was merged: %w", err)
	}
	return nil
}
