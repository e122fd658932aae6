package keytable

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// maxName bounds a name, as dataplane/local does.
const maxName = 256

var (
	errClosed = policy.Errorf(policy.NotReady, "the key table is closed; the process is stopping")
	errStale  = errors.New("the shelf has a newer generation")
)

// holding gives the sheet that is held, or why none is.
func (t *Table) holding() (*sheet, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, errClosed
	}
	t.expire()
	if t.sheet == nil {
		return nil, &policy.Error{Reason: policy.NotReady, Cause: t.away,
			Message: fmt.Sprintf("the key service has been away for %s; keys are no longer held; restore it", policy.KeysFor)}
	}
	return t.sheet, nil
}

// with runs f in a transaction by the newest sheet.
func (t *Table) with(run func(func(shelf.Tx) error) error, f func(shelf.Tx, *sheet) error) error {
	for range 3 {
		s, err := t.holding()
		if err != nil {
			return err
		}
		err = run(func(tx shelf.Tx) error {
			current, err := tx.Get(bucketState, stateCurrent)
			if err != nil {
				return err
			}
			if numberIn(current) != s.generation {
				return errStale
			}
			return f(tx, s)
		})
		if !errors.Is(err, errStale) {
			return err
		}
		if err := t.reload(context.Background()); err != nil {
			return &policy.Error{Reason: policy.NotReady, Cause: err, Message: "a new key generation began and its key cannot be had; see the node's log"}
		}
	}
	return policy.Errorf(policy.NotReady, "key generations change too fast; try again")
}

// Draw implements store.Keys. One call in 256 writes a block; the rest cost a copy.
func (t *Table) Draw() (store.KeyID, [32]byte, error) { return t.draw(store.UseNode) }

func (t *Table) draw(use store.KeyUse) (store.KeyID, [32]byte, error) {
	t.uses.Count(use, local.OpDraw)
	for {
		if _, err := t.holding(); err != nil {
			return store.KeyID{}, [32]byte{}, err
		}
		t.mu.Lock()
		if len(t.ready) > 0 {
			d := t.ready[0]
			clear(t.ready[0].key[:])
			t.ready = t.ready[1:]
			t.mu.Unlock()
			t.cache.Add(d.id, d.key, t.o.Elapsed())
			return d.id, d.key, nil
		}
		t.mu.Unlock()
		if err := t.fill(); err != nil {
			return store.KeyID{}, [32]byte{}, fmt.Errorf("extend the key table: %w", err)
		}
	}
}

