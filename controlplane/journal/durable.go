package journal

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

var errClosed = errors.New("the journal is closed")

// durable knows up to which record the journal is synced, and wakes who waits for
// more.
type durable struct {
	synced atomic.Uint64
	wait   *sync.Cond // guards both, for those who wait
	ended  error      // a sync failed, or the journal is closed: there will be no more
}

func newDurable() durable { return durable{wait: sync.NewCond(new(sync.Mutex))} }

// Synced is the number up to which a crash removes nothing any more.
func (d *durable) Synced() uint64 { return d.synced.Load() }

// Await returns when the journal is synced up to a record; an error when it never
// will be.
func (d *durable) Await(index uint64) error {
	if d.Synced() >= index {
		return nil
	}
	d.wait.L.Lock()
	defer d.wait.L.Unlock()
	for d.Synced() < index {
		if d.ended != nil {
			return d.ended
		}
		d.wait.Wait()
	}
	return nil
}

func (d *durable) reach(index uint64) {
	d.wait.L.Lock()
	defer d.wait.L.Unlock()
	d.synced.Store(max(index, d.Synced()))
	d.wait.Broadcast()
}

// retreat notes that nothing is behind index any more.
func (d *durable) retreat(index uint64) { d.synced.Store(min(index, d.Synced())) }

func (d *durable) end(err error) {
	d.wait.L.Lock()
	defer d.wait.L.Unlock()
	if d.ended == nil {
		d.ended = err
	}
	d.wait.Broadcast()
}

// why is the reason for which there will be no more; nil: there is none.
func (d *durable) why() error {
	d.wait.L.Lock()
	defer d.wait.L.Unlock()
	return d.ended
}

// Sync returns when everything that was written before it is synced. Whoever comes
// while a sync is under way shares the next one. After one that failed all fail:
// the kernel reports a write that it lost once, and the next sync would say that
// all is well.
func (j *Journal) Sync() error {
	want := j.Last()
	j.flush.Lock()
	defer j.flush.Unlock()
	if j.Synced() >= want {
		return nil
	}
	if err := j.why(); err != nil {
		return err
	}
	j.mu.RLock()
	s, last := j.tail(), j.last() // files before the tail were synced when it was begun
	j.mu.RUnlock()
	err := j.syncFile(s.file)
	if err != nil {
		err = fmt.Errorf("sync the journal: %w", err)
	} else {
		err = j.mark.raise(last)
	}
	if err != nil {
		j.end(err)
		return err
	}
	j.reach(last)
	return nil
}
