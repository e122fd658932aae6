package local

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/policy"
)

// EachStored gives every record that stands in a frame of the tenant and opens,
// versions and views alike: what an adversary with the keys would read.
func (s *Store) EachStored(id policy.TenantID, yield func(record.Record)) error {
	raw, err := rawTenant(id)
	if err != nil {
		return err
	}
	return s.scan(kindFrame, keyOf(nil, kindFrame, raw), func(key, value []byte) error {
		f, err := s.openFrame(raw, int64(binary.BigEndian.Uint64(key[17:])), binary.BigEndian.Uint16(key[25:]), value)
		if err != nil {
			return err
		}
		for i := range f.entries {
			e, err := f.entry(uint16(i))
			if err != nil {
				return err
			}
			if !e.kind.gone() {
				yield(e.record)
			}
		}
		return nil
	})
}

// Damage flips a byte of each frame of the tenant that pick chooses, by its
// place in the order of frames; at counts from the value's end when negative.
func (s *Store) Damage(id policy.TenantID, at int, pick func(n int) bool) error {
	raw, err := rawTenant(id)
	if err != nil {
		return err
	}
	n := 0
	return s.scan(kindFrame, keyOf(nil, kindFrame, raw), func(key, value []byte) error {
		if n++; !pick(n - 1) {
			return nil
		}
		bad := append([]byte(nil), value...)
		bad[(at+len(bad))%len(bad)] ^= 0x10
		s.frames.clear()
		return s.db.Set(append([]byte(nil), key...), bad, pebble.Sync)
	})
}

// Misname writes into the headers of a's frames the key that b's are sealed under,
// and MisnameItems into those of its items.
func (s *Store) Misname(a, b policy.TenantID) error { return s.misname(kindFrame, a, b) }

func (s *Store) MisnameItems(a, b policy.TenantID) error { return s.misname(kindItem, a, b) }

func (s *Store) misname(k kind, a, b policy.TenantID) error {
	rawA, _ := rawTenant(a)
	rawB, _ := rawTenant(b)
	var name []byte
	err := s.scan(k, keyOf(nil, k, rawB), func(_, value []byte) error { name = append(name[:0], value[1:17]...); return nil })
	if err != nil {
		return err
	}
	return s.scan(k, keyOf(nil, k, rawA), func(key, value []byte) error {
		bad := append([]byte(nil), value...)
		copy(bad[1:], name)
		return s.db.Set(append([]byte(nil), key...), bad, pebble.Sync)
	})
}
