package replica

import (
	"context"
	"time"

	"github.com/hashicorp/raft"

	"github.com/domicile-io/domicile/policy"
)

// Leader names the leader; ok is false while none is known.
func (r *Replica) Leader() (name string, ok bool) {
	_, id := r.raft.LeaderWithID()
	return string(id), id != ""
}

// IsLeader reports whether we believe to lead and have applied everything that
// was committed before our term. Only VerifyLeader is proof.
func (r *Replica) IsLeader() bool {
	return r.raft.State() == raft.Leader && r.readyTerm.Load() == r.raft.CurrentTerm()
}

// Ready reports whether this node knows a leader and, as leader, has passed its barrier.
func (r *Replica) Ready() bool {
	if r.raft.State() == raft.Leader {
		return r.IsLeader()
	}
	_, ok := r.Leader()
	return ok
}

// LeaderChanged is closed when the leader, or our readiness to lead, next
// changes; ask again for the following change.
func (r *Replica) LeaderChanged() <-chan struct{} { return r.leader.wait() }

// watchLeadership passes each gain of leadership through a barrier before we
// count as leader, and tells waiters of every change.
func (r *Replica) watchLeadership(notify <-chan bool) {
	defer r.watching.Done()
	observations := make(chan raft.Observation, 64)
	observer := raft.NewObserver(observations, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.FailedHeartbeatObservation, raft.ResumedHeartbeatObservation:
			return true
		}
		return false
	})
	r.raft.RegisterObserver(observer)
	defer r.raft.DeregisterObserver(observer)
	for {
		select {
		case leads := <-notify:
			if leads {
				r.watching.Add(1)
				go r.barrier(r.raft.CurrentTerm())
			}
		case o := <-observations:
			r.observe(o)
			if _, leader := o.Data.(raft.LeaderObservation); !leader {
				continue
			}
		case <-r.stopping.Done():
			return
		}
		r.leader.raise()
	}
}

// barrier waits until everything committed before our term is applied here. It
// tries as long as we lead in that term: a barrier that meets a failing
// hand-over is refused although we go on leading.
func (r *Replica) barrier(term uint64) {
	defer r.watching.Done()
	for r.raft.State() == raft.Leader && r.raft.CurrentTerm() == term && r.stopping.Err() == nil {
		// Raft may forget a barrier while it stops, so we do not wait for it alone.
		if err := await(r.stopping, r.raft.Barrier(enqueueTimeout)); err != nil {
			r.o.Logger.Warn("the barrier of a new leader did not pass", "term", term, "err", err)
			select {
			case <-time.After(r.o.Heartbeat / 10):
			case <-r.stopping.Done():
			}
			continue
		}
		if r.raft.CurrentTerm() == term {
			r.readyTerm.Store(term)
			r.o.Logger.Info("leading", "term", term)
			r.leader.raise()
		}
		return
	}
}

// notLeader is the definite refusal of a node that does not lead.
func (r *Replica) notLeader(cause error) *policy.Error {
	e := policy.Errorf(policy.NotReady, "this voter does not lead, and nothing was done: send it to the leader, or again in a moment")
	e.Cause = cause
	if name, ok := r.Leader(); ok && name != r.o.Name {
		e.With("leader", name)
	}
	return e
}

// TransferLeadership hands leadership to another voter. Nothing to do when we do not lead.
func (r *Replica) TransferLeadership(ctx context.Context) error {
	if r.raft.State() != raft.Leader {
		return nil
	}
	return await(ctx, r.raft.LeadershipTransfer())
}

// await waits for one of Raft's futures as long as ctx allows.
func await(ctx context.Context, f raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- f.Error() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// VerifyLeader makes reads of the local store after it linearizable: they see
// every write that was acknowledged before the call. On the leader only; else
// UNAVAILABLE with metadata "leader". It costs one barrier in the Raft log,
// shared by all calls that arrive while the one before it is under way.
//
// It does not use Raft's own VerifyLeader, which counts acknowledgements of
// heartbeats that were sent before it was called: DESIGN.md.
func (r *Replica) VerifyLeader(ctx context.Context) error {
	if !r.IsLeader() {
		return r.notLeader(nil)
	}
	ctx, cancel := context.WithTimeout(ctx, r.o.ProposeTimeout)
	defer cancel()
	err := r.verifying.verify(ctx, r.confirm)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return &policy.Error{Reason: policy.NotReady, Message: "leadership was not confirmed in time: send the read again", Cause: err}
	}
	return r.notLeader(err)
}

// confirm is one round for all who wait, so it ends with no reader's context:
// Raft may forget a barrier while it stops.
func (r *Replica) confirm() error {
	ctx, cancel := context.WithTimeout(r.stopping, r.o.ProposeTimeout)
	defer cancel()
	return await(ctx, r.raft.Barrier(enqueueTimeout))
}

// WaitRevision returns once the local store is at rev or later. POLICY_STALE
// when ctx ends first.
func (r *Replica) WaitRevision(ctx context.Context, rev uint64) error {
	for {
		changed := r.changed.wait()
		if r.o.Store.Revision() >= rev {
			return nil
		}
		select {
		case <-changed:
		case <-r.stopping.Done():
			return policy.Errorf(policy.NotReady, "this voter is stopping: ask another")
		case <-ctx.Done():
			return policy.Errorf(policy.PolicyStale, "this voter has not reached the revision in time: send the read again, or to the leader")
		}
	}
}

// Changed is closed when the store next moves; read the store, then ask again.
// It carries no payload. It may close without a new revision.
func (r *Replica) Changed() <-chan struct{} { return r.changed.wait() }
