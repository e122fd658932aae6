package local

import (
	"context"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/policy"
)

// linked is one subject id and the tag of the party that leads to it.
type linked struct{ tag, id [16]byte }

// subjectsOf finds the subjects that a number leads to: as E.164, and as a raw
// value at each instance that raw values came from.
func (t *tenant) subjectsOf(number string) (found []linked, err error) {
	instances, err := t.instances()
	if err != nil {
		return nil, err
	}
	m := t.tags.Get().(*tagger)
	defer t.tags.Put(m)
	parties := [][16]byte{m.party("", &record.Party{E164: number})}
	for _, name := range instances {
		parties = append(parties, m.party(name, &record.Party{Raw: number}))
	}
	for _, tag := range parties {
		id, ok, err := t.s.findSubject(t.raw, tag)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, linked{tag, id})
		}
	}
	return found, nil
}

func idsOf(found []linked) []string {
	ids := make([]string, len(found))
	for i := range found {
		ids[i] = subjectID(found[i].id)
	}
	return ids
}

// Subjects implements store.Store.
func (s *Store) Subjects(_ context.Context, permit policy.Permit, number string) ([]string, error) {
	t, err := s.enter(permit, policy.View)
	if err != nil {
		return nil, err
	}
	defer s.working.Done()
	found, err := t.subjectsOf(number)
	return idsOf(found), err
}

// Unlink implements store.Store. It holds groups up while it looks and writes,
// so that none is built with an id that is being let go.
func (s *Store) Unlink(_ context.Context, permit policy.Permit, number string) ([]string, error) {
	t, err := s.enter(permit, policy.Erase)
	if err != nil {
		return nil, err
	}
	defer s.working.Done()
	t.build.Lock()
	defer t.build.Unlock()
	found, err := t.subjectsOf(number)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	b := s.db.NewBatch()
	tags := make([][16]byte, len(found))
	for i, f := range found {
		tags[i] = f.tag
		if err := b.Delete(append(keyOf(nil, kindSubject, t.raw), f.tag[:]...), nil); err != nil {
			return nil, err
		}
	}
	if err := t.apply(b); err != nil {
		return nil, err
	}
	s.subjects.drop(tags)
	return idsOf(found), s.sync(b)
}
