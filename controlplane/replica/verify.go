package replica

import (
	"context"
	"sync"
	"sync/atomic"
)

// verifier shares one round of confirmation among all reads that arrive while the
// round before it is under way: a read may use only a round that starts after
// the read has come.
type verifier struct {
	rounds  atomic.Uint64 // that were begun
	mu      sync.Mutex
	running bool
	next    *round // what arrivals join; starts when the running round ends
}

type round struct {
	done chan struct{}
	err  error
}

// verify joins the next round and waits for it as long as ctx allows.
func (v *verifier) verify(ctx context.Context, start func() error) error {
	v.mu.Lock()
	if v.next == nil {
		v.next = &round{done: make(chan struct{})}
	}
	mine := v.next
	if !v.running {
		v.running = true
		go v.run(start)
	}
	v.mu.Unlock()
	select {
	case <-mine.done:
		return mine.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run works off rounds until nobody waits. start must end by itself: a round
// that never ends would hold up all reads after it.
func (v *verifier) run(start func() error) {
	for {
		v.mu.Lock()
		r := v.next
		v.next = nil
		if r == nil {
			v.running = false
		}
		v.mu.Unlock()
		if r == nil {
			return
		}
		v.rounds.Add(1)
		r.err = start()
		close(r.done)
	}
}

// Confirmations is how many rounds VerifyLeader has cost: each is an entry of the
// Raft log, on every voter's disk.
func (r *Replica) Confirmations() uint64 { return r.verifying.rounds.Load() }
