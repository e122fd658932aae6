package sealed

import (
	"context"
	"encoding/json"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// PutFeed implements store.Store.
func (s *Store) PutFeed(ctx context.Context, permit policy.Permit, f store.Feed) error {
	t, err := s.enterFor(permit, policy.Store, policy.AccountConfig)
	if err != nil {
		return err
	}
	defer s.working.Done()
	plain, err := json.Marshal(f)
	if err != nil {
		return err
	}
	key := t.feedKey(f.Source, f.Name)
	value, err := s.sealRow(kindFeed, t.raw, key, plain)
	if err != nil {
		return err
	}
	b := s.engine.NewBatch()
	if err := b.Set(key, value); err != nil {
		return err
	}
	if err := t.apply(ctx, b); err != nil {
		return err
	}
	return s.sync(b)
}

// Feed implements store.Store.
func (s *Store) Feed(_ context.Context, permit policy.Permit, source record.SourceKind, name string) (store.Feed, error) {
	t, err := s.enterFor(permit, policy.Process, policy.AccountConfig)
	if err != nil {
		return store.Feed{}, err
	}
	defer s.working.Done()
	key := t.feedKey(source, name)
	value, err := s.get(kindFeed, key)
	if err != nil {
		return store.Feed{}, err
	}
	if value == nil {
		return store.Feed{}, policy.Errorf(policy.NotFound, "this feed has no settings")
	}
	plain, err := s.openRow(kindFeed, t.raw, key, value)
	if err != nil {
		return store.Feed{}, err
	}
	var f store.Feed
	if err := json.Unmarshal(plain, &f); err != nil {
		return store.Feed{}, s.corrupt(kindFeed, err)
	}
	return f, nil
}

// feedKey is the row of a feed's settings; its name stands in it as a tag.
func (t *tenant) feedKey(source record.SourceKind, name string) []byte {
	x, m := t.tagger()
	defer x.tags.Put(m)
	tag := m.tag(m.place, tagFeed, string(source), name)
	return append(keyOf(nil, kindFeed, t.raw), tag[:]...)
}
