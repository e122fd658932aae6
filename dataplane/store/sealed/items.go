package sealed

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// enterItem is enter for what may be done by several operations.
func (s *Store) enterItem(permit policy.Permit, kind store.ItemKind, ops ...policy.Operation) (*tenant, error) {
	op := permit.Operation()
	if !slices.Contains(ops, op) {
		op = ops[0]
	}
	return s.enterFor(permit, op, kind.Class())
}

var errNoItem = policy.Errorf(policy.NotFound, "there is no such item")

// PutItem implements store.Store. The key of the version that is replaced is
// noted in the same commit as one to destroy, so that a crash cannot spare it.
func (s *Store) PutItem(ctx context.Context, permit policy.Permit, item store.Item, ifVersion uint64) (store.Item, error) {
	t, err := s.enterItem(permit, item.Kind, policy.Ingest, policy.Store, policy.Process, policy.Erase)
	if err != nil {
		return store.Item{}, err
	}
	defer s.working.Done()
	if permit.Operation() == policy.Ingest {
		if err := s.room(s.now()); err != nil {
			return store.Item{}, err
		}
	}
	if err := checkItem(&item); err != nil {
		return store.Item{}, err
	}
	return t.commitItem(ctx, itemChange{item.Kind, t.alive, func(b Batch) (store.Item, []store.KeyID, error) { return t.putItem(b, item, ifVersion) }})
}

// ConvertItem implements store.Store.
func (s *Store) ConvertItem(ctx context.Context, permit policy.Permit, old store.ItemKind, oldID string, oldVersion uint64, item store.Item) (store.Item, error) {
	t, err := s.enterItem(permit, item.Kind, policy.Ingest, policy.Store, policy.Process, policy.Erase)
	if err != nil {
		return store.Item{}, err
	}
	defer s.working.Done()
	if err := checkItem(&item); err != nil {
		return store.Item{}, err
	}
	oldKey := itemKey(t.raw, old, oldID)
	if oldKey == nil || old.Class() != item.Kind.Class() {
		return store.Item{}, errNoItem
	}
	return t.commitItem(ctx, itemChange{item.Kind, t.alive, func(b Batch) (store.Item, []store.KeyID, error) {
		gone, err := t.dropItem(b, oldKey, oldVersion, item.Keys)
		if err != nil {
			return item, nil, err
		}
		out, doomed, err := t.putItem(b, item, 0)
		return out, append(gone, doomed...), err
	}})
}

// itemChange is a change of one item. allowed is asked with t.life held; make puts the
// rows into a batch, and says which keys are to go when it is durable.
type itemChange struct {
	kind    store.ItemKind
	allowed func() error
	make    func(Batch) (store.Item, []store.KeyID, error)
}

// commitItem applies a change, makes it durable, and then destroys the keys that are
// to go.
func (t *tenant) commitItem(ctx context.Context, c itemChange) (store.Item, error) {
	b := t.s.engine.NewBatch()
	item, doomed, err := t.applyItem(ctx, b, c)
	for try := 1; isAgain(err) && try < maxTries; try++ {
		backOff(try)
		_ = b.Close()
		b = t.s.engine.NewBatch()
		item, doomed, err = t.applyItem(ctx, b, c)
	}
	if err != nil {
		_ = b.Close()
		// What the refusal speaks of must be durable too: the caller may acknowledge it.
		if syncErr := t.s.engine.Settle(false); syncErr != nil {
			return store.Item{}, t.s.fail(syncErr)
		}
		return store.Item{}, err
	}
	if err := t.s.sync(b); err != nil {
		return store.Item{}, err
	}
	t.backupItem(&item)
	return item, t.destroyNoted(doomed)
}

