package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/domicile-io/domicile/api"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/chaos"
	"github.com/domicile-io/domicile/policy"
)

// quiet is a world whose clients offer nothing by themselves.
func quiet(t *testing.T) (*world, *clients, *known) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short")
	}
	w := openWorld(t, 1)
	c := &clients{w: w, h: newHistory()}
	o, err := prepareObjects(t.Context(), c, rand.Uint64())
	check(t, err)
	return w, c, o.tenants[0]
}

// shorten sets x's retention one second lower through the given voters, until that
// is definite.
func shorten(ctx context.Context, c *clients, x *known, voters ...string) error {
	from, etag := x.last()
	kept, err := strconv.ParseUint(from, 10, 32)
	if err != nil {
		return err
	}
	key := uuidOf(kept, int(rand.Uint32()))
	var p *controlv1.Policy
	narrow := &clients{w: &world{voters: voters, conns: c.w.conns}}
	err = narrow.settle(ctx, rand.New(rand.NewPCG(1, 1)), swap, func(ctx context.Context, cc *grpc.ClientConn) (err error) {
		ctx = c.w.authorized(ctx, "idempotency-key", key, "if-match", strconv.Quote(etag))
		p, err = controlv1.NewPolicyServiceClient(cc).PutPolicy(ctx, &controlv1.PutPolicyRequest{Tenant: x.name, Rules: rules(uint32(kept) - 1)})
		return err
	})
	if err == nil {
		x.seen(policyOutput(p).value, p.GetEtag())
	}
	return err
}

// A leader that was stopped, replaced, and wakes up believes for a moment that it
// leads. What it is asked then, after a write was acknowledged elsewhere, it may refuse
// or answer right.
func TestINV30_AResumedLeaderServesNothingStale(t *testing.T) {
	w, c, x := quiet(t)
	n := &nemesis{t: t, ctx: t.Context(), w: w, c: c, draw: rand.New(rand.NewPCG(1, 1))}
	answered := 0
	for range 5 {
		leader, err := w.leader(t.Context())
		check(t, err)
		p := w.Process(leader)
		check(t, p.Signal(syscall.SIGSTOP))
		if n.changed(leader, 10*time.Second) == "" {
			check(t, p.Signal(syscall.SIGCONT))
			t.Fatal("void: nobody replaced a stopped leader")
		}
		check(t, shorten(t.Context(), c, x, w.others(leader)...))
		_, want := x.last()
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 48 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(w.authorized(t.Context()), 5*time.Second)
				defer cancel()
				got, err := controlv1.NewPolicyServiceClient(w.conns[leader]).GetPolicy(ctx, &controlv1.GetPolicyRequest{Tenant: x.name})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					answered++
				}
				if err == nil && got.GetEtag() != want {
					t.Errorf("%s answered with etag %s after %s was acknowledged", leader, got.GetEtag(), want)
				}
			})
		}
		n.hold(100*time.Millisecond, 100*time.Millisecond) // the requests wait in the stopped process's socket
		check(t, p.Signal(syscall.SIGCONT))
		all.Wait()
		if t.Failed() {
			return
		}
		n.recover("pause leader")
	}
	if answered == 0 {
		t.Error("void: no read was answered")
	}
}

// A new leader may hold an acknowledged write without knowing that it is committed.
// It must not judge by the state before it.
func TestINV30_ANewLeaderKnowsWhatWasAcknowledged(t *testing.T) {
	w, c, x := quiet(t)
	n := &nemesis{t: t, ctx: t.Context(), w: w, c: c, draw: rand.New(rand.NewPCG(1, 1))}
	for range 4 {
		leader, err := w.leader(t.Context())
		check(t, err)
		// So late that the others learn of the commit after the leader is gone.
		w.mesh.Impose(chaos.Everywhere(chaos.Rule{Delay: 45 * time.Millisecond}))
		check(t, shorten(t.Context(), c, x, leader))
		check(t, w.Process(leader).Kill())
		if err := shorten(t.Context(), c, x, w.others(leader)...); err != nil {
			t.Errorf("a write with the etag that was acknowledged before: %v", err)
		}
		w.mesh.Heal()
		check(t, n.start(leader))
		n.recover("kill leader")
	}
}

