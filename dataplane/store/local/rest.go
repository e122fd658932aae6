package local

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// While a store is written to, pebble keeps the log files that it has done with, up to
// four of some 4 MB, to write into again: a sync of a file that has its blocks is
// cheaper (ADR 0065). A store that nobody writes to has no use for them. So after some
// seconds without a change what its logs hold is flushed into tables, and the logs go,
// all but the one that is written to next, which is new (ADR 0088).
const (
	restTick  = time.Second
	restAfter = 3       // ticks without a change
	restFrom  = 8 << 20 // bytes of logs: fewer are not worth a table of their own
)

// rest lets a store's logs go. It belongs to one engine.
type rest struct {
	changes atomic.Uint64 // of rows, counted
	fresh   atomic.Bool   // a log that is begun now is a new file
	mu      sync.Mutex    // held while logs are removed, and while they are copied

	stop, done chan struct{} // nil: it was not begun
}

// begin starts to watch.
func (e *engine) beginRest() {
	e.rest.stop, e.rest.done = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(e.rest.done)
		tick := time.NewTicker(restTick)
		defer tick.Stop()
		seen, quiet := uint64(0), 0
		for {
			select {
			case <-e.rest.stop:
				return
			case <-tick.C:
			}
			if now := e.rest.changes.Load(); now != seen {
				seen, quiet = now, 0
				continue
			}
			if quiet++; quiet != restAfter {
				continue
			}
			if err := e.layDown(); err != nil {
				e.log.Warn("the logs of a store that rests stay; they take room and do no harm", "error", err)
			}
		}
	}()
}

// endRest waits until nothing is removed any more. The engine is closed next.
func (e *engine) endRest() {
	if e.rest.stop != nil {
		close(e.rest.stop)
		<-e.rest.done
	}
}

// layDown flushes what the logs hold and removes them. A log goes only when a flush
// that was begun after the log is done: then the list of tables says, durably, that it
// is not needed. When pebble asks for one of them to write into it again, it gets a new
// one (diskFS).
func (e *engine) layDown() error {
	e.rest.mu.Lock()
	defer e.rest.mu.Unlock()
	if s := e.store.Load(); s != nil && s.Failed() != nil || e.room(time.Now()) != nil {
		return nil
	}
	logs, size, err := e.logs()
	if err != nil || size < restFrom {
		return err
	}
	e.rest.fresh.Store(true)
	flushed, err := e.db.AsyncFlush() // and begins another log
	e.rest.fresh.Store(false)
	if err != nil {
		return err
	}
	select {
	case <-flushed:
	case <-e.rest.stop:
		return nil
	}
	for _, path := range logs {
		if err := e.fs.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) { // it has another name by now
			return err
		}
	}
	return nil
}

// logs are the log files, and how long they are together.
func (e *engine) logs() (paths []string, size int64, err error) {
	if paths, err = filepath.Glob(filepath.Join(e.dir, "*.log")); err != nil {
		return nil, 0, err
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		size += info.Size()
	}
	return paths, size, nil
}

// logAgain opens a log in the place of one that is done with: that file again, or a new
// one when it has gone, or is to go.
func (f diskFS) logAgain(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if f.fresh.Load() {
		return f.FS.Create(name, category)
	}
	file, err := f.FS.ReuseForWrite(old, name, category)
	if errors.Is(err, os.ErrNotExist) {
		return f.FS.Create(name, category)
	}
	return file, err
}
