package chaos

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Rule is what happens to the bytes of one direction. The zero Rule passes them on.
type Rule struct {
	Blocked bool          // they wait
	Delay   time.Duration // each is late by this
	Jitter  time.Duration // and by up to this more; order is kept
	Rate    int           // bytes per second; 0: as fast as they come
}

// Counts says what a rule did. They only grow.
type Counts struct {
	Passed      int64 // bytes
	Held        int64 // bytes that met a block
	Delayed     int64 // bytes made late
	Throttled   int64 // bytes under a rate
	Connections int64 // that could not be made because of a block
	Resets      int64 // connections that we ended
}

func (c Counts) add(d Counts) Counts {
	return Counts{c.Passed + d.Passed, c.Held + d.Held, c.Delayed + d.Delayed, c.Throttled + d.Throttled, c.Connections + d.Connections, c.Resets + d.Resets}
}

// Buffers of one direction of one connection: what a kernel would hold.
const (
	chunkBytes = 16 << 10
	maxChunks  = 32
)

// way is one direction of a link.
type way struct {
	jitter func(time.Duration) time.Duration

	mu      sync.Mutex
	rule    Rule
	changed chan struct{} // closed and replaced when rule changes

	passed, held, delayed, throttled atomic.Int64
}

func newWay(jitter func(time.Duration) time.Duration) *way {
	return &way{jitter: jitter, changed: make(chan struct{})}
}

func (w *way) set(r Rule) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r == w.rule {
		return
	}
	w.rule = r
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *way) now() (Rule, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rule, w.changed
}

// open waits until the direction is not blocked; false when ended came first.
func (w *way) open(ended <-chan struct{}) bool {
	for {
		r, changed := w.now()
		if !r.Blocked {
			return true
		}
		select {
		case <-changed:
		case <-ended:
			return false
		}
	}
}

// chunk is bytes that may go on from a moment on.
type chunk struct {
	bytes []byte
	at    time.Time
}

// carry moves bytes from src to dst under the rule of the moment, until one of
// them ends or ended is closed.
func (w *way) carry(dst io.Writer, src io.Reader, ended <-chan struct{}) error {
	queue := make(chan chunk, maxChunks)
	var reading error
	go func() {
		defer close(queue)
		reading = w.read(src, queue, ended)
	}()
	for c := range queue {
		if !w.due(c, ended) {
			return net.ErrClosed
		}
		if _, err := dst.Write(c.bytes); err != nil {
			return err
		}
		w.passed.Add(int64(len(c.bytes)))
	}
	return reading
}

func (w *way) read(src io.Reader, queue chan<- chunk, ended <-chan struct{}) error {
	var last time.Time
	for {
		buf := make([]byte, chunkBytes)
		n, err := src.Read(buf)
		if n > 0 {
			last = w.when(n, last)
			select {
			case queue <- chunk{buf[:n], last}:
			case <-ended:
				return net.ErrClosed
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// when says when n bytes that came now may go on; never before last.
func (w *way) when(n int, last time.Time) time.Time {
	r, _ := w.now()
	at := time.Now()
	if r.Delay > 0 || r.Jitter > 0 {
		at = at.Add(r.Delay + w.jitter(r.Jitter))
		w.delayed.Add(int64(n))
	}
	if at.Before(last) {
		at = last
	}
	if r.Rate > 0 {
		at = at.Add(time.Duration(n) * time.Second / time.Duration(r.Rate))
		w.throttled.Add(int64(n))
	}
	return at
}

// due waits for a chunk's time and for an open way; false when ended came first.
func (w *way) due(c chunk, ended <-chan struct{}) bool {
	if late := time.Until(c.at); late > 0 {
		timer := time.NewTimer(late)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ended:
			return false
		}
	}
	if r, _ := w.now(); r.Blocked {
		w.held.Add(int64(len(c.bytes)))
	}
	return w.open(ended)
}

func (w *way) counts() Counts {
	return Counts{Passed: w.passed.Load(), Held: w.held.Load(), Delayed: w.delayed.Load(), Throttled: w.throttled.Load()}
}
