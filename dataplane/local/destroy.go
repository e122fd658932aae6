package local

import (
	"fmt"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Destroy implements store.Keys: each key's place in the table is overwritten
// with zeros and synced. A place of zeros was destroyed, or never written, and
// opens in neither case.
func (k *Keyring) Destroy(ids []store.KeyID) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.usable(); err != nil {
		return err
	}
	touched := map[uint64]*table{}
	for _, id := range ids {
		k.cache.Remove(id)
		t, err := k.tableOf(id.Generation)
		if isDestroyed(err) {
			continue // with its whole generation
		}
		if err != nil {
			return err
		}
		if id.Index >= t.written {
			return policy.Errorf(policy.Internal, "key %d of generation %d is not in the table, so it cannot be destroyed", id.Index, id.Generation)
		}
		if _, err := t.file.WriteAt(make([]byte, wrapped), int64(id.Index)*wrapped); err != nil {
			return k.fail(fmt.Errorf("destroy a key: %w", err))
		}
		touched[id.Generation] = t
	}
	for _, t := range touched {
		if err := datasync(t.file); err != nil {
			return k.fail(fmt.Errorf("destroy keys: %w", err))
		}
	}
	return nil
}

// Forget implements store.Keys. An entry is overwritten in place by one that
// nobody's name leads to, so that the table stays whole.
func (k *Keyring) Forget(names []string) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.usable(); err != nil {
		return 0, err
	}
	n, err := k.names.forget(names, k.rand)
	if err != nil {
		return n, k.fail(err)
	}
	return n, nil
}
