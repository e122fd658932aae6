package sealed

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// linked is one row of the subject index, and the party that leads to it.
type linked struct {
	tag      [16]byte
	tenures  tenures
	raw      bool
	instance string
}

// linkedTo finds the rows that a number leads to: as E.164, and as a raw value
// at one instance, or at each that raw values came from.
func (t *tenant) linkedTo(number, instance string) (found []linked, err error) {
	for {
		x := t.index.Load()
		found, err = t.linkedIn(x, number, instance)
		if err == nil {
			err = t.refresh()
		}
		if err != nil || t.index.Load() == x {
			return found, err // else they were built anew meanwhile
		}
	}
}

func (t *tenant) linkedIn(x *index, number, instance string) (found []linked, err error) {
	parties := []linked{}
	m := x.tags.Get().(*tagger)
	defer x.tags.Put(m)
	instances := []string{instance}
	if instance == "" {
		parties = append(parties, linked{tag: m.party("", &record.Party{E164: number})})
		if instances, err = t.instances(); err != nil {
			return nil, err
		}
	}
	for _, name := range instances {
		parties = append(parties, linked{tag: m.party(name, &record.Party{Raw: number}), raw: true, instance: name})
	}
	for _, l := range parties {
		var ok bool
		if l.tenures, ok, err = t.findSubject(x, l.tag); err != nil {
			return nil, err
		}
		if ok {
			found = append(found, l)
		}
	}
	return found, nil
}

// Owners implements store.Store.
func (s *Store) Owners(_ context.Context, permit policy.Permit, number, instance string) ([]store.Owner, error) {
	t, err := s.enterAny(permit, policy.View, policy.Process, policy.Erase)
	if err != nil {
		return nil, err
	}
	defer s.working.Done()
	found, err := t.linkedTo(number, instance)
	var out []store.Owner
	for _, l := range found {
		out = append(out, l.tenures.owners(l.raw, l.instance)...)
	}
	return out, err
}

// Reassign implements store.Store. It holds groups up while it looks and
// writes, so that none is built with the former owner.
func (s *Store) Reassign(ctx context.Context, permit policy.Permit, number, instance string, at time.Time) ([]store.Owner, error) {
	t, err := s.enter(permit, policy.Process)
	if err != nil {
		return nil, err
	}
	defer s.working.Done()
	release, err := t.exclusive() // a rebuild of the index would miss the change
	if err != nil {
		return nil, err
	}
	defer release()
	t.build.Lock()
	defer t.build.Unlock()
	var out []store.Owner
	err = t.inTurn(func(u *turn) error {
		out, err = t.reassign(ctx, u, number, instance, at)
		return err
	})
	return out, err
}

func (t *tenant) reassign(ctx context.Context, u *turn, number, instance string, at time.Time) ([]store.Owner, error) {
	s := t.s
	found, err := t.linkedTo(number, instance)
	if err = errors.Join(err, u.changes()); err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, policy.Errorf(policy.NotFound, "nothing is kept of this number, so that there is no former owner to tell from a new one")
	}
	b := s.engine.NewBatch()
	var out []store.Owner
	var tags [][16]byte
	for _, l := range found {
		var id [16]byte
		if _, err := io.ReadFull(s.rand, id[:]); err != nil {
			return nil, err
		}
		next, ok := l.tenures.split(at.UnixMicro(), id)
		if !ok {
			return nil, policy.Errorf(policy.AlreadyExists, "this change of hands is recorded already, or the number has changed hands more often than can be kept")
		}
		if err := b.Set(append(t.index.Load().key(nil, kindSubject, t.raw), l.tag[:tagSize]...), next.append(nil)); err != nil {
			return nil, err
		}
		tags, out = append(tags, l.tag), append(out, next.owners(l.raw, l.instance)...)
	}
	if err := s.noteFor(ctx, b, store.Rewritten{}); err != nil {
		return nil, err
	}
	if err := u.applyAlive(b); err != nil {
		return nil, err
	}
	s.subjects.drop(tags)
	return out, s.sync(b)
}

// Unlink implements store.Store. It holds groups up while it writes, so that
// none is built with an id that is being let go; not while it looks for rows
// without a number, because a row that is not there yet has other ids.
func (s *Store) Unlink(ctx context.Context, permit policy.Permit, u store.Unlinking) error {
	t, err := s.enter(permit, policy.Erase)
	if err != nil {
		return err
	}
	defer s.working.Done()
	release, err := t.exclusive() // a rebuild of the index would miss the change
	if err != nil {
		return err
	}
	defer release()
	var tags [][16]byte
	if u.Number == "" {
		if tags, err = t.tagsOf(ctx, u.Owners); err != nil {
			return err
		}
	}
	t.build.Lock()
	defer t.build.Unlock()
	return t.inTurn(func(turn *turn) error { return t.unlinkAll(ctx, turn, u, tags) })
}

func (t *tenant) unlinkAll(ctx context.Context, turn *turn, u store.Unlinking, tags [][16]byte) error {
	s := t.s
	if err := turn.changes(); err != nil {
		return err
	}
	if u.Number != "" {
		found, err := t.linkedTo(u.Number, u.Instance)
		if err != nil {
			return err
		}
		for _, l := range found {
			tags = append(tags, l.tag)
		}
	}
	b := s.engine.NewBatch()
	for _, tag := range tags {
		if err := t.unlink(b, tag, u.Owners); err != nil {
			return err
		}
	}
	if b.Count() == 0 {
		return b.Close()
	}
	if err := errors.Join(t.soil(b), s.noteFor(ctx, b, store.Rewritten{})); err != nil {
		return err
	}
	if err := turn.applyAlive(b); err != nil {
		return err
	}
	s.subjects.drop(tags)
	return s.sync(b)
}

func (t *tenant) unlink(b Batch, tag [16]byte, owners []store.Owner) error {
	row, ok, err := t.findSubject(t.index.Load(), tag)
	if err != nil || !ok {
		return err
	}
	left, changed := row.without(owners)
	key := append(t.index.Load().key(nil, kindSubject, t.raw), tag[:tagSize]...)
	switch {
	case !changed:
		return nil
	case left.gone():
		return b.Delete(key)
	}
	return b.Set(key, left.append(nil))
}

// tagsOf looks through the whole index for rows that hold one of the owners.
func (t *tenant) tagsOf(ctx context.Context, owners []store.Owner) (tags [][16]byte, err error) {
	ids := map[string]bool{}
	for _, o := range owners {
		for _, id := range o.Subjects() {
			ids[id] = true
		}
	}
	n := 0
	err = t.s.scan(kindSubject, t.index.Load().key(nil, kindSubject, t.raw), func(key, value []byte) error {
		row, ok := readTenures(value)
		if !ok || len(key) != 17+tagSize {
			return t.s.corrupt(kindSubject, nil)
		}
		for _, tenure := range row {
			for _, id := range tenure.ids {
				if ids[subjectID(id)] {
					tags = append(tags, tagIn(key))
				}
			}
		}
		if n++; n%4096 == 0 {
			return ctx.Err()
		}
		return nil
	})
	return tags, err
}
