package replica

import (
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// A leader sends entries while its own disk syncs them. hashicorp/raft stores
// entries, then counts the leader's own copy, then sends them: two syncs, one after
// the other, for each change. Here a leader's store returns when the entries are
// written, and the sync runs beside the sending. That Raft counts the leader's copy
// too early is kept from everybody until it is true:
//
//   - nothing is applied, so nobody is answered, beyond what our disk holds (fsm.go);
//   - no other voter hears of a commit beyond it (capCommit);
//   - a newer term, and a vote, are stored only after it (votes.go), so that a
//     leader that steps down answers nobody with entries it could still lose;
//   - a follower's store, and a change of members, return after the sync.
//
// docs/adr/0028 has the proof.
type ahead struct {
	ready atomic.Bool // leads is set; not while Raft starts
	leads func() bool
	kick  chan struct{}
	quit  chan struct{}
	done  sync.WaitGroup

	// One at a time: entries are stored, or a term or vote is. Raft takes heartbeats
	// on goroutines of their own, and one of a newer leader changes the term there
	// while the loop of the old leader stores.
	order sync.Mutex
	term  uint64 // that is stored
}

// Bounds of what a leader writes before it waits for its own disk.
const (
	aheadEntries = 512
	aheadBytes   = 1 << 20 // of one group
)

// start begins to sync, each time that something was written. sync ends the node
// when it fails or hangs.
func (a *ahead) start(sync func() error) {
	a.kick, a.quit = make(chan struct{}, 1), make(chan struct{})
	a.done.Add(1)
	go func() {
		defer a.done.Done()
		for {
			select {
			case <-a.kick:
				if sync() != nil {
					return
				}
			case <-a.quit:
				return
			}
		}
	}()
}

func (a *ahead) of(leads func() bool) {
	a.leads = leads
	a.ready.Store(true)
}

func (a *ahead) stop() {
	close(a.quit)
	a.done.Wait()
}

// may reports whether a group may be stored before it is synced. Raft stores on one
// goroutine, and only that one makes it Leader; so where it is, the entries are
// its own. It may cease to be on another goroutine meanwhile, which must then store
// the newer term, and waits for order: either that syncs this group, or this group is
// of a term that has passed. order is held.
func (a *ahead) may(logs []*raft.Log, size, unsynced uint64) bool {
	if !a.ready.Load() || !a.leads() || size > aheadBytes || unsynced > aheadEntries {
		return false
	}
	for _, l := range logs {
		if l.Type != raft.LogCommand && l.Type != raft.LogBarrier {
			return false // Raft acts on these itself when it believes them committed
		}
		if l.Term != a.term {
			return false
		}
	}
	return true
}

// store writes a group of entries and syncs it, or has it synced.
func (d *disk) store(logs []*raft.Log, records [][]byte, size uint64) error {
	d.ahead.order.Lock()
	defer d.ahead.order.Unlock()
	first := logs[0].Index
	if !d.ahead.may(logs, size, d.log.Last()-min(d.log.Last(), d.log.Synced())) {
		return d.guard("append", func() error { return d.log.Append(first, records) })
	}
	if err := d.guard("write", func() error { return d.log.Write(first, records) }); err != nil {
		return err
	}
	select {
	case d.ahead.kick <- struct{}{}:
	default: // the sync that is due covers this group too
	}
	return nil
}

// sync makes everything that was stored durable.
func (d *disk) sync() error {
	if d.log.Synced() >= d.log.Last() {
		return nil
	}
	return d.guard("sync", d.syncLog)
}

// Set implements raft.StableStore: a vote. The log is synced first.
func (d *disk) Set(key, value []byte) error {
	d.ahead.order.Lock()
	defer d.ahead.order.Unlock()
	return d.votes.Set(key, value)
}

// SetUint64 implements raft.StableStore: a term. The log is synced first.
func (d *disk) SetUint64(key []byte, value uint64) error {
	d.ahead.order.Lock()
	defer d.ahead.order.Unlock()
	if err := d.votes.SetUint64(key, value); err != nil {
		return err
	}
	if string(key) == string(keyTerm) {
		d.ahead.term = value
	}
	return nil
}

// capCommit hides commits that count a copy of ours that is not durable yet.
func capCommit(args *raft.AppendEntriesRequest, durable func() uint64) {
	args.LeaderCommitIndex = min(args.LeaderCommitIndex, durable())
}
