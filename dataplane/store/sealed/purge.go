package sealed

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// alive is DESTROYED once the tenant was purged. The caller holds t.life.
func (t *tenant) alive() error {
	if t.ended {
		return policy.Errorf(policy.Destroyed, "the tenant has ended and its data is destroyed; nothing more is stored")
	}
	return nil
}

// Purge implements store.Store. The keys of the chunks go first: from then on no
// copy of a frame opens. Rows that several tenants' writes were sealed under one
// key for (counters, feeds' settings) go by deletion, and the files that held
// them by compaction.
func (s *Store) Purge(ctx context.Context, id policy.TenantID) (store.Purged, error) {
	raw, err := rawTenant(id)
	if err != nil {
		return store.Purged{}, err
	}
	t, err := s.tenantAt(id, raw)
	if err != nil {
		return store.Purged{}, err
	}
	defer s.working.Done()
	if err := s.usable(); err != nil {
		return store.Purged{}, err
	}
	release, err := t.exclusive()
	if err != nil {
		return store.Purged{}, err
	}
	defer release()
	if err := s.finishDestroying(t); err != nil {
		return store.Purged{}, err
	}
	t.build.Lock()
	defer t.build.Unlock()
	var out store.Purged
	err = t.inTurn(func(u *turn) error {
		t.items.Lock() // nobody puts one meanwhile
		defer t.items.Unlock()
		items, err := s.engine.Begin(t.raw, ItemTurn)
		if err != nil {
			return s.fail(err)
		}
		defer items.End()
		if err := t.end(ctx); err != nil {
			return err
		}
		out, err = t.purge(ctx, u)
		return err
	})
	if err != nil {
		return out, err
	}
	t.index.Load().saved.Store(false)
	if err := s.engine.Settle(true); err != nil {
		return out, s.fail(err)
	}
	if err := s.engine.Compact(ctx, t.prefixesOf(tenantKinds)); err != nil {
		return out, fmt.Errorf("rewrite the tables of a purged tenant: %w", err)
	}
	return out, nil
}

// purge destroys what is the tenant's, and deletes its rows.
func (t *tenant) purge(ctx context.Context, u *turn) (store.Purged, error) {
	s := t.s
	ids, err := t.chunkKeys()
	if err != nil {
		return store.Purged{}, err
	}
	items, blobs, own, err := t.itemKeys()
	if err != nil {
		return store.Purged{}, err
	}
	ids = append(ids, own...)
	covered, err := t.coverKeys()
	if err != nil {
		return store.Purged{}, err
	}
	if x := t.index.Load(); x.saved.Load() {
		ids = append(ids, x.id)
	}
	next, err := s.get(kindIndex, indexRow(t.raw, indexNext))
	if err != nil {
		return store.Purged{}, err
	}
	if len(next) == 16 {
		ids = append(ids, readKeyID(next))
	}
	ids = append(ids, covered...)
	out := store.Purged{Items: items, Keys: uint64(len(ids) + len(blobs))}
	if out.Calls, err = t.count(kindTime); err != nil {
		return out, err
	}
	if out.Quarantined, err = t.count(kindQuarantine); err != nil {
		return out, err
	}
	for _, gone := range [][]store.KeyID{blobs, ids} { // what says which are a blob's goes last
		if err := s.destroyKeys(gone); err != nil {
			return out, fmt.Errorf("destroy the keys of a tenant: %w", err)
		}
	}
	s.frames.clear()
	b := s.engine.NewBatch()
	for _, prefix := range t.prefixesOf(tenantKinds) {
		if err := b.DeleteRange(prefix, after(prefix)); err != nil {
			return out, err
		}
	}
	if err := s.noteFor(ctx, b, store.Rewritten{Dropped: out.Calls, Keys: out.Keys}); err != nil {
		return out, err
	}
	u.reshape = true
	if err := u.commit(b); err != nil {
		return out, err
	}
	return out, s.sync(b)
}

