package dataplane

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/domicile-io/domicile/internal/failpoint"
	"github.com/domicile-io/domicile/internal/kernel"
	"github.com/domicile-io/domicile/internal/wipe"
	"github.com/domicile-io/domicile/policy"
)

// oblivionEvery is how often a node looks for what it holds in memory for too long.
const oblivionEvery = 10 * time.Second

// oblivion keeps what a person was told is gone out of this process's memory: what is
// held opened ends after policy.KeysFor, and what was let go is overwritten soon after
// an erasure, of this node or another, and once more when everything that was held at
// its time has ended.
type oblivion struct {
	forget func()               // drops what is held for too long
	wipe   func()               // overwrites what was let go
	now    func() time.Duration // on a clock that goes on in suspend

	erased atomic.Int64  // when somebody was erased last; 0: nobody since the last wipe but one
	soon   atomic.Bool   // the first wipe is due
	rested time.Duration // none begins before; look's alone
}

// heldAtMost is how long after an erasure something of its time may still be held:
// a look late, and a connection that nobody uses (a minute).
const heldAtMost = policy.KeysFor + oblivionEvery + time.Minute

// restAfter is for how many times as long as a wipe took none begins after it: of a
// node whose heap is large, whoever erases somebody again and again takes a tenth of the
// time at most.
const restAfter = 9

// someone says that a person was erased.
func (o *oblivion) someone() {
	o.erased.Store(int64(max(o.now(), 1)))
	o.soon.Store(true)
}

// look is done again and again. What is due while it rests stays due.
func (o *oblivion) look() {
	o.forget()
	began := o.now()
	if began < o.rested {
		return
	}
	at := o.erased.Load()
	last := at != 0 && began-time.Duration(at) >= heldAtMost
	if !o.soon.Swap(false) && !last {
		return
	}
	if last {
		o.erased.CompareAndSwap(at, 0) // unless somebody was erased meanwhile
	}
	o.wipe()
	ended := o.now()
	o.rested = ended + restAfter*(ended-began)
}

// opened is a record store, as far as it holds something opened.
type opened interface{ ForgetOld() }

// startOblivion begins to look, on every node.
func (n *Node) startOblivion(s opened) {
	n.oblivion = &oblivion{forget: s.ForgetOld, wipe: wipe.Free, now: func() time.Duration { return kernel.BootTime() + failpoint.Slept() }}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for wait(ctx, oblivionEvery); ctx.Err() == nil; wait(ctx, oblivionEvery) {
			n.oblivion.look()
		}
	}()
	n.onClose("oblivion", func(context.Context) error { cancel(); <-ended; return nil })
}
