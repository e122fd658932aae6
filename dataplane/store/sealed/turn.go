package sealed

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// turn is a tenant's turn to write, in this process and in every other.
type turn struct {
	t       *tenant
	held    Turn
	st      Standing
	reshape bool // what is cached elsewhere of the tenant is out of date after it
}

// maxTries bounds how often work is done again because something got in between.
const maxTries = 8

// begin takes the turn, and sees to it that what is kept in memory of the tenant
// is true. The caller holds t.build.
func (t *tenant) begin() (*turn, error) {
	held, err := t.s.engine.Begin(t.raw, WriteTurn)
	if err != nil {
		return nil, t.s.fail(err)
	}
	u := &turn{t: t, held: held, st: held.Standing()}
	if !t.s.engine.Shared() {
		return u, nil
	}
	if u.foreign() {
		t.chunk = nil // a chunk stands before or behind another's, never around it
		clear(t.cells)
		clear(t.known)
	}
	t.last, t.loaded = u.st.Last, true
	if err := t.reshaped(u.st.Shape); err != nil {
		u.end()
		return nil, err
	}
	return u, nil
}

// foreign reports that another process wrote last.
func (u *turn) foreign() bool { return u.st.Writer != u.t.s.writer }

func (u *turn) end() { u.held.End() }

// commit makes a batch visible, and ends the turn.
func (u *turn) commit(b Batch) error {
	t := u.t
	shared := t.s.engine.Shared()
	if b.Count() == 0 && !shared {
		return nil
	}
	next := u.st
	next.Last, next.Writer = max(next.Last, t.last), t.s.writer
	if u.reshape {
		next.Shape++
	}
	if err := u.held.Commit(b, next); err != nil {
		return t.s.fail(err)
	}
	if shared {
		t.fence.CompareAndSwap(u.st.Shape, next.Shape)
		t.shape.CompareAndSwap(u.st.Shape, next.Shape)
	}
	u.st = next
	return nil
}

// leave ends a turn in which nothing was written, so that no other process goes
// on with a chunk that it has open.
func (u *turn) leave() error {
	if !u.t.s.engine.Shared() || !u.foreign() && u.t.last <= u.st.Last {
		u.end()
		return nil
	}
	b := u.t.s.engine.NewBatch()
	if err := u.commit(b); err != nil {
		return err
	}
	return b.Close()
}

// changes says that the turn changes what is stored. The caller has t.exclusive,
// and nobody else may have had it meanwhile.
func (u *turn) changes() error {
	u.reshape = true
	if u.t.s.engine.Shared() && u.st.Shape != u.t.fence.Load() {
		return errElsewhere
	}
	return nil
}

var errElsewhere = policy.Errorf(policy.NotReady, "another node changed what is stored of this tenant meanwhile; repeat this")

// inTurn does work in a turn, and anew when something got in between. The caller
// holds t.build.
func (t *tenant) inTurn(work func(*turn) error) error {
	for try := 1; ; try++ {
		u, err := t.begin()
		if err == nil {
			err = work(u)
			u.end()
		}
		if !isAgain(err) || try == maxTries {
			return err
		}
		backOff(try)
	}
}

// backOff waits a little, by chance, so that those who met do not meet again.
func backOff(try int) { time.Sleep(rand.N(time.Duration(try) * 4 * time.Millisecond)) }

// exclusive holds off whatever else changes what is stored of the tenant, here
// and in every other process; appends go on. release must be called.
func (t *tenant) exclusive() (release func(), err error) {
	t.rewriting.Lock()
	held, err := t.s.engine.Begin(t.raw, RewriteTurn)
	if err != nil {
		t.rewriting.Unlock()
		return nil, t.s.fail(err)
	}
	if err := t.refresh(); err != nil {
		held.End()
		t.rewriting.Unlock()
		return nil, err
	}
	t.fence.Store(t.shape.Load())
	return func() { held.End(); t.rewriting.Unlock() }, nil
}

// refresh sees to it that what is cached of the tenant is not older than now.
func (t *tenant) refresh() error {
	if !t.s.engine.Shared() {
		return nil
	}
	st, err := t.s.engine.Look(t.raw)
	if err != nil {
		return err
	}
	return t.reshaped(st.Shape)
}

// reshaped forgets what is cached of the tenant when it is of another shape.
func (t *tenant) reshaped(shape uint64) error {
	t.shaping.Lock()
	defer t.shaping.Unlock()
	if t.shape.Load() == shape {
		return nil
	}
	x, err := t.s.loadIndex(t.raw)
	if err != nil {
		return err
	}
	t.mu.Lock() // as ownIndex does
	mine := t.index.Load()
	unused := !mine.virgin && !mine.saved.Load() && mine.id != x.id
	switch {
	case mine.id == x.id && mine.virgin == x.virgin && mine.lost == x.lost:
		mine.saved.Store(x.saved.Load())
	case x.virgin && !x.lost && unused: // it will be the tenant's
		unused = false
	default:
		t.index.Store(x)
	}
	t.mu.Unlock()
	if unused {
		if err := t.s.destroyKeys(keyIDs(mine.id)); err != nil {
			return err
		}
	}
	t.s.frames.dropTenant(t.raw)
	t.s.subjects.clear()
	t.shape.Store(shape)
	return nil
}

// applyAlive is commit, unless the tenant was purged.
func (u *turn) applyAlive(b Batch) error {
	u.t.life.RLock()
	defer u.t.life.RUnlock()
	if err := errors.Join(u.t.alive(), u.t.s.usable()); err != nil {
		return err
	}
	return u.commit(b)
}

// applyChange is apply for what changes what is stored. The caller has
// t.exclusive, and not t.build.
func (t *tenant) applyChange(b Batch) error {
	t.build.Lock()
	defer t.build.Unlock()
	return t.inTurn(func(u *turn) error { return errors.Join(u.changes(), u.applyAlive(b)) })
}

// apply makes a batch of a tenant visible, unless it was purged, or destroys and does
// not know of a hold. It is for changes that need nothing of what is kept in memory.
func (t *tenant) apply(ctx context.Context, b Batch) error {
	return t.s.apply(t.raw, b, func(commit func() error) error { return t.ifUnheld(ctx, commit) })
}

// apply makes a batch visible in a turn of its own, in which allowed commits or
// refuses; sync, called without locks, makes it durable.
func (s *Store) apply(t tenantRaw, b Batch, allowed func(commit func() error) error) error {
	for try := 1; ; try++ {
		err := s.applyOnce(t, b, allowed)
		if !isAgain(err) || try == maxTries {
			return err
		}
		backOff(try)
	}
}

func (s *Store) applyOnce(t tenantRaw, b Batch, allowed func(commit func() error) error) error {
	held, err := s.engine.Begin(t, WriteTurn)
	if err != nil {
		return s.fail(err)
	}
	defer held.End()
	return allowed(func() error {
		if err := held.Commit(b, held.Standing()); err != nil {
			return s.fail(err)
		}
		return nil
	})
}

// whileUsable commits unless the store has stopped: for what belongs to nobody who is
// served.
func (s *Store) whileUsable(commit func() error) error {
	if err := s.usable(); err != nil {
		return err
	}
	return commit()
}

// sync waits until a batch that was applied is durable.
func (s *Store) sync(b Batch) error {
	if err := b.Wait(); err != nil {
		return s.fail(err)
	}
	return b.Close()
}
