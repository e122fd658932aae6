package server

import (
	"context"
	"time"

	"github.com/domicile-io/domicile/controlplane/members"
	"github.com/domicile-io/domicile/controlplane/store"
)

// voterPatience is how long a voter may be silent until its work counts as lost.
const voterPatience = time.Minute

// oversee ends, as the leader, what is about members, and what lost voters had.
func (w *work) oversee(ctx context.Context, all []store.Operation) error {
	v := w.steward.View()
	for _, o := range all {
		end := store.ReportOperation{ID: o.ID, Completed: o.Completed, Total: o.Total, Outcome: o.Outcome}
		if o.Kind.OfMember() {
			now := w.stage(v, o)
			end.State, end.Cause, end.Completed, end.Total = now.state, now.cause, now.completed, now.total
		} else if gone(v, string(o.Voter)) {
			end.State, end.Cause = store.OperationFailed, store.CauseVoterLost
		}
		if !end.State.Ended() {
			continue
		}
		if err := w.propose(ctx, w.own.Node, end); err != nil {
			return err
		}
	}
	return nil
}

// gone reports whether a voter is no member, or has been silent for too long.
func gone(v members.View, voter string) bool {
	if voter == v.Self {
		return false
	}
	if _, in := v.Config.Has(voter); !in {
		return true
	}
	last := v.Since
	if h, ok := v.Heard[voter]; ok && h.At.After(last) {
		last = h.At
	}
	return v.Now.Sub(last) > voterPatience
}

// stage judges an operation about a member by what the leader sees.
func (w *work) stage(v members.View, o store.Operation) stage {
	m, known := v.Members.Find(o.Member)
	server, in := v.Config.Has(string(o.Member))
	switch o.Kind {
	case store.OperationRemove:
		return until(!in, phaseLeaving)
	case store.OperationDemote:
		return until(!server.Votes, phaseWaiting)
	case store.OperationPromote:
		if known && m.RemovedAt != nil {
			return failed(store.CauseRemoved)
		}
		s := until(in && server.Votes, phaseWaiting)
		return w.behind(s, v, o.Member)
	}
	switch {
	case known && m.Operation == o.ID && m.RemovedAt != nil:
		return failed(store.CauseRemoved)
	case known && m.Operation == o.ID && !in:
		return until(false, phaseJoining)
	case known && m.Operation == o.ID:
		ready := server.Votes
		if m.Wants == store.NonVoter {
			ready = v.Health(string(m.Name)) == members.OK
		}
		return w.behind(until(ready, phaseCatchingUp), v, o.Member)
	}
	x, waits, err := w.store.InvitationOf(o.ID)
	switch {
	case err != nil: // of the disk: the next look tells
		return until(false, phaseInvited)
	case !waits || !x.ExpiresAt.After(v.Now):
		return failed(store.CauseExpired)
	}
	return until(false, phaseInvited)
}

func until(done bool, phase string) stage {
	if done {
		return stage{state: store.OperationSucceeded}
	}
	return stage{phase: phase, state: store.OperationRunning}
}

func failed(cause store.OperationCause) stage {
	return stage{state: store.OperationFailed, cause: cause}
}

// behind adds how far a member's copy of the state is.
func (w *work) behind(s stage, v members.View, name store.MemberName) stage {
	if h, ok := v.Heard[string(name)]; ok {
		s.completed, s.total = h.Applied, max(h.Applied, w.replica.Applied())
		if s.phase == phaseCatchingUp && h.Applied >= s.total {
			s.phase = phaseWaiting
		}
	}
	return s
}
