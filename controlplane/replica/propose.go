package replica

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// enqueueTimeout is how long a proposal may wait to be taken by Raft at all.
const enqueueTimeout = 2 * time.Second

// Propose commits and applies a command. A refusal of the domain is
// Result.Err, and not the error. Errors: UNAVAILABLE (not leader: definitely not
// done; metadata "leader" names the leader when one is known), OVERLOADED
// (definitely not done), PAYLOAD_TOO_LARGE, OUTCOME_UNKNOWN (leadership lost or
// time over after it was enqueued: retry with the same idempotency key).
func (r *Replica) Propose(ctx context.Context, c store.Command) (store.Result, error) {
	if at, need := r.o.Store.Members().Version(), r.o.since(c.Kind()); at < need {
		return store.Result{}, policy.Errorf(policy.NotYet, "this needs protocol version %d, and the cluster is at %d until every member is upgraded: `domicile members list` shows which is not", need, at)
	}
	data, err := store.Encode(c)
	if err != nil {
		return store.Result{}, err
	}
	if !r.IsLeader() {
		return store.Result{}, r.notLeader(nil)
	}
	ctx, cancel := context.WithTimeout(ctx, r.o.ProposeTimeout)
	defer cancel()
	if err := ctx.Err(); err != nil { // nothing is enqueued yet: definitely not done
		return store.Result{}, &policy.Error{Reason: policy.NotReady, Message: "the request ended before it was proposed, and nothing was done: send it again", Cause: err}
	}
	f := r.raft.Apply(withSum(data), enqueueTimeout)
	if err := await(ctx, f); err != nil {
		return store.Result{}, r.outcome(err)
	}
	switch response := f.Response().(type) {
	case store.Result:
		return response, nil
	case error:
		return store.Result{}, unknown(response)
	default:
		return store.Result{}, unknown(fmt.Errorf("unexpected response %T", response))
	}
}

// outcome sorts Raft's errors: what was never appended is definitely not done,
// everything else is unknown.
func (r *Replica) outcome(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return r.notLeader(err)
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return &policy.Error{Reason: policy.Overloaded, Message: "too many changes wait to be committed, and this one was not taken: send it again later", Cause: err}
	}
	return unknown(err)
}

func unknown(cause error) error {
	return &policy.Error{Reason: policy.OutcomeUnknown, Message: "it is not known whether the change was made: send it again with the same Idempotency-Key", Cause: cause}
}
