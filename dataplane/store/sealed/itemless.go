package sealed

import "sync/atomic"

// itemless remembers that no call of a tenant has items, which every point read asks.
// Looking costs a search of every table that a key could be in, because filters know
// whole keys only: as the data grows, that was most of what a point read lost.
type itemless struct {
	puts  atomic.Uint64 // counted when an item stands in the engine and before anybody is told
	since atomic.Uint64 // puts, plus 1, when a search that found none began; 0: it must be searched
}

// put is called behind every commit that may have put an item.
func (i *itemless) put() { i.puts.Add(1) }

// noCallHasItems reports whether an item of any call is to be looked for at all. An
// engine that others write to is always asked.
func (t *tenant) noCallHasItems() (bool, error) {
	if t.s.engine.Shared() {
		return false, nil
	}
	puts := t.itemless.puts.Load()
	if t.itemless.since.Load() == puts+1 {
		return true, nil
	}
	prefix := keyOf(nil, kindItemCall, t.raw)
	it, err := t.s.engine.Rows(prefix, after(prefix))
	if err != nil {
		return false, t.s.readError(kindItem, err)
	}
	defer it.Close()
	if it.First() {
		return false, nil
	}
	if err := it.Error(); err != nil {
		return false, t.s.readError(kindItem, err)
	}
	t.itemless.since.Store(puts + 1)
	return true, nil
}

// itemPut is itemless.put of a tenant that may not be in use.
func (s *Store) itemPut(raw tenantRaw) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tenants {
		if t.raw == raw {
			t.itemless.put()
		}
	}
}
