package local

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/domicile-io/domicile/dataplane/store/sealed"
	"github.com/domicile-io/domicile/policy"
)

// A store that moves to a database is followed: the keys of rows that are changed
// are noted, and every so often whoever follows is given what was noted together
// with the rows as they were at that moment. Changes are noted and applied under
// one lock, so that none falls between two moments.

// Changes are rows that changed between two moments.
type Changes struct {
	Keys   map[string]struct{}
	Ranges []Range // of keys that were deleted at once, whatever they were
	Lost   bool    // there were more than are noted: any row may have changed
}

// Range is of the keys from Lower on, Upper not included.
type Range struct{ Lower, Upper []byte }

// Len is how many keys and ranges there are.
func (c *Changes) Len() int { return len(c.Keys) + len(c.Ranges) }

// Add puts other changes to these.
func (c *Changes) Add(o Changes) {
	if c.Keys == nil {
		c.Keys = map[string]struct{}{}
	}
	for k := range o.Keys {
		c.Keys[k] = struct{}{}
	}
	c.Ranges, c.Lost = append(c.Ranges, o.Ranges...), c.Lost || o.Lost
}

// follower notes changes. The zero value notes none.
type follower struct {
	gate  sync.RWMutex // held for reading while a change is noted and applied
	limit int          // 0: nobody follows
	shut  error        // why nothing may be changed; nil: it may

	mu      sync.Mutex
	noted   Changes
	press   int           // from so many noted changes on, whoever wants to write waits; 0: nobody does
	drained chan struct{} // closed when they are taken
}

// pressFor bounds how long a turn to write is held up by Press.
const pressFor = 500 * time.Millisecond

// wait holds up whoever is about to write while more is noted than Press allows.
func (f *follower) wait() {
	f.mu.Lock()
	drained := f.drained
	hold := f.press > 0 && f.noted.Len() >= f.press
	f.mu.Unlock()
	if !hold {
		return
	}
	t := time.NewTimer(pressFor)
	defer t.Stop()
	select {
	case <-drained:
	case <-t.C:
	}
}

func (f *follower) refusal() error {
	f.gate.RLock()
	defer f.gate.RUnlock()
	return f.shut
}

// change notes what a batch changes and applies it.
func (f *follower) change(b *pebble.Batch, apply func(*pebble.Batch) error) error {
	f.gate.RLock()
	defer f.gate.RUnlock()
	if f.shut != nil {
		return f.shut
	}
	if f.limit > 0 {
		f.note(b)
	}
	return apply(b)
}

// note is called before the change: what is noted and not applied after all costs
// a look.
func (f *follower) note(b *pebble.Batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for r := b.Reader(); !f.noted.Lost; {
		kind, key, value, ok, err := r.Next()
		switch {
		case err != nil:
			f.lose()
		case !ok:
			return
		case kind == pebble.InternalKeyKindRangeDelete:
			f.noted.Ranges = append(f.noted.Ranges, Range{append([]byte(nil), key...), append([]byte(nil), value...)})
		case kind == pebble.InternalKeyKindSet || kind == pebble.InternalKeyKindDelete:
			f.noted.Keys[string(key)] = struct{}{}
		default:
			f.lose() // a kind that this package does not write
		}
		if f.noted.Len() > f.limit {
			f.lose()
		}
	}
}

func (f *follower) lose() { f.noted = Changes{Lost: true, Keys: map[string]struct{}{}} }

// Follow begins to note changes, at most limit keys at a time. It ends with
// Unfollow.
func (s *Store) Follow(limit int) error {
	f := &s.engine.follow
	f.gate.Lock()
	defer f.gate.Unlock()
	if f.limit > 0 {
		return errors.New("the record store is followed already")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limit, f.noted, f.press, f.drained = max(limit, 1), Changes{Keys: map[string]struct{}{}}, 0, make(chan struct{})
	return nil
}

// Press slows writers down while n or more changes are noted: each turn to write
// begins when they were taken, at most half a second later. 0 lets everybody go.
func (s *Store) Press(n int) {
	f := &s.engine.follow
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.press = n; f.drained != nil {
		close(f.drained)
		f.drained = make(chan struct{})
	}
}

// Unfollow ends Follow and Shut.
func (s *Store) Unfollow() {
	f := &s.engine.follow
	f.gate.Lock()
	defer f.gate.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limit, f.noted, f.shut, f.press = 0, Changes{}, nil, 0
	if f.drained != nil {
		close(f.drained)
		f.drained = nil
	}
}

// Changed is how many changes are noted that no moment has given out yet.
func (s *Store) Changed() int {
	f := &s.engine.follow
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.noted.Len()
}

// Shut lets nothing be changed until it is called with nil, or Unfollow is: whoever
// tries is told why, and nothing of theirs is there. Changes that had begun are
// done when Shut returns.
func (s *Store) Shut(why *policy.Error) {
	f := &s.engine.follow
	f.gate.Lock()
	defer f.gate.Unlock()
	if f.shut = nil; why != nil {
		f.shut = why
	}
}

// Size is about how many bytes there are.
func (s *Store) Size() uint64 { return s.engine.Size() }

// Moment is the store's rows as they were at one moment. It is to be closed soon:
// what was deleted since is kept for it.
type Moment struct{ at *pebble.Snapshot }

// Moment gives the changes since the moment before it, or since Follow, and all
// rows as they are now.
func (s *Store) Moment() (Changes, *Moment, error) {
	if err := s.Healthy(); err != nil {
		return Changes{}, nil, err
	}
	f := &s.engine.follow
	f.gate.Lock()
	defer f.gate.Unlock()
	if f.limit == 0 {
		return Changes{}, nil, errors.New("the record store is not followed")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.noted
	f.noted = Changes{Keys: map[string]struct{}{}}
	close(f.drained)
	f.drained = make(chan struct{})
	return c, &Moment{s.engine.db.NewSnapshot()}, nil
}

// Get reads one row; nil when there is none.
func (m *Moment) Get(key []byte) ([]byte, error) {
	value, closer, err := m.at.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the record store: %w", err)
	}
	out := append(make([]byte, 0, len(value)+1), value...)
	return out, closer.Close()
}

// Rows gives the rows in [lower, upper).
func (m *Moment) Rows(lower, upper []byte) (sealed.Rows, error) {
	it, err := m.at.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, fmt.Errorf("read the record store: %w", err)
	}
	return it, nil
}

// Close gives the moment up.
func (m *Moment) Close() error { return m.at.Close() }
