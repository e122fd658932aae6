package feed

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// restore loads what an earlier process made durable, through the checks of the
// stream. What does not verify is not served; the floor holds all the same.
func (f *Feed) restore() error {
	k, err := f.cache.loadContact()
	if err != nil {
		f.o.Logger.Error("bundle contact is not used", "error", err)
	}
	f.kept, f.replica.floor = k, k.Floor
	if f.replica.guard, err = f.cache.loadGuard(); err != nil {
		return err
	}
	loading := f.replica
	loading.floor = 0 // earlier frames are below it; the last one must not be
	loading.wall = nil
	err = f.cache.load(func(p *controlv1.Push) error {
		s, refused := loading.take(p)
		if refused != nil {
			return refused
		}
		loading.commit(s)
		loading.levelled(p, s)
		return nil
	})
	switch {
	case missing(err):
		return nil
	case err == nil && loading.good == nil:
		err = errors.New("it holds no whole snapshot")
	case err == nil && loading.good.view.Revision < k.Floor:
		err = fmt.Errorf("it is at revision %d, below %d which this node has already had: the file was rolled back", loading.good.view.Revision, k.Floor)
	}
	if err != nil {
		f.cache.close()
		f.o.Logger.Error("bundle cache is not used; tenants wait for the control plane", "error", err)
		f.note(func(s *Status) { s.LastError = "bundle cache: " + err.Error() })
		return nil
	}
	f.replica.good, f.replica.guard, f.replica.floor, f.replica.level = loading.good, loading.guard, loading.good.view.Revision, loading.level
	if !k.At.IsZero() {
		f.fresh.restore(k.At, k.FreshUntil)
	}
	f.publish(f.replica.good.view)
	f.o.Logger.Info("bundle loaded from the cache", "revision", f.replica.good.view.Revision)
	return nil
}

// take verifies pushes, makes them durable, publishes them, in this order; the
// caller acknowledges last. It gives how many of them it took: those that change
// only the rows of one bundle go together, with one sync, and every other goes alone.
// A refusal is of the first of them, and none was taken.
func (f *Feed) take(pushes []*controlv1.Push) (taken int, refused *refusal) {
	if steps := f.plain(pushes); len(steps) > 1 {
		return len(steps), f.takeTogether(pushes[:len(steps)], steps)
	}
	return 1, f.handle(pushes[0])
}

// plain verifies pushes, each as what follows the one before it, up to the first
// that is a part of a snapshot, changes what is kept against a restored control
// plane, or is refused.
func (f *Feed) plain(pushes []*controlv1.Push) (steps []step) {
	if len(pushes) < 2 || f.replica.open != nil {
		return nil
	}
	next := f.replica
	for _, p := range pushes {
		if p.GetPart() != nil {
			break
		}
		s, refused := next.take(p)
		if refused != nil || s.next != nil && !sameGuard(next.guard, s.guard) {
			break
		}
		next.commit(s)
		next.levelled(p, s)
		steps = append(steps, s)
	}
	f.replica.kinds = next.kinds // grows, and is no part of what a push decides
	return steps
}

// takeTogether keeps and publishes what plain verified.
func (f *Feed) takeTogether(pushes []*controlv1.Push, steps []step) *refusal {
	f.cache.abandon()
	var rows []*controlv1.Push
	for i, s := range steps {
		if s.next != nil {
			rows = append(rows, pushes[i])
		}
	}
	if len(rows) > 0 {
		if err := f.cache.append(rows...); err != nil {
			return &refusal{reason: noStorage, err: err}
		}
	}
	if refused := f.keepContact(steps[len(steps)-1].statement); refused != nil {
		return refused
	}
	for i, s := range steps {
		f.replica.commit(s)
		f.replica.levelled(pushes[i], s)
	}
	if len(rows) == 0 {
		f.prove()
		return nil
	}
	f.publish(f.replica.good.view)
	f.o.Logger.Info("bundle applied", "revision", f.replica.good.view.Revision, "tenants", f.replica.good.rows.Len(), "pushes", len(pushes))
	return nil
}

// handle verifies one push, makes it durable, publishes it.
func (f *Feed) handle(p *controlv1.Push) *refusal {
	s, refused := f.replica.take(p)
	if refused == nil {
		refused = f.keep(p, s)
	}
	if refused != nil {
		f.cache.abandon()
		f.replica.open = nil
		return refused
	}
	f.sayKept(s)
	f.replica.commit(s)
	f.replica.levelled(p, s)
	if s.sealed && s.next == nil {
		f.prove() // the certificate, or the time, may have changed
	}
	if s.next != nil {
		f.publish(s.next.view)
		f.o.Logger.Info("bundle applied", "revision", s.next.view.Revision, "tenants", s.next.rows.Len())
	}
	return nil
}

