package local

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/domicile-io/domicile/dataplane/store/sealed"
)

// engine is pebble, as sealed.Engine wants it. It is of one process, so that
// turns are free: what takes them holds locks of its own.
type engine struct {
	dir       string
	db        *pebble.DB
	key       [32]byte // of the manifest's HMAC
	log       *slog.Logger
	onCorrupt func(string)
	store     atomic.Pointer[sealed.Store] // that a fatal error stops
	follow    follower
	fs        vfs.FS
	room      func(time.Time) error
	rest      rest
}

var _ sealed.Engine = (*engine)(nil)

// Get implements sealed.Engine. The value is a copy.
func (e *engine) Get(key []byte) ([]byte, error) {
	value, closer, err := e.db.Get(key)
	if err == pebble.ErrNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, len(value)+1), value...)
	return out, closer.Close()
}

// GetAll implements sealed.Engine.
func (e *engine) GetAll(keys [][]byte) (values [][]byte, err error) {
	values = make([][]byte, len(keys))
	for i, key := range keys {
		if values[i], err = e.Get(key); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// Rows implements sealed.Engine.
func (e *engine) Rows(lower, upper []byte) (sealed.Rows, error) {
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, err
	}
	return it, nil
}

// NewBatch implements sealed.Engine.
func (e *engine) NewBatch() sealed.Batch {
	return batch{e.db.NewBatch(pebble.WithMaxRetainedSizeBytes(keptBatch))}
}

// keptBatch is how long a batch may be that is kept to be used again: a group of
// the usual size needs no memory of its own.
const keptBatch = 4 << 20

// Begin implements sealed.Engine.
func (e *engine) Begin(_ [16]byte, kind sealed.TurnKind) (sealed.Turn, error) {
	if kind == sealed.WriteTurn {
		e.follow.wait()
	}
	if err := e.follow.refusal(); err != nil {
		return nil, err
	}
	return turn{e}, nil
}

// Look implements sealed.Engine.
func (e *engine) Look([16]byte) (sealed.Standing, error) { return sealed.Standing{}, nil }

// Write implements sealed.Engine.
func (e *engine) Write(b sealed.Batch) error {
	e.rest.changes.Add(1)
	return e.follow.change(b.(batch).Batch, func(b *pebble.Batch) error { return e.db.Apply(b, pebble.NoSync) })
}

// Settle implements sealed.Engine. What was read from the log at the start is
// durable when it stands in tables; what was written since, when the log is synced.
func (e *engine) Settle(started bool) error {
	if started && e.store.Load() == nil {
		return e.beginning()
	}
	if started {
		return e.db.Flush()
	}
	return e.db.LogData(nil, pebble.Sync)
}

// Writable implements sealed.Engine.
func (e *engine) Writable() error { return e.db.LogData(nil, pebble.Sync) }

// Compact implements sealed.Engine: it rewrites the tables that held deleted
// rows, so that their bytes go with their files.
func (e *engine) Compact(ctx context.Context, prefixes [][]byte) error {
	for _, prefix := range prefixes {
		if err := e.db.Compact(ctx, prefix, after(prefix), false); err != nil {
			return err
		}
	}
	return nil
}

// Shared implements sealed.Engine.
func (e *engine) Shared() bool { return false }

// Damaged implements sealed.Engine.
func (e *engine) Damaged(err error) bool { return errors.Is(err, pebble.ErrCorruption) }

// Size implements sealed.Engine.
func (e *engine) Size() uint64 { return e.db.Metrics().DiskSpaceUsage() }

// Healthy implements sealed.Engine.
func (e *engine) Healthy() error { return nil }

// Close implements sealed.Engine.
func (e *engine) Close() error {
	e.endRest()
	if s := e.store.Load(); s != nil && s.Failed() != nil {
		return e.db.Close() // says again what failed
	}
	// With the log empty, every acknowledged byte is in a checksummed table.
	if err := errors.Join(e.db.Flush(), e.db.Close()); err != nil {
		return err
	}
	return e.stampClosed()
}

// damaged reports a table that pebble cannot read.
func (e *engine) damaged() {
	if e.onCorrupt != nil {
		e.onCorrupt("table")
	}
	e.log.Error("stored bytes are not what was written", "kind", "table")
}

// stop lets the store acknowledge nothing more.
func (e *engine) stop(cause error) {
	if s := e.store.Load(); s != nil {
		s.Fail(cause)
	}
}

// turn is a turn of an engine that nobody else uses.
type turn struct{ e *engine }

// Standing implements sealed.Turn.
func (turn) Standing() sealed.Standing { return sealed.Standing{} }

// Commit implements sealed.Turn.
func (t turn) Commit(b sealed.Batch, _ sealed.Standing) error {
	t.e.rest.changes.Add(1)
	return t.e.follow.change(b.(batch).Batch, func(b *pebble.Batch) error { return t.e.db.ApplyNoSyncWait(b, pebble.Sync) })
}

// End implements sealed.Turn.
func (turn) End() {}

// batch is a pebble batch without what is never asked for.
type batch struct{ *pebble.Batch }

func (b batch) Set(key, value []byte) error           { return b.Batch.Set(key, value, nil) }
func (b batch) Delete(key []byte) error               { return b.Batch.Delete(key, nil) }
func (b batch) DeleteRange(lower, upper []byte) error { return b.Batch.DeleteRange(lower, upper, nil) }
func (b batch) Count() int                            { return int(b.Batch.Count()) }
func (b batch) Wait() error                           { return b.SyncWait() }

// after is the first key that does not begin with prefix.
func after(prefix []byte) []byte {
	out := append([]byte(nil), prefix...)
	for i := len(out) - 1; i >= 0; i-- {
		if out[i]++; out[i] != 0 {
			return out[:i+1]
		}
	}
	return nil
}
