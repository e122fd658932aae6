package local

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
)

const (
	exitStart   = 1  // of a process that could not be started, as for other reasons
	exitStorage = 74 // EX_IOERR of sysexits.h: of one whose storage engine gave up
)

// lastWord does not return. The store stops acknowledging, and the process dies, as
// pebble asks. While it is being opened that is a start that fails: where the
// goroutine is the one that opens it, it gets an error, like any other.
func (e *engine) lastWord(cause error) {
	if isOpening() {
		panic(gaveUp{cause})
	}
	code := exitStorage
	if e.store.Load() == nil {
		cause, code = fmt.Errorf("open local store %s: %w", e.dir, vanished(cause)), exitStart
	}
	e.stop(cause)
	e.log.Error("the storage engine cannot go on, and the node ends: look at the disk of the folder", "folder", e.dir, "cause", cause, "code", code)
	os.Exit(code)
}

// gaveUp carries pebble's last word to whoever opens a store.
type gaveUp struct{ cause error }

func vanished(cause error) error {
	return fmt.Errorf("the storage engine could not open its folder: %w; see that the disk is there and mounted, and start again", cause)
}

// isOpening reports whether this goroutine is within openPebble.
func isOpening() bool {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for more := true; more; {
		var f runtime.Frame
		if f, more = frames.Next(); strings.HasSuffix(f.Function, ".openPebble") {
			return true
		}
	}
	return false
}

// openPebble is pebble.Open, of which nothing but an error comes: it panics, or ends
// the process, when the disk vanishes at some moments of its start.
func openPebble(dir string, o *pebble.Options) (db *pebble.DB, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case gaveUp:
			err = vanished(r.cause)
		case error:
			err = vanished(r)
		default:
			err = vanished(errors.New(fmt.Sprint(r)))
		}
	}()
	return pebble.Open(dir, o)
}

// beginning flushes what was read from the logs at the start. A log that cannot be
// ended or begun then makes pebble panic with a mutex that is not locked, which
// nobody can catch: so it is tried first, and what fails in the moment after that
// is the last word.
func (e *engine) beginning() error {
	if err := e.db.LogData(nil, pebble.Sync); err != nil {
		return vanished(err)
	}
	return e.db.Flush()
}

// workFailed is told of a flush or a merge that failed: pebble tries it again at once,
// for ever, so that a start would neither end nor say why.
func (e *engine) workFailed(err error) {
	e.log.Error("pebble reports an error", "message", "background error") // its words may quote keys
	if e.isGone(err) {
		e.logFailed(err)
	}
}

// isGone reports whether an error is of a disk that is not there any more. A table that
// is damaged is another matter: it does not keep the others from being served.
func (e *engine) isGone(err error) bool {
	for _, no := range []syscall.Errno{syscall.EIO, syscall.ENODEV, syscall.ENXIO, syscall.EROFS, syscall.ESTALE, syscall.ENOTCONN} {
		if errors.Is(err, no) {
			return true
		}
	}
	_, err = os.Stat(e.dir)
	return err != nil
}

// logFailed is told of what failed with a log.
func (e *engine) logFailed(err error) {
	if e.store.Load() == nil {
		e.folderFailed(err)
	}
}

// folderFailed is told of a folder that could not be synced: pebble panics of most of
// those, on whatever goroutine. An error that the opening one meets comes back by
// itself. For room it may wait.
func (e *engine) folderFailed(err error) {
	if !isOpening() && !errors.Is(err, syscall.ENOSPC) {
		e.lastWord(err)
	}
}