// keep makes what a push changes durable: rows in the cache, floor and contact
// beside it.
func (f *Feed) keep(p *controlv1.Push, s step) *refusal {
	same := s.next == nil || sameGuard(f.replica.guard, s.guard)
	if !same { // what is kept longer must be known before the rows, and what ends after them
		if err := f.cache.saveGuard(s.guard.with(f.replica.guard)); err != nil {
			return &refusal{reason: noStorage, err: err}
		}
	}
	if refused := f.keepRows(p, s); refused != nil || same {
		return refused
	}
	if err := f.cache.saveGuard(s.guard); err != nil {
		return &refusal{reason: noStorage, err: err}
	}
	return nil
}

func (f *Feed) keepRows(p *controlv1.Push, s step) *refusal {
	if p.GetPart() != nil {
		if err := f.keepPart(p, s); err != nil {
			return &refusal{reason: noStorage, err: err}
		}
	} else if s.next != nil {
		f.cache.abandon()
		if err := f.cache.append(p); err != nil {
			return &refusal{reason: noStorage, err: err}
		}
	}
	if !s.sealed {
		return nil
	}
	return f.keepContact(s.statement)
}

func (f *Feed) keepPart(p *controlv1.Push, s step) error {
	if s.first {
		if err := f.cache.begin(); err != nil {
			return err
		}
	}
	if err := f.cache.add(p); err != nil {
		return err
	}
	if s.next != nil {
		return f.cache.finish()
	}
	return nil
}

// keepContact: a seal that has already run out is no contact, but its revision
// counts. Freshness is confirmed last, when everything else is durable.
func (f *Feed) keepContact(st bundle.Statement) *refusal {
	k := contact{Number: f.kept.Number + 1, Floor: max(f.replica.floor, st.Revision), At: f.kept.At, FreshUntil: f.kept.FreshUntil}
	now, valid := f.fresh.valid(st.FreshUntil)
	if valid {
		k.At, k.FreshUntil = now, st.FreshUntil
	} else {
		f.o.Logger.Warn("a seal that has already run out confirms nothing: its sender has lost touch with its cluster, or one of the clocks is wrong",
			"fresh_until", st.FreshUntil, "wall_clock", now)
	}
	if err := f.cache.saveContact(k); err != nil {
		return &refusal{reason: noStorage, err: err}
	}
	f.kept = k
	if valid {
		f.fresh.confirm(st.FreshUntil)
	}
	return nil
}

// sayKept tells people what a restored control plane offers and this node does
// not take.
func (f *Feed) sayKept(s step) {
	if s.next == nil || sameGuard(f.replica.guard, s.guard) {
		return
	}
	for _, k := range s.guard.kept() {
		f.o.Logger.Error("a restored control plane offers what was taken back: this node keeps what it had", "what", k.What, "id", k.ID, "next", "docs/operations/backup.md")
	}
}

// maxKept is how much of what it keeps a node tells the control plane.
const maxKept = 100

func (f *Feed) keptForm() (out []*controlv1.Kept) {
	for _, k := range f.replica.guard.kept() {
		if len(out) == maxKept {
			break
		}
		out = append(out, &controlv1.Kept{What: k.What, Id: k.ID})
	}
	return out
}

func (f *Feed) waiting() *controlv1.Waiting {
	if f.o.Waiting == nil {
		return nil
	}
	w, known := f.o.Waiting()
	if !known {
		return nil
	}
	return &controlv1.Waiting{Transfers: w.Transfers, Seconds: uint64(w.For / time.Second)}
}

// maxHeldPurges is how many of the ends that wait a node tells the control plane.
const maxHeldPurges = 100

func (f *Feed) heldPurges() (out []*controlv1.HeldPurge) {
	if f.o.HeldPurges == nil {
		return nil
	}
	held := f.o.HeldPurges()
	for _, order := range slices.Sorted(maps.Keys(held)) {
		if len(out) == maxHeldPurges {
			break
		}
		out = append(out, &controlv1.HeldPurge{Order: order, Holds: uint32(held[order])})
	}
	return out
}

// maxFindings is how much of what it finds a node tells the control plane.
const maxFindings = 8

func (f *Feed) findings() (out []*controlv1.Finding) {
	if f.o.Findings == nil {
		return nil
	}
	for _, cause := range f.o.Findings() {
		if len(out) == maxFindings {
			break
		}
		out = append(out, &controlv1.Finding{Cause: cause})
	}
	return out
}
