package admission

import (
	"context"
	"sync"
	"time"
)

// patience is how long a request may wait for its client before others have its turn.
const patience = 20 * time.Millisecond

// Place is a request that was taken up. Leave ends it; what is called afterwards
// does nothing.
type Place struct {
	a    *Admission
	id   uint64
	once sync.Once
}

// Leave gives everything back. It may be called again.
func (p *Place) Leave() {
	p.once.Do(func() {
		p.a.mu.Lock()
		defer p.a.mu.Unlock()
		p.a.do(event{kind: leave, id: p.id})
		if ch := p.a.told[p.id]; ch != nil { // it waits for a turn that it needs no more
			delete(p.a.told, p.id)
			ch <- effect{}
		}
	})
}

// ForClient runs f, which may wait for the client. When that takes long the
// request's turn goes to others, and ForClient returns when it has one again.
func (p *Place) ForClient(f func()) { p.wait(f, func() eventKind { return away }) }

// Rest is ForClient for what may take hours: when idle says that nothing else of the
// request is going on, its memory goes to others too, but for Ask.Idle.
func (p *Place) Rest(f func(), idle func() bool) {
	p.wait(f, func() eventKind {
		if idle() {
			return rest
		}
		return away
	})
}

func (p *Place) wait(f func(), how func() eventKind) {
	over := false // under mu: the timer may fire while f ends
	t := time.AfterFunc(patience, func() {
		p.a.mu.Lock()
		defer p.a.mu.Unlock()
		if !over {
			p.a.do(event{kind: how(), id: p.id})
		}
	})
	f()
	if t.Stop() {
		return
	}
	p.a.mu.Lock()
	over = true
	p.back()
}

// back waits for a turn, of which those ahead have theirs for a bounded time. The
// caller holds mu, and does not afterwards.
func (p *Place) back() {
	a := p.a
	if r := a.machine.requests[p.id]; r == nil || r.state != absent {
		a.mu.Unlock()
		return
	}
	if _, told := a.do(event{kind: back, id: p.id}); told {
		a.mu.Unlock()
		return
	}
	ch := a.listen(p.id)
	a.mu.Unlock()
	<-ch
}

// Spend charges what the request has brought to its tenant's quota. When that is
// exceeded it waits, at most 5 s and without its turn, or until ctx ends; it
// returns how long it was told to.
func (p *Place) Spend(ctx context.Context, records, bytes int64) time.Duration {
	e := p.a.step(event{kind: spend, id: p.id, records: records, bytes: bytes})
	if e.kind != slowed {
		return 0
	}
	p.a.metrics.slowed.Inc()
	p.a.step(event{kind: away, id: p.id})
	t := time.NewTimer(e.after)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	p.a.mu.Lock()
	p.back()
	return e.after
}
