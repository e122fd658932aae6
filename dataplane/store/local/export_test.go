package local

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	"github.com/cockroachdb/pebble/v2"

	"github.com/domicile-io/domicile/dataplane/store/sealed"
	"github.com/domicile-io/domicile/policy"
)

// The first bytes of keys of frames, covers and items; see package sealed.
const (
	kindFrame = 'k'
	kindCover = 'j'
	kindItem  = 'o'
)

// each gives every row of a kind of a tenant.
func (s *Store) each(kind byte, id policy.TenantID, yield func(key, value []byte) error) error {
	raw, err := hex.DecodeString(string(id[2:]))
	if err != nil {
		return err
	}
	prefix := append([]byte{kind}, raw...)
	it, err := s.engine.Rows(prefix, after(prefix))
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := yield(append([]byte(nil), it.Key()...), append([]byte(nil), value...)); err != nil {
			return err
		}
	}
	return it.Error()
}

// Engine is what keeps the rows.
func (s *Store) Engine() sealed.Engine { return s.engine }

// Damage flips a byte of each frame of the tenant that pick chooses, by its
// place in the order of frames; at counts from the value's end when negative.
func (s *Store) Damage(id policy.TenantID, at int, pick func(n int) bool) error {
	n := 0
	return s.each(kindFrame, id, func(key, value []byte) error {
		if n++; !pick(n - 1) {
			return nil
		}
		value[(at+len(value))%len(value)] ^= 0x10
		s.ForgetFrames()
		return s.engine.db.Set(key, value, pebble.Sync)
	})
}

// Misname writes into the headers of a's frames the key that b's are sealed under,
// and MisnameItems into those of its items.
func (s *Store) Misname(a, b policy.TenantID) error { return s.misname(kindFrame, a, b) }

func (s *Store) MisnameItems(a, b policy.TenantID) error { return s.misname(kindItem, a, b) }

func (s *Store) misname(kind byte, a, b policy.TenantID) error {
	var name []byte
	if err := s.each(kind, b, func(_, value []byte) error { name = value[1:17]; return nil }); err != nil {
		return err
	}
	return s.each(kind, a, func(key, value []byte) error {
		copy(value[1:], name)
		return s.engine.db.Set(key, value, pebble.Sync)
	})
}

// DamageCells flips a byte of each counter of a tenant that pick chooses; what
// is in memory already is not asked again before the next start.
func (s *Store) DamageCells(id policy.TenantID, pick func(n int) bool) error {
	n := 0
	return s.each('r', id, func(key, value []byte) error {
		if n++; !pick(n - 1) {
			return nil
		}
		value[len(value)-1] ^= 0x10
		return s.engine.db.Set(key, value, pebble.Sync)
	})
}

// SetCellsAside does the first half of counting counters anew.
func (s *Store) SetCellsAside(id policy.TenantID, pick func(n int) bool) error {
	n := 0
	return s.each('r', id, func(key, value []byte) error {
		if n++; !pick(n - 1) {
			return nil
		}
		aside := append(append([]byte{'y'}, key[1:17]...), 'r')
		if err := s.engine.db.Set(append(aside, key[17:]...), value, pebble.Sync); err != nil {
			return err
		}
		return s.engine.db.Delete(key, pebble.Sync)
	})
}

// DamageCovers flips a byte of each cover of the tenant that pick chooses.
func (s *Store) DamageCovers(id policy.TenantID, at int, pick func(n int) bool) error {
	n := 0
	return s.each(kindCover, id, func(key, value []byte) error {
		if n++; !pick(n - 1) {
			return nil
		}
		value[(at+len(value))%len(value)] ^= 0x10
		s.ForgetFrames()
		return s.engine.db.Set(key, value, pebble.Sync)
	})
}

// Covered counts the covers of a tenant, and the frames' rows that point to one.
func (s *Store) Covered(id policy.TenantID) (covers, pointers int) {
	_ = s.each(kindCover, id, func(_, _ []byte) error { covers++; return nil })
	_ = s.each(kindFrame, id, func(_, value []byte) error {
		if len(value) == 11 {
			pointers++
		}
		return nil
	})
	return covers, pointers
}

// SetSchema says that the store is of another schema.
func (s *Store) SetSchema(n byte) error {
	return s.engine.db.Set([]byte("m/schema"), []byte{0, 0, 0, n}, pebble.Sync)
}

// CompactAll makes the tables as small as they get, and says how large they are.
func (s *Store) CompactAll() (uint64, error) {
	if err := s.engine.db.Flush(); err != nil {
		return 0, err
	}
	if err := s.engine.db.Compact(context.Background(), []byte{0}, []byte{0xff}, true); err != nil {
		return 0, err
	}
	return s.engine.db.EstimateDiskUsage([]byte{0}, []byte{0xff})
}

// Restless lets a store rest only by LayDown.
func (s *Store) Restless() {
	s.engine.endRest()
	s.engine.rest.stop = nil
}

// LayDown is what a store does that rests.
func (s *Store) LayDown() error { return s.engine.layDown() }

// Churn writes rows of a megabyte that mean nothing to anybody, from the nth on.
func (s *Store) Churn(from, rows int) error {
	for n := from; n < from+rows; n++ {
		value := make([]byte, 1<<20)
		if _, err := rand.Read(value); err != nil {
			return err
		}
		if err := s.engine.db.Set(churnKey(n), value, pebble.Sync); err != nil {
			return err
		}
	}
	return nil
}

// Churned reports whether the nth such row is there.
func (s *Store) Churned(n int) (bool, error) {
	value, err := s.engine.Get(churnKey(n))
	return len(value) == 1<<20, err
}

func churnKey(n int) []byte { return []byte{0xff, byte(n >> 8), byte(n)} }