// fill makes a block of keys durable. A block whose commit is not known to have
// happened is used by nobody.
func (t *Table) fill() error {
	t.drawing.Lock()
	defer t.drawing.Unlock()
	t.mu.Lock()
	filled := len(t.ready) > 0 // by who had the lock before
	t.mu.Unlock()
	if filled {
		return nil
	}
	var ready []drawn
	err := t.with(t.o.Shelf.Update, func(tx shelf.Tx, s *sheet) error {
		ready = ready[:0]
		var b birthRow
		if ok, err := readJSON(tx, bucketBirths, number(s.generation), &b); err != nil || !ok {
			return errors.Join(err, errChanged)
		}
		w, err := t.binderOf(s, s.generation, b.Version)
		if err != nil {
			return err
		}
		block := make([]byte, 0, blockBytes)
		for i := range uint64(blockSize) {
			key, err := t.randomKey()
			if err != nil {
				return err
			}
			id := store.KeyID{Generation: s.generation, Index: b.Blocks*blockSize + i}
			entry, err := w.seal(key, number(id.Generation, id.Index))
			if err != nil {
				return err
			}
			block, ready = append(block, entry...), append(ready, drawn{id, [32]byte(key)})
			clear(key)
		}
		at := b.Blocks
		b.Blocks++
		return errors.Join(tx.Put(bucketBlocks, number(s.generation, b.Version, at), block), putJSON(tx, bucketBirths, number(s.generation), b))
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.ready = ready
	t.mu.Unlock()
	return nil
}

// binderOf opens the table of a birth; the shelf says in which version it is.
func (t *Table) binderOf(s *sheet, birth, version uint64) (binder, error) {
	key, ok := s.table(birth)
	if !ok || key.Version != version {
		return binder{}, fmt.Errorf("the sheet of generation %d does not know version %d of the keys of generation %d: %w", s.generation, version, birth, errChanged)
	}
	return newBinder(key.Key, t.o.Region, "chunk", t.o.Rand)
}

// Open implements store.Keys.
func (t *Table) Open(id store.KeyID) ([32]byte, error) { return t.open(id, store.UseNode) }

func (t *Table) open(id store.KeyID, use store.KeyUse) (key [32]byte, err error) {
	t.uses.Count(use, local.OpOpen)
	if _, err := t.holding(); err != nil {
		return key, err
	}
	if key, ok := t.cache.Get(id, t.o.Elapsed()); ok {
		return key, nil
	}
	asked := t.o.Elapsed()
	err = t.with(t.o.Shelf.View, func(tx shelf.Tx, s *sheet) error {
		var b birthRow
		ok, err := readJSON(tx, bucketBirths, number(id.Generation), &b)
		if err != nil {
			return err
		}
		if !ok {
			return noBirth(id, s)
		}
		w, err := t.binderOf(s, id.Generation, b.Version)
		if err != nil {
			return err
		}
		block, err := tx.Get(bucketBlocks, number(id.Generation, b.Version, id.Index/blockSize))
		if err != nil {
			return err
		}
		entry, err := entryOf(block, id)
		if err != nil {
			return err
		}
		key, err = w.openKey(entry, number(id.Generation, id.Index))
		return err
	})
	if err != nil {
		return [32]byte{}, err
	}
	t.cache.Add(id, key, asked)
	return key, nil
}

// noBirth says of keys of which no table is left what that means.
func noBirth(id store.KeyID, s *sheet) error {
	if id.Generation >= 1 && id.Generation <= s.generation {
		return policy.Errorf(policy.Destroyed, "the keys of generation %d were destroyed; what they sealed is gone for good", id.Generation)
	}
	return policy.Errorf(policy.Internal, "key generation %d is not in this key table: is it the table of these records?", id.Generation)
}

func entryOf(block []byte, id store.KeyID) ([]byte, error) {
	if len(block) != blockBytes {
		return nil, policy.Errorf(policy.Internal, "key %d of generation %d is not in the key table: is it the table of these records?", id.Index, id.Generation)
	}
	at := int(id.Index%blockSize) * entrySize
	return block[at : at+entrySize], nil
}

// Named implements store.Keys. A new name costs one commit.
func (t *Table) Named(name string) ([32]byte, error) { return t.namedFor(name, store.UseNode) }

func (t *Table) namedFor(name string, use store.KeyUse) (key [32]byte, err error) {
	t.uses.Count(use, local.OpNamed)
	if name == "" || len(name) > maxName {
		return key, policy.Errorf(policy.Internal, "a named key needs a name of 1 to %d bytes", maxName)
	}
	if _, err := t.holding(); err != nil {
		return key, err
	}
	if key, ok := t.named.Get(name, t.o.Elapsed()); ok {
		return key, nil
	}
	asked := t.o.Elapsed()
	var found bool
	read := func(tx shelf.Tx, s *sheet) error {
		w, at, err := t.nameAt(s, name)
		if err != nil {
			return err
		}
		sealed, err := tx.Get(bucketNames, at)
		if found = sealed != nil; err != nil || !found {
			return err
		}
		key, err = w.openKey(sealed, at[8:])
		return err
	}
	err = t.with(t.o.Shelf.View, read)
	if err == nil && !found {
		err = t.with(t.o.Shelf.Update, func(tx shelf.Tx, s *sheet) error {
			if err := read(tx, s); err != nil || found {
				return err // another node was first
			}
			w, at, err := t.nameAt(s, name)
			if err != nil {
				return err
			}
			fresh, err := t.randomKey()
			if err != nil {
				return err
			}
			key = [32]byte(fresh)
			sealed, err := w.seal(fresh, at[8:])
			if err != nil {
				return err
			}
			return tx.Put(bucketNames, at, sealed)
		})
	}
	if err != nil {
		return [32]byte{}, err
	}
	t.named.Add(name, key, asked)
	return key, nil
}

// nameAt is where a name stands in a generation, and what wraps it there.
func (t *Table) nameAt(s *sheet, name string) (binder, []byte, error) {
	mac := hmac.New(sha256.New, s.Tag)
	mac.Write([]byte(name))
	w, err := newBinder(s.Names, t.o.Region, "name", t.o.Rand)
	return w, append(number(s.generation), mac.Sum(nil)...), err
}

// Destroy implements store.Keys. It needs no key, so that erasure waits for no
// key service.
func (t *Table) Destroy(ids []store.KeyID) error { return t.destroy(ids, store.UseErase) }

func (t *Table) destroy(ids []store.KeyID, use store.KeyUse) error {
	for _, id := range ids {
		t.uses.Count(use, local.OpDestroy)
		t.cache.Remove(id)
	}
	if len(ids) == 0 {
		return nil
	}
	return t.o.Shelf.Update(func(tx shelf.Tx) error {
		current, err := tx.Get(bucketState, stateCurrent)
		if err != nil {
			return err
		}
		byBirth := map[uint64][]store.KeyID{}
		for _, id := range ids {
			if id.Generation == 0 || id.Generation > numberIn(current) {
				return noBirth(id, &sheet{generation: numberIn(current)})
			}
			byBirth[id.Generation] = append(byBirth[id.Generation], id)
		}
		for birth, ids := range byBirth {
			if err := markIn(tx, birth, ids); err != nil {
				return fmt.Errorf("destroy keys: %w", err)
			}
		}
		return nil
	})
}

// markIn overwrites the places of keys of one birth, in what is read and in what
// a rotation is writing.
func markIn(tx shelf.Tx, birth uint64, ids []store.KeyID) error {
	var b birthRow
	if ok, err := readJSON(tx, bucketBirths, number(birth), &b); err != nil || !ok {
		return err // with its whole table
	}
	versions := []uint64{b.Version}
	b.Dirty = true
	if b.Pending != 0 {
		versions, b.Redirty = append(versions, b.Pending), true
	}
	blocks := map[string][]byte{}
	for _, id := range ids {
		if id.Index >= b.Blocks*blockSize {
			return policy.Errorf(policy.Internal, "key %d of generation %d is not in the table, so it cannot be destroyed", id.Index, id.Generation)
		}
		for i, version := range versions {
			at := number(birth, version, id.Index/blockSize)
			block := blocks[string(at)]
			if block == nil {
				found, err := tx.Get(bucketBlocks, at)
				if err != nil {
					return err
				}
				if found == nil && i > 0 {
					continue // not carried yet
				}
				block = bytes.Clone(found)
				blocks[string(at)] = block
			}
			entry, err := entryOf(block, id)
			if err != nil {
				return err
			}
			copy(entry, destroyedMark)
		}
	}
	for at, block := range blocks {
		if err := tx.Put(bucketBlocks, []byte(at), block); err != nil {
			return err
		}
	}
	return putJSON(tx, bucketBirths, number(birth), b)
}

// Forget implements store.Keys.
func (t *Table) Forget(names []string) (int, error) { return t.forget(names, store.UseErase) }

func (t *Table) forget(names []string, use store.KeyUse) (n int, err error) {
	t.uses.Count(use, local.OpForget)
	for _, name := range names {
		t.named.Remove(name)
	}
	err = t.with(t.o.Shelf.Update, func(tx shelf.Tx, s *sheet) error {
		n = 0
		for _, name := range names {
			_, at, err := t.nameAt(s, name)
			if err != nil {
				return err
			}
			found, err := tx.Get(bucketNames, at)
			if err != nil {
				return err
			}
			if found != nil {
				n++
				if err := tx.Delete(bucketNames, at); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return n, err
}

// Healthy implements store.Keys.
func (t *Table) Healthy() error {
	if _, err := t.holding(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.away
}

// view is the table for one reason.
type view struct {
	*Table
	use store.KeyUse
}

// For implements store.Keys.
func (t *Table) For(use store.KeyUse) store.Keys {
	if v, ok := t.views[use]; ok {
		return v
	}
	return t.views[store.UseNode] // the list is closed
}

func (v *view) Draw() (store.KeyID, [32]byte, error)  { return v.draw(v.use) }
func (v *view) Open(id store.KeyID) ([32]byte, error) { return v.open(id, v.use) }
func (v *view) Named(name string) ([32]byte, error)   { return v.namedFor(name, v.use) }
func (v *view) Destroy(ids []store.KeyID) error       { return v.destroy(ids, v.use) }
func (v *view) Forget(names []string) (int, error)    { return v.forget(names, v.use) }
func (v *view) String() string                        { return v.Table.String() }
func (v *view) GoString() string                      { return v.Table.String() }

func viewsOf(t *Table) map[store.KeyUse]*view {
	out := map[store.KeyUse]*view{}
	for _, use := range store.KeyUses() {
		out[use] = &view{t, use}
	}
	return out
}
