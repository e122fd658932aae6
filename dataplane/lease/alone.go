package lease

import (
	"context"
	"sync"
)

// Alone is for a region of one node: nobody else contends. Its zero value works.
type Alone struct {
	mu   sync.Mutex
	held map[Name]chan struct{} // closed when it is free again
}

var _ Leases = (*Alone)(nil)

// Run implements Leases.
func (*Alone) Run(ctx context.Context, _ Name, work func(context.Context)) { work(ctx) }

// Hold implements Leases.
func (a *Alone) Hold(ctx context.Context, name Name) (context.Context, func(), error) {
	for {
		a.mu.Lock()
		taken := a.held[name]
		if taken == nil {
			if a.held == nil {
				a.held = map[Name]chan struct{}{}
			}
			free := make(chan struct{})
			a.held[name] = free
			a.mu.Unlock()
			held, cancel := context.WithCancel(ctx)
			return held, sync.OnceFunc(func() {
				cancel()
				a.mu.Lock()
				delete(a.held, name)
				a.mu.Unlock()
				close(free)
			}), nil
		}
		a.mu.Unlock()
		select {
		case <-taken:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}
