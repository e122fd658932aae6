package sealed

import (
	"context"
	"errors"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// unheld refuses a change whose maker has not looked at all of the tenant's holds.
// It is asked by whoever has the turn in which a hold cannot be placed, and, in
// this process, t.holding.
func (t *tenant) unheld(ctx context.Context) error {
	seen, ok := store.HoldsSeen(ctx)
	if !ok {
		return nil
	}
	n, err := t.countHolds()
	if err == nil && n != seen {
		err = store.ErrNewHold
	}
	return err
}

// countHolds counts the tenant's holds, released ones included.
func (t *tenant) countHolds() (n int, err error) {
	err = t.eachHold(func([]byte) error { n++; return nil })
	return n, err
}

// eachHold visits the places of the tenant's holds, released ones included, in order
// of creation.
func (t *tenant) eachHold(visit func(position []byte) error) error {
	prefix := itemListKey(t.raw, store.HoldItem, "")
	it, err := t.s.engine.Rows(prefix, after(prefix))
	if err != nil {
		return t.s.readError(kindItemTime, err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if err := visit(it.Key()[len(it.Key())-itemPosition:]); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return t.s.readError(kindItemTime, err)
	}
	return nil
}

// applyUnheld is applyAlive of a change that destroys.
func (u *turn) applyUnheld(ctx context.Context, b Batch) error {
	return u.t.ifUnheld(ctx, func() error { return u.commit(b) })
}

// ifUnheld commits while no hold can be placed, when the tenant is not purged and its
// holds are those that were looked at. The caller has one of the tenant's turns.
func (t *tenant) ifUnheld(ctx context.Context, commit func() error) error {
	t.life.RLock()
	defer t.life.RUnlock()
	t.holding.RLock()
	defer t.holding.RUnlock()
	if err := errors.Join(t.alive(), t.s.usable()); err != nil {
		return err
	}
	if err := t.unheld(ctx); err != nil {
		return err
	}
	return commit()
}

// placing begins to place a hold: until it ends, nobody on another node destroys,
// because a hold takes both of the turns that something is destroyed in. Here that
// is t.holding. For another kind it is a turn of nothing.
func (t *tenant) placing(kind store.ItemKind) (Turn, error) {
	if kind != store.HoldItem || !t.s.engine.Shared() {
		return noTurn{}, nil
	}
	turn, err := t.s.engine.Begin(t.raw, WriteTurn)
	if err != nil {
		return nil, t.s.fail(err)
	}
	return turn, nil
}

// placed ends placing. A database that took the turn for an abandoned one says so
// here: then somebody may have destroyed meanwhile, who did not see the hold.
func (t *tenant) placed(placing Turn) error {
	if _, none := placing.(noTurn); none {
		return nil
	}
	b := t.s.engine.NewBatch()
	if err := placing.Commit(b, placing.Standing()); err != nil {
		return errors.Join(policy.Errorf(policy.OutcomeUnknown, "the hold stands, and nobody knows whether something was destroyed while it was placed; place it again"), b.Close())
	}
	return b.Close()
}

// noTurn is the turn of whoever needs none.
type noTurn struct{}

func (noTurn) Standing() Standing           { return Standing{} }
func (noTurn) Commit(Batch, Standing) error { return nil }
func (noTurn) End()                         {}

// heldBy takes t.holding: to place a hold alone, to change another item beside others.
func (t *tenant) heldBy(kind store.ItemKind) (end func()) {
	if kind == store.HoldItem {
		t.holding.Lock()
		return t.holding.Unlock
	}
	t.holding.RLock()
	return t.holding.RUnlock
}

// ReplaceHold implements store.Store. It asks not whether the tenant has ended: a
// purge that was not carried through, or another node, may have left a hold that is
// waited for. One that a purge has destroyed is not there.
func (s *Store) ReplaceHold(ctx context.Context, id policy.TenantID, hold store.Item, ifVersion uint64) (store.Item, error) {
	if err := checkItem(&hold); err != nil {
		return store.Item{}, err
	}
	if hold.Kind != store.HoldItem || ifVersion == 0 {
		return store.Item{}, policy.Errorf(policy.InvalidArgument, "only a version of a hold that is there can be replaced without a permit")
	}
	raw, err := rawTenant(id)
	if err != nil {
		return store.Item{}, err
	}
	t, err := s.tenantAt(id, raw)
	if err != nil {
		return store.Item{}, err
	}
	defer s.working.Done()
	always := func() error { return nil }
	return t.commitItem(ctx, itemChange{hold.Kind, always, func(b Batch) (store.Item, []store.KeyID, error) { return t.putItem(b, hold, ifVersion) }})
}

// Holds implements store.Store.
func (s *Store) Holds(_ context.Context, id policy.TenantID) (holds []store.Item, seen int, err error) {
	raw, err := rawTenant(id)
	if err != nil {
		return nil, 0, err
	}
	t, err := s.tenantAt(id, raw)
	if err != nil {
		return nil, 0, err
	}
	defer s.working.Done()
	err = t.eachHold(func(position []byte) error {
		seen++
		item, err := s.itemIn(t, append(append(keyOf(nil, kindItem, t.raw), itemNumbers[store.HoldItem]), position[8:]...))
		if err == nil && item.ID != "" { // else a purge was cut short: its key is gone, and its row not yet
			holds = append(holds, item)
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return holds, seen, nil
}
