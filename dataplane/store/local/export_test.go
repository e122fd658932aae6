package local

import (
	"encoding/binary"

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
