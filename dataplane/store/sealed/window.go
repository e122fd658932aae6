package sealed

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Window implements store.Store. It reads the window's frames, which stand in
// order of ingest, and yields each call that was touched once, as its last view
// of the window: what came after to is not in it, so the answer for a closed
// window never changes.
func (s *Store) Window(ctx context.Context, permit policy.Permit, from, to time.Time, yield func(store.Call) error) error {
	t, err := s.enter(permit, policy.Export)
	if err != nil {
		return err
	}
	defer s.working.Done()
	lower, upper := ceilMicro(from, 0), ceilMicro(to, math.MaxInt64)
	if err := t.closeWindow(upper); err != nil {
		return err
	}
	latest := map[ref]ref{} // call → its last view in the window
	order := []ref(nil)     // calls by first appearance
	err = s.eachFrame(t.raw, lower, upper, func(f *frame) error {
		for i := range f.entries {
			e, err := f.head(uint16(i))
			if err != nil {
				return s.corrupt(kindFrame, err)
			}
			if e.kind == versionOnly || e.kind.gone() {
				continue
			}
			if _, seen := latest[e.call]; !seen {
				order = append(order, e.call)
			}
			latest[e.call] = ref{f.chunk, f.number, uint16(i)}
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	for _, call := range order {
		at := latest[call]
		e, err := s.entryAt(t.raw, at, call)
		if errors.Is(err, errNoEntry) {
			continue // erased since the frames were looked through
		}
		if err != nil {
			return err
		}
		c := s.callOf(t.raw, &e)
		if err := yield(c); err != nil {
			return err
		}
	}
	return nil
}

// closeWindow waits for the group being built and makes sure that none to come
// is stamped before upper, unless upper is still to come itself.
func (t *tenant) closeWindow(upper int64) error {
	t.build.Lock()
	defer t.build.Unlock()
	return t.inTurn(func(u *turn) error {
		if err := t.load(); err != nil {
			return err
		}
		if upper <= t.s.now().UnixMicro() {
			t.last = max(t.last, upper-1)
		}
		return u.leave()
	})
}

func within(us, lower, upper int64) bool { return us >= lower && us < upper }

// eachFrame yields the opened frames that were ingested in [lower, upper).
func (s *Store) eachFrame(t tenantRaw, lower, upper int64, yield func(*frame) error) error {
	prefix := keyOf(nil, kindFrame, t)
	start := max(0, lower-chunkAge.Microseconds())
	it, err := s.engine.Rows(frameKey(nil, t, start, 0), after(prefix))
	if err != nil {
		return s.readError(kindFrame, err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		key := it.Key()
		value, err := it.ValueAndErr()
		_, covered := pointerIn(value)
		if err != nil || len(key) != 27 || len(value) < frameHeader && !covered {
			return s.readError(kindFrame, err)
		}
		chunk := int64(binary.BigEndian.Uint64(key[17:]))
		if chunk >= upper {
			break
		}
		if !covered && !within(frameIngest(value), lower, upper) {
			continue
		}
		f, err := s.openCurrent(t, chunk, binary.BigEndian.Uint16(key[25:]), value)
		if isReason(err, policy.NotFound) {
			continue // its chunk went as a whole since the iterator was made
		}
		if err != nil {
			return err
		}
		if !within(f.ingest, lower, upper) {
			continue
		}
		if err := yield(f); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return s.readError(kindFrame, err)
	}
	return nil
}