func (t *tenant) applyItem(ctx context.Context, b Batch, c itemChange) (store.Item, []store.KeyID, error) {
	placing, err := t.placing(c.kind)
	if err != nil {
		return store.Item{}, nil, err
	}
	defer placing.End()
	t.items.Lock()
	defer t.items.Unlock()
	t.life.RLock()
	defer t.life.RUnlock()
	if err := errors.Join(c.allowed(), t.s.usable()); err != nil {
		return store.Item{}, nil, err
	}
	turn, err := t.s.engine.Begin(t.raw, ItemTurn)
	if err != nil {
		return store.Item{}, nil, t.s.fail(err)
	}
	defer turn.End()
	defer t.heldBy(c.kind)()
	if err := t.unheld(ctx); err != nil {
		return store.Item{}, nil, err
	}
	item, doomed, err := c.make(b)
	if err == nil {
		err = t.s.noteFor(ctx, b, store.Rewritten{})
	}
	if err != nil {
		return item, nil, err
	}
	err = turn.Commit(b, turn.Standing())
	t.itemless.put()
	if err == nil {
		err = t.placed(placing)
	}
	if err != nil {
		return item, nil, t.s.fail(err)
	}
	return item, doomed, nil
}

func checkItem(item *store.Item) error {
	switch {
	case itemNumbers[item.Kind] == 0 || !policy.ValidID(item.Kind.IDKind(), item.ID):
		return policy.Errorf(policy.InvalidArgument, "an item's id must be two capitals of its kind and 32 hex digits")
	case item.Call != "" && !policy.ValidID(policy.KindCall, item.Call):
		return policy.Errorf(policy.InvalidArgument, "an item's call must be CA and 32 hex digits")
	case len(item.Body) > store.MaxItem:
		return policy.Errorf(policy.PayloadTooLarge, "an item may hold %d bytes", store.MaxItem)
	case len(item.Keys) > store.MaxItemKeys || len(item.Unique) > store.MaxItemUnique:
		return policy.Errorf(policy.InvalidArgument, "an item may have %d keys and a unique tag of %d bytes", store.MaxItemKeys, store.MaxItemUnique)
	}
	return nil
}

// putItem checks and seals one put; the keys it names are to be destroyed once
// the batch is durable. The caller holds t.items.
func (t *tenant) putItem(b Batch, item store.Item, ifVersion uint64) (store.Item, []store.KeyID, error) {
	key := itemKey(t.raw, item.Kind, item.ID)
	old, err := t.s.get(kindItem, key)
	if err != nil {
		return item, nil, err
	}
	now := t.s.now().UTC().Truncate(1000)
	var doomed []store.KeyID
	if ifVersion == 0 {
		if err := t.itemIsNew(&item, old); err != nil {
			return item, nil, err
		}
		item.Version, item.Created = 1, now
	} else {
		was, err := t.itemAt(key, old, ifVersion)
		if err != nil {
			return item, nil, err
		}
		item.Version, item.Created, item.Call, item.Unique = ifVersion+1, was.item.Created, was.item.Call, was.item.Unique
		doomed = append(doomed, was.key)
		for _, k := range was.item.Keys {
			if !slices.Contains(item.Keys, k) {
				doomed = append(doomed, k)
			}
		}
	}
	item.Updated = now
	value, err := t.s.sealItem(t.raw, key, &item)
	if err != nil {
		return item, nil, err
	}
	return item, doomed, t.setItemRows(b, &item, key, value, doomed)
}

// itemIsNew is nil when neither the id nor the unique tag is taken.
func (t *tenant) itemIsNew(item *store.Item, old []byte) error {
	if old != nil {
		return policy.Errorf(policy.AlreadyExists, "there is an item with this id").With("id", item.ID)
	}
	if len(item.Unique) == 0 {
		return nil
	}
	holder, err := t.s.get(kindItemUnique, itemUniqueKey(t.raw, item.Kind, item.Unique))
	if err != nil {
		return err
	}
	if holder != nil {
		return policy.Errorf(policy.AlreadyExists, "there is an item of the same content").With("id", string(item.Kind.IDKind())+hex.EncodeToString(holder))
	}
	return nil
}

// itemAt reads the header of a row that must be at a version (0: any).
func (t *tenant) itemAt(key, row []byte, version uint64) (itemRow, error) {
	if row == nil {
		return itemRow{}, errNoItem
	}
	r, err := t.s.readItemRow(key, row)
	if err == nil && version != 0 && r.item.Version != version {
		err = policy.Errorf(policy.ETagMismatch, "the item is at version %d and not %d; read it again", r.item.Version, version)
	}
	return r, err
}

