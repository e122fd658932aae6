package sealed

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Aged implements store.Store.
func (s *Store) Aged(_ context.Context, permit policy.Permit, before time.Time, size int, token string) ([]string, string, error) {
	t, err := s.enter(permit, policy.Erase)
	if err != nil {
		return nil, "", err
	}
	defer s.working.Done()
	if size, err = pageSize(size); err != nil {
		return nil, "", err
	}
	scope := binary.BigEndian.AppendUint64([]byte("aged\x00"), uint64(before.UnixMicro()))
	last, err := s.openToken(t.raw, scope, token, suffixSize)
	if err != nil {
		return nil, "", err
	}
	m, err := s.merge([][]byte{keyOf(nil, kindTime, t.raw)}, store.Query{End: before}, last)
	if err != nil {
		return nil, "", err
	}
	defer m.close()
	var ids []string
	for {
		suffix, _, ok, err := m.next()
		if err != nil || !ok {
			return ids, "", err
		}
		if len(ids) == size {
			next, err := s.sealToken(t.raw, scope, last)
			return ids, next, err
		}
		last = append(last[:0], suffix...)
		ids = append(ids, s.callID(t.raw, readRef(suffix[8:])))
	}
}
