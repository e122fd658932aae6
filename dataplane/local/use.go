package local

import (
	"fmt"
	"sync/atomic"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/failpoint"
	"github.com/domicile-io/domicile/policy"
)

// Draw implements store.Keys. One call in 256 writes and syncs a block; the
// rest cost a copy.
func (k *Keyring) Draw() (store.KeyID, [32]byte, error) { return k.draw(store.UseNode) }

func (k *Keyring) draw(use store.KeyUse) (store.KeyID, [32]byte, error) {
	k.uses.Count(use, OpDraw)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.usable(); err != nil {
		return store.KeyID{}, [32]byte{}, err
	}
	birth := k.sheet.generation
	t, err := k.tableOf(birth)
	if err != nil {
		return store.KeyID{}, [32]byte{}, k.fail(err)
	}
	index, key, err := t.draw(k.o.Rand)
	if err != nil {
		return store.KeyID{}, [32]byte{}, k.fail(err)
	}
	id := store.KeyID{Generation: birth, Index: index}
	k.cache.Add(id, key, k.o.Elapsed())
	return id, key, nil
}

// Open implements store.Keys.
func (k *Keyring) Open(id store.KeyID) ([32]byte, error) { return k.open(id, store.UseNode) }

func (k *Keyring) open(id store.KeyID, use store.KeyUse) ([32]byte, error) {
	k.uses.Count(use, OpOpen)
	now := k.o.Elapsed()
	if int64(now) < k.until.Load() {
		if key, ok := k.cache.Get(id, now); ok {
			return key, nil
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.readable(); err != nil {
		return [32]byte{}, err
	}
	t, err := k.tableOf(id.Generation)
	if err != nil {
		return [32]byte{}, err
	}
	key, err := t.open(id.Index)
	if err != nil {
		return [32]byte{}, err
	}
	k.cache.Add(id, key, now)
	return key, nil
}

// Named implements store.Keys. A new name costs one sync.
func (k *Keyring) Named(name string) ([32]byte, error) { return k.named(name, store.UseNode) }

func (k *Keyring) named(name string, use store.KeyUse) ([32]byte, error) {
	k.uses.Count(use, OpNamed)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.readable(); err != nil {
		return [32]byte{}, err
	}
	if name == "" || len(name) > maxName {
		return [32]byte{}, policy.Errorf(policy.Internal, "a named key needs a name of 1 to %d bytes", maxName)
	}
	if key, ok := k.names.find(name); ok {
		return key, nil
	}
	if err := k.usable(); err != nil {
		return [32]byte{}, err
	}
	key, err := k.names.add(name, k.o.Rand)
	if err != nil {
		return [32]byte{}, k.fail(err)
	}
	return key, nil
}

// Destroy implements store.Keys: each key's place in the table is overwritten
// with a mark and synced.
func (k *Keyring) Destroy(ids []store.KeyID) error { return k.destroy(ids, store.UseErase) }

func (k *Keyring) destroy(ids []store.KeyID, use store.KeyUse) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return errClosed
	}
	if err := k.unchangeable(); err != nil {
		return err
	}
	if k.expire(); !k.held { // a mark needs no key, and erasure waits for no key service
		defer k.dropTables()
	}
	touched := map[uint64]*table{}
	for _, id := range ids {
		k.uses.Count(use, OpDestroy)
		k.cache.Remove(id)
		t, err := k.tableOf(id.Generation)
		if isDestroyed(err) {
			continue // with its whole table
		}
		if err != nil {
			return err
		}
		if id.Index >= t.written {
			return policy.Errorf(policy.Internal, "key %d of generation %d is not in the table, so it cannot be destroyed", id.Index, id.Generation)
		}
		if err := t.mark(id.Index); err != nil {
			return k.fail(fmt.Errorf("destroy a key: %w", err))
		}
		touched[id.Generation] = t
	}
	failpoint.At("keys/marked")
	for _, t := range touched {
		if err := t.file.sync(); err != nil {
			return k.fail(fmt.Errorf("destroy keys: %w", err))
		}
	}
	return nil
}

// Forget implements store.Keys. An entry is overwritten in place by one that
// nobody's name leads to, so that the table stays whole.
func (k *Keyring) Forget(names []string) (int, error) { return k.forget(names, store.UseErase) }

func (k *Keyring) forget(names []string, use store.KeyUse) (int, error) {
	k.uses.Count(use, OpForget)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.usable(); err != nil {
		return 0, err
	}
	n, err := k.names.forget(names, k.o.Rand)
	if err != nil {
		return n, k.fail(err)
	}
	return n, nil
}

