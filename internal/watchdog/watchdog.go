// Package watchdog notices a call that does not come back: a write to a disk that
// has stopped answering. Nothing can be done for the call itself, which sits in the
// kernel; whoever owns the watchdog stops the process, or stops sending more.
package watchdog

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrHung is wrapped by every error that a Watchdog reports.
var ErrHung = errors.New("the disk does not answer")

// Watchdog watches calls. The zero value watches and tells nobody.
type Watchdog struct {
	Limit time.Duration // after which Hung is told; 0: never
	Hung  func(error)   // called from another goroutine, while the call still hangs; nil: nobody

	mu    sync.Mutex
	began map[*byte]time.Time // of the calls under way
}

// Do makes a call under watch and gives its error.
func (w *Watchdog) Do(what string, call func() error) error {
	defer w.Watch(what)()
	return call()
}

// Watch begins to watch; the caller calls done when what it does has come back.
func (w *Watchdog) Watch(what string) (done func()) {
	key := new(byte)
	w.mu.Lock()
	if w.began == nil {
		w.began = map[*byte]time.Time{}
	}
	w.began[key] = time.Now()
	w.mu.Unlock()
	var timer *time.Timer
	if w.Limit > 0 && w.Hung != nil {
		timer = time.AfterFunc(w.Limit, func() { w.look(key, what) })
	}
	return func() {
		if timer != nil {
			timer.Stop()
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.began, key)
	}
}

// look tells of a call that is still under way a little later, too: a process that
// was stopped and goes on finds its timers due before its disk could answer.
func (w *Watchdog) look(key *byte, what string) {
	if !w.underWay(key) {
		return
	}
	time.AfterFunc(w.Limit/8, func() {
		if w.underWay(key) {
			w.Hung(fmt.Errorf("%s has hung for %v: %w", what, w.Limit, ErrHung))
		}
	})
}

func (w *Watchdog) underWay(key *byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.began[key]
	return ok
}

// Longest is for how long the longest call has been under way; 0 when none is.
func (w *Watchdog) Longest() (d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, at := range w.began {
		d = max(d, time.Since(at))
	}
	return d
}
