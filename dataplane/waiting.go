package dataplane

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/domicile-io/domicile/dataplane/export"
	"github.com/domicile-io/domicile/dataplane/feed"
)

const (
	countEvery = 5 * time.Second
	countKeeps = time.Minute // a count that is older is not told any more
)

// waiting counts what the outbox has yet to send, beside everything else: the
// outbox may be in a database that does not answer, and who asks is the feed.
type waiting struct {
	last atomic.Pointer[counted]
	now  func() time.Duration // since any fixed moment
}

type counted struct {
	transfers int
	since, at time.Duration // from when something has waited without a pause; of the count
}

// count takes a count.
func (w *waiting) count(n int) {
	c := &counted{transfers: n, at: w.now(), since: w.now()}
	if before := w.last.Load(); n > 0 && before != nil && before.transfers > 0 {
		c.since = before.since
	}
	w.last.Store(c)
}

// tell is feed.Options.Waiting.
func (w *waiting) tell() (feed.Waiting, bool) {
	c := w.last.Load()
	if c == nil || w.now()-c.at > countKeeps {
		return feed.Waiting{}, false
	}
	out := feed.Waiting{Transfers: uint64(c.transfers)}
	if c.transfers > 0 {
		out.For = w.now() - c.since
	}
	return out, true
}

// startCounting counts until the node closes.
func (n *Node) startCounting(outbox *export.Outbox) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(countEvery)
		defer tick.Stop()
		for {
			if waits, err := outbox.Depth(); err == nil {
				n.waiting.count(waits)
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	n.onClose("count of the outbox", func(context.Context) error { stop(); <-done; return nil })
}