func (t *tenant) setItemRows(b Batch, item *store.Item, key, value []byte, doomed []store.KeyID) error {
	if err := b.Set(key, value); err != nil {
		return err
	}
	for _, k := range doomed {
		if err := b.Set(destroyKey(t.raw, k), nil); err != nil {
			return err
		}
	}
	if item.Version > 1 {
		return nil
	}
	if len(item.Unique) > 0 {
		if err := b.Set(itemUniqueKey(t.raw, item.Kind, item.Unique), key[18:]); err != nil {
			return err
		}
	}
	for _, order := range itemOrders(t.raw, item) {
		if err := b.Set(order, nil); err != nil {
			return err
		}
	}
	return nil
}

// Item implements store.Store.
func (s *Store) Item(_ context.Context, permit policy.Permit, kind store.ItemKind, id string) (store.Item, error) {
	t, err := s.enterItem(permit, kind, policy.View, policy.Process, policy.Erase)
	if err != nil {
		return store.Item{}, err
	}
	defer s.working.Done()
	key := itemKey(t.raw, kind, id)
	if key == nil {
		return store.Item{}, errNoItem
	}
	item, err := s.itemIn(t, key)
	if err == nil && item.ID == "" {
		err = errNoItem
	}
	return item, err
}

// itemIn opens the item of a row; the zero item when there is none. A key that
// is destroyed while the row stays as it is means that the item is gone; else a
// new version came in between, and is opened.
func (s *Store) itemIn(t *tenant, key []byte) (store.Item, error) {
	var last []byte
	for {
		row, err := s.get(kindItem, key)
		if err != nil || row == nil {
			return store.Item{}, err
		}
		item, err := s.openItemRow(t.raw, key, row)
		if !isReason(err, policy.Destroyed) {
			return item, err
		}
		if bytes.Equal(row, last) {
			return store.Item{}, nil
		}
		last = row
	}
}

// DeleteItem implements store.Store.
func (s *Store) DeleteItem(ctx context.Context, permit policy.Permit, kind store.ItemKind, id string, ifVersion uint64) error {
	t, err := s.enterItem(permit, kind, policy.Erase)
	if err != nil {
		return err
	}
	defer s.working.Done()
	key := itemKey(t.raw, kind, id)
	if key == nil {
		return errNoItem
	}
	_, err = t.commitItem(ctx, itemChange{kind, t.alive, func(b Batch) (store.Item, []store.KeyID, error) {
		doomed, err := t.dropItem(b, key, ifVersion, nil)
		return store.Item{}, doomed, err
	}})
	return err
}

// dropItem deletes an item and its rows, and notes its keys but those to keep
// as to be destroyed. The caller holds t.items.
func (t *tenant) dropItem(b Batch, key []byte, ifVersion uint64, keep []store.KeyID) ([]store.KeyID, error) {
	row, err := t.s.get(kindItem, key)
	if err != nil {
		return nil, err
	}
	r, err := t.itemAt(key, row, ifVersion)
	if err != nil {
		return nil, err
	}
	if err := dropItemRows(b, t.raw, key, &r.item); err != nil {
		return nil, err
	}
	doomed := []store.KeyID{r.key}
	for _, k := range r.item.Keys {
		if !slices.Contains(keep, k) {
			doomed = append(doomed, k)
		}
	}
	for _, k := range doomed {
		if err := b.Set(destroyKey(t.raw, k), nil); err != nil {
			return nil, err
		}
	}
	return doomed, nil
}

// destroyNoted destroys keys whose end is durably noted, then strikes them off.
func (t *tenant) destroyNoted(ids []store.KeyID) error {
	if err := t.s.destroyKeys(ids); err != nil || len(ids) == 0 {
		return err
	}
	b := t.s.engine.NewBatch()
	for _, id := range ids {
		if err := b.Delete(destroyKey(t.raw, id)); err != nil {
			return err
		}
	}
	return t.s.forgetTasks(b)
}
