package replica

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// The register is one tenant's billing country; clients set and read it while
// leadership moves.

type registerInput struct {
	read  bool
	value string
}

type registerOutput struct {
	value   string
	unknown bool // a write that may or may not have happened, now or later
}

// The load gate: fewer leader changes or operations than this show nothing.
const (
	wantChanges  = 5
	opsPerLeader = 60
)

var register = porcupine.Model{
	Init: func() any { return "IE" },
	Step: func(state, input, output any) (bool, any) {
		in, out := input.(registerInput), output.(registerOutput)
		if in.read {
			return out.value == state.(string), state
		}
		return true, in.value
	},
}

func TestINV30_LinearizableUnderLeaderChanges(t *testing.T) {
	c := startCluster(t, 3, nil)
	c.tenant(1)
	var mu sync.Mutex
	var history []porcupine.Operation
	begin := time.Now()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	var wg sync.WaitGroup
	nodes := []*node{c.nodes["cp1"], c.nodes["cp2"], c.nodes["cp3"]}
	for client := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(client), 7))
			for ctx.Err() == nil {
				n := nodes[r.IntN(3)]
				op, done := step(ctx, n, r, begin)
				if !done {
					pause(ctx, n)
					continue
				}
				op.ClientId = client
				mu.Lock()
				history = append(history, op)
				mu.Unlock()
			}
		})
	}
	changes := 0
	for changes < wantChanges && ctx.Err() == nil {
		mu.Lock()
		enough := len(history) >= opsPerLeader*(changes+1)
		mu.Unlock()
		if enough && c.leader().TransferLeadership(ctx) == nil {
			changes++
		}
		time.Sleep(5 * time.Millisecond) // between looks at how far the clients are
	}
	stop()
	wg.Wait()
	writes := 0
	for i, op := range history {
		if !op.Input.(registerInput).read {
			writes++
		}
		if op.Output.(registerOutput).unknown { // may take effect at any later time
			history[i].Return = int64(time.Hour)
		}
	}
	if changes < wantChanges || writes < 50 {
		t.Fatalf("void: %d leader changes, %d writes, %d operations", changes, writes, len(history))
	}
	if res := porcupine.CheckOperationsTimeout(register, history, 20*time.Second); res != porcupine.Ok {
		t.Errorf("%d operations, %d leader changes: %s", len(history), changes, res)
	}
}

// step does one operation; done is false when it definitely did nothing.
func step(ctx context.Context, n *node, r *rand.Rand, begin time.Time) (op porcupine.Operation, done bool) {
	op.Call = int64(time.Since(begin))
	if r.IntN(3) > 0 {
		if n.VerifyLeader(ctx) != nil {
			return op, false
		}
		tn, err := n.store.Tenant(tenantID(1))
		op.Input, op.Output, op.Return = registerInput{read: true}, registerOutput{value: tn.BillingCountry}, int64(time.Since(begin))
		return op, err == nil
	}
	value := countries[r.IntN(len(countries))]
	unknown, done := set(ctx, n, value)
	op.Input, op.Output, op.Return = registerInput{value: value}, registerOutput{unknown: unknown}, int64(time.Since(begin))
	return op, done
}

// pause lets a client that met no leader wait for one, and not spin.
func pause(ctx context.Context, n *node) {
	select {
	case <-n.LeaderChanged():
	case <-time.After(5 * time.Millisecond):
	case <-ctx.Done():
	}
}

// set writes the value whatever was there, as long as the node leads: an etag
// that somebody else has overtaken is read again.
func set(ctx context.Context, n *node, value string) (unknown, done bool) {
	for n.IsLeader() && ctx.Err() == nil {
		tn, err := n.store.Tenant(tenantID(1))
		if err != nil {
			return false, false
		}
		if tn.BillingCountry == value {
			return false, false // it would change nothing, and is no write
		}
		res, err := n.Propose(ctx, store.Command{Stamp: store.Stamp{Now: time.Now(), Actor: actor},
			Payload: store.UpdateTenant{ID: tn.ID, IfMatch: tn.ETag, BillingCountry: value}})
		switch {
		case errors.Is(err, &policy.Error{Reason: policy.OutcomeUnknown}):
			return true, true
		case err != nil:
			return false, false
		case res.Err == nil:
			return false, true
		}
	}
	return false, false
}