func (t *tenant) prefixesOf(kinds []kind) (prefixes [][]byte) {
	for _, k := range kinds {
		prefixes = append(prefixes, keyOf(nil, k, t.raw))
	}
	return prefixes
}

// end lets nothing of a tenant be written any more, after what is being written,
// unless a hold came that nobody looked at, and tells the region's log before anything
// is destroyed. Until then the tenant has not ended. The caller has t.build, t.items
// and both of the tenant's turns: no hold comes.
func (t *tenant) end(ctx context.Context) error {
	t.life.Lock()
	defer t.life.Unlock()
	if err := t.unheld(ctx); err != nil {
		return err
	}
	if err := t.s.noteBegin(ctx); err != nil {
		return fmt.Errorf("tell the region's log that a tenant ends: %w", err)
	}
	t.ended = true
	return nil
}

// chunkKeys are the keys of every chunk and quarantined item of the tenant, each once.
func (t *tenant) chunkKeys() (ids []store.KeyID, err error) {
	seen := map[store.KeyID]bool{}
	err = t.s.scan(kindFrame, keyOf(nil, kindFrame, t.raw), func(key, value []byte) error {
		if len(key) != 27 || len(value) < frameHeader || seen[keyIn(value)] {
			return nil
		}
		// Only what opens says truly what it is sealed under: a flipped bit would
		// name the key of somebody else.
		_, err := t.s.openFrame(t.raw, int64(binary.BigEndian.Uint64(key[17:])), binary.BigEndian.Uint16(key[25:]), value)
		if isCorrupt(err) {
			return nil
		}
		if err != nil && !isReason(err, policy.Destroyed) {
			return err
		}
		seen[keyIn(value)] = true
		ids = append(ids, keyIn(value))
		return nil
	})
	if err != nil {
		return ids, err
	}
	err = t.s.scan(kindQuarantine, keyOf(nil, kindQuarantine, t.raw), func(key, value []byte) error {
		_, err := t.s.openRow(kindQuarantine, t.raw, key, value)
		if err == nil && ownKey(value) {
			ids = append(ids, keyIn(value))
		}
		if isCorrupt(err) || isReason(err, policy.Destroyed) {
			return nil
		}
		return err
	})
	return ids, err
}

// coverKeys are the keys that covers of the tenant stand under, each once. Those of
// the frames that they took the place of are the same.
func (t *tenant) coverKeys() (ids []store.KeyID, err error) {
	seen := map[store.KeyID]bool{}
	err = t.s.scan(kindCover, keyOf(nil, kindCover, t.raw), func(key, value []byte) error {
		if len(key) != 27 {
			return nil
		}
		found, _, _ := t.s.coverHeader(t.raw, readPlace(key[17:]), value)
		for _, id := range found {
			if !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		}
		return nil
	})
	return ids, err
}

// itemKeys are the tenant's items, counted, the keys of their blobs, and their own.
// As with frames, only a row that opens says truly which keys are its. One whose
// own key is gone was purged before, and the keys of its blobs before that.
func (t *tenant) itemKeys() (n uint64, blobs, own []store.KeyID, err error) {
	err = t.s.scan(kindItem, keyOf(nil, kindItem, t.raw), func(key, value []byte) error {
		n++
		item, err := t.s.openItemRow(t.raw, key, value)
		if isCorrupt(err) || isReason(err, policy.Destroyed) {
			return nil
		}
		if err != nil {
			return err
		}
		r, _ := parseItemRow(value)
		blobs, own = append(blobs, item.Keys...), append(own, r.key)
		return nil
	})
	return n, blobs, own, err
}

func (t *tenant) count(k kind) (n uint64, err error) {
	err = t.each(k, func([]byte) error { n++; return nil })
	return n, err
}

// each visits the values of one kind.
func (t *tenant) each(k kind, visit func(value []byte) error) error {
	prefix := keyOf(nil, k, t.raw)
	it, err := t.s.engine.Rows(prefix, after(prefix))
	if err != nil {
		return t.s.readError(k, err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return t.s.readError(k, err)
		}
		if err := visit(value); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return t.s.readError(k, err)
	}
	return nil
}
