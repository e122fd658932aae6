package sealed

import (
	"encoding/binary"
	"fmt"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/failpoint"
)

// Keys are destroyed only when nothing durable is sealed under them any more.
// The commit that makes that so notes them in rows of its own; if the process
// ends before they are destroyed, the next one finds the rows.

func destroyKey(t tenantRaw, id store.KeyID) []byte {
	b := binary.BigEndian.AppendUint64(keyOf(nil, kindDestroy, t), id.Generation)
	return binary.BigEndian.AppendUint64(b, id.Index)
}

// finishDestroying destroys what earlier commits left to be destroyed: of one
// tenant, or of all. What noted them may still be on its way to the disk, so
// that is waited for first.
func (s *Store) finishDestroying(t *tenant) error {
	prefix := []byte{byte(kindDestroy)}
	if t != nil {
		prefix = keyOf(nil, kindDestroy, t.raw)
	}
	var ids []store.KeyID
	b := s.engine.NewBatch()
	err := s.scan(kindDestroy, prefix, func(key, _ []byte) error {
		if len(key) != 17+16 {
			return s.corrupt(kindDestroy, nil)
		}
		ids = append(ids, store.KeyID{Generation: binary.BigEndian.Uint64(key[17:]), Index: binary.BigEndian.Uint64(key[25:])})
		return b.Delete(key)
	})
	if err != nil || len(ids) == 0 {
		return err
	}
	if err := s.engine.Settle(t == nil); err != nil {
		return s.fail(err)
	}
	failpoint.At("destroy/keys")
	if err := s.destroyKeys(ids); err != nil {
		return err
	}
	failpoint.At("destroy/noted")
	return s.forgetTasks(b)
}

func keyIDs(ids ...store.KeyID) []store.KeyID { return ids }

// destroyKeys destroys keys and what is kept of them in memory.
func (s *Store) destroyKeys(ids []store.KeyID) error {
	if len(ids) == 0 {
		return nil
	}
	if err := s.keys.Destroy(ids); err != nil {
		return fmt.Errorf("destroy keys: %w", err)
	}
	s.destroyed.Add(1)
	for _, id := range ids {
		s.aeads.Remove(id)
	}
	return nil
}

// forgetTasks deletes rows of keys that are destroyed. It needs no sync: a row
// that comes back is carried out again, which is harmless.
func (s *Store) forgetTasks(b Batch) error {
	if err := s.engine.Write(b); err != nil {
		return s.fail(err)
	}
	return b.Close()
}
