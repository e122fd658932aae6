package sealed

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Everything gives every record that stands in a frame of the tenant and opens,
// versions and views alike, in order of ingest: what whoever has rows and keys
// can read. It is for checks, not for serving. The permit must cover Process of
// CallRecord.
func (s *Store) Everything(ctx context.Context, permit policy.Permit, yield func(record.Record) error) error {
	t, err := s.enter(permit, policy.Process)
	if err != nil {
		return err
	}
	defer s.working.Done()
	return s.eachFrame(t.raw, 0, math.MaxInt64, func(f *frame) error {
		for i := range f.entries {
			e, err := f.entry(uint16(i))
			if err == nil && !e.kind.gone() {
				err = yield(e.record)
			}
			if err != nil {
				return err
			}
		}
		return ctx.Err()
	})
}

// Recount computes a tenant's rollups of all days from its calls' current
// views, without looking at what the counters say of those, and adds what is
// settled: what Rollups must agree with. It
// opens every frame, so it is for checks, not for serving. The permit must
// cover Process of CallRecord.
func (s *Store) Recount(ctx context.Context, permit policy.Permit) ([]store.Rollup, error) {
	t, err := s.enter(permit, policy.Process)
	if err != nil {
		return nil, err
	}
	defer s.working.Done()
	sums := map[cellKey]counts{}
	err = s.scan(kindTime, keyOf(nil, kindTime, t.raw), func(key, value []byte) error {
		if len(key) != 17+suffixSize {
			return s.corrupt(kindTime, nil)
		}
		listed := unorderedTime(binary.BigEndian.Uint64(key[17:]))
		c, err := s.callListed(t.raw, key[17:], value)
		if errors.Is(err, errNoEntry) {
			return nil
		}
		if err != nil {
			return err
		}
		a := record.ContributionOf(&c.Record, time.UnixMicro(listed))
		if a.Calls > 0 {
			k := cellKey{a.Day, a.Direction, a.Country}
			sums[k] = sums[k].plus(counts{a.Calls, a.Answered, a.Billsec})
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	err = s.scan(kindRollup, keyOf(nil, kindRollup, t.raw), func(key, value []byte) error {
		k, c, err := s.openCell(t.raw, key, value)
		if sum := sums[k].plus(c.settled); sum != (counts{}) {
			sums[k] = sum
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]store.Rollup, 0, len(sums))
	for k, c := range sums {
		out = append(out, rollupOf(k, c))
	}
	sortRollups(out)
	return out, nil
}