// The tenant of a token is checked where every call arrives, not in the gateway.
func TestINV10_TheTenantCheckIsNotOnlyInREST(t *testing.T) {
	w, c, x := quiet(t)
	other := c.objects.tenants[1]
	token, err := controlv1.NewTokenServiceClient(w.conns["cp1"]).CreateToken(w.authorized(t.Context()), &controlv1.CreateTokenRequest{Role: "tenant_admin", Tenant: x.name})
	check(t, err)
	policies := controlv1.NewPolicyServiceClient(w.conns["cp1"])
	if _, err := policies.GetPolicy(withToken(t.Context(), token.GetSecret()), &controlv1.GetPolicyRequest{Tenant: x.name}); err != nil {
		t.Fatalf("a tenant's own policy: %v", err) // the control
	}
	if _, err := policies.GetPolicy(withToken(t.Context(), token.GetSecret()), &controlv1.GetPolicyRequest{Tenant: other.name}); err == nil {
		t.Error("a tenant read another's policy over gRPC")
	}
}

func withToken(ctx context.Context, token string) context.Context {
	return withPair(ctx, "authorization", "Bearer "+token)
}

// Sendings of one request that run into each other have one effect, and all are
// answered by it: none may be told that the etag has changed, which it has by
// its own doing.
func TestINV31_SendingsAtOnceHaveOneEffectAndOneAnswer(t *testing.T) {
	w, c, x := quiet(t)
	for round := range 60 {
		from, etag := x.last()
		kept, err := strconv.ParseUint(from, 10, 32)
		check(t, err)
		key := uuidOf(kept, round)
		var mu sync.Mutex
		var all sync.WaitGroup
		answers := map[string]int{}
		for i := range 48 {
			late := time.Duration(rand.IntN(6000)) * time.Microsecond // so that some arrive as the first takes effect
			all.Go(func() {
				<-time.After(late)
				answer := w.settledPut(t, i, x, key, etag, rules(uint32(kept)-1))
				mu.Lock()
				defer mu.Unlock()
				answers[answer]++
			})
		}
		all.Wait()
		if len(answers) != 1 {
			t.Fatalf("round %d: one request had the answers %v", round, answers)
		}
	}
	c.report(t)
}

// settledPut sends one request to a voter until it is told what came of it, which
// it is not when leadership changes hands meanwhile, and gives the new etag or the
// reason of the refusal.
func (w *world) settledPut(t *testing.T, i int, x *known, key, etag string, r *controlv1.PolicyRules) string {
	ctx, cancel := context.WithTimeout(w.authorized(t.Context(), "idempotency-key", key, "if-match", strconv.Quote(etag)), time.Minute)
	defer cancel()
	for {
		p, err := controlv1.NewPolicyServiceClient(w.conns[w.voters[i%len(w.voters)]]).PutPolicy(ctx, &controlv1.PutPolicyRequest{Tenant: x.name, Rules: r})
		if err == nil {
			x.seen(policyOutput(p).value, p.GetEtag())
			return p.GetEtag()
		}
		reason := api.AsError(api.FromGRPC(err)).Reason
		if reason != policy.OutcomeUnknown && reason != policy.NotReady || ctx.Err() != nil {
			return string(reason)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// The same for writes: a refusal is a read of the state, and may not be of a state
// that was.
func TestINV30_AResumedLeaderRefusesNothingByWhatWas(t *testing.T) {
	w, c, _ := quiet(t)
	n := &nemesis{t: t, ctx: t.Context(), w: w, c: c, draw: rand.New(rand.NewPCG(1, 1))}
	for range 5 {
		leader, err := w.leader(t.Context())
		check(t, err)
		p := w.Process(leader)
		check(t, p.Signal(syscall.SIGSTOP))
		if n.changed(leader, 10*time.Second) == "" {
			check(t, p.Signal(syscall.SIGCONT))
			t.Fatal("void: nobody replaced a stopped leader")
		}
		var all sync.WaitGroup
		for _, x := range c.objects.tenants {
			all.Go(func() {
				if err := shorten(t.Context(), c, x, w.others(leader)...); err != nil {
					t.Errorf("shorten %s: %v", x.name, err)
				}
			})
		}
		all.Wait()
		for _, x := range c.objects.tenants {
			all.Go(func() {
				if err := shorten(t.Context(), c, x, leader); err != nil && !errors.Is(err, errNotDone) && !errors.Is(err, errUnknown) {
					t.Errorf("%s refused a write with the etag that was acknowledged: %v", leader, err)
				}
			})
		}
		n.hold(100*time.Millisecond, 100*time.Millisecond) // the requests wait in the stopped process's socket
		check(t, p.Signal(syscall.SIGCONT))
		all.Wait()
		if t.Failed() {
			return
		}
		n.recover("pause leader")
	}
}