// Healthy implements store.Keys.
func (k *Keyring) Healthy() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.readable(); err != nil {
		return err
	}
	if k.failed != nil {
		return k.failed
	}
	return k.away
}

var errClosed = policy.Errorf(policy.NotReady, "the keyring is closed; the process is stopping")

// readable is why no key can be read, else nil.
func (k *Keyring) readable() error {
	if k.closed {
		return errClosed
	}
	k.expire()
	if !k.held {
		return &policy.Error{Reason: policy.NotReady, Cause: k.away,
			Message: fmt.Sprintf("the key service has been away for %s; keys are no longer held; restore it", policy.KeysFor)}
	}
	return nil
}

// usable is why no key can be made or destroyed, else nil.
func (k *Keyring) usable() error {
	if err := k.readable(); err != nil {
		return err
	}
	return k.unchangeable()
}

// unchangeable is why the table may not be changed, else nil.
func (k *Keyring) unchangeable() error {
	if k.failed != nil {
		return k.failed
	}
	return k.frozen
}

// fail remembers the first failure: a disk that failed to sync once is not
// asked again, since the kernel may have dropped what it could not write.
func (k *Keyring) fail(err error) error {
	k.failed = &policy.Error{Reason: policy.NotReady, Cause: err,
		Message: "the key service cannot write its table; check the disk, then restart the node"}
	return k.failed
}

// Failed is the first write or sync of the table that failed, after which nothing
// more is drawn or destroyed; nil: none.
func (k *Keyring) Failed() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.failed
}

// tableOf finds the table of the keys drawn in a generation. One that the sheet
// does not name holds no survivor.
func (k *Keyring) tableOf(birth uint64) (*table, error) {
	if t, ok := k.tables[birth]; ok {
		return t, nil
	}
	key, ok := k.sheet.table(birth)
	if !ok {
		if birth >= 1 && birth <= k.sheet.generation {
			return nil, policy.Errorf(policy.Destroyed, "the keys of generation %d were destroyed; what they sealed is gone for good", birth)
		}
		return nil, policy.Errorf(policy.Internal, "key generation %d is not in this keyring: is it the keyring of these records?", birth)
	}
	t, err := openTable(k.places, k.o.Region, key.birth, key.version, key.key)
	if err != nil {
		return nil, err
	}
	k.tables[birth] = t
	return t, nil
}

// view is the keyring for one reason.
type view struct {
	*Keyring
	use store.KeyUse
}

// For implements store.Keys.
func (k *Keyring) For(use store.KeyUse) store.Keys {
	if v, ok := k.views[use]; ok {
		return v
	}
	return k.views[store.UseNode] // the list is closed
}

func (v *view) Draw() (store.KeyID, [32]byte, error)  { return v.draw(v.use) }
func (v *view) Open(id store.KeyID) ([32]byte, error) { return v.open(id, v.use) }
func (v *view) Named(name string) ([32]byte, error)   { return v.named(name, v.use) }
func (v *view) Destroy(ids []store.KeyID) error       { return v.destroy(ids, v.use) }
func (v *view) Forget(names []string) (int, error)    { return v.forget(names, v.use) }
func (v *view) String() string                        { return v.Keyring.String() }
func (v *view) GoString() string                      { return v.Keyring.String() }

// viewsOf makes one view for each reason, so that For allocates nothing.
func viewsOf(k *Keyring) map[store.KeyUse]*view {
	out := map[store.KeyUse]*view{}
	for _, use := range store.KeyUses() {
		out[use] = &view{k, use}
	}
	return out
}

// KeyOp is what was done with a key.
type KeyOp int

// The operations.
const (
	OpDraw KeyOp = iota
	OpOpen
	OpNamed
	OpDestroy
	OpForget
	OpRotate
	keyOps
)

var keyOpNames = [keyOps]string{"draw", "open", "named", "destroy", "forget", "rotate"}

// KeyUses counts the uses of keys by reason and kind. The zero value counts from 0.
type KeyUses struct {
	counts [16][keyOps]atomic.Uint64
}

var useIndex = func() map[store.KeyUse]int {
	out := map[store.KeyUse]int{}
	for i, use := range store.KeyUses() {
		out[use] = i
	}
	return out
}()

// Count counts one use.
func (u *KeyUses) Count(use store.KeyUse, op KeyOp) { u.counts[useIndex[use]][op].Add(1) }
