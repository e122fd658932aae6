package story

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/policy"
)

// loseVoter stops the voter that leads and tightens a policy with the two that
// are left, which must first agree on a new leader.
func (t *teller) loseVoter(ctx context.Context) error {
	h := t.homes[2]
	victim, other := "", ""
	if err := t.eventually(ctx, func() bool { victim = t.Env.Leader(); return victim != "" }); err != nil {
		return fmt.Errorf("the voters agree on a leader: %w", err)
	}
	for _, v := range t.Env.Voters() {
		if v != victim {
			other = v
		}
	}
	if err := t.Env.StopVoter(ctx, victim); err != nil {
		return err
	}
	t.Screen.Note("stopped %s, which led the three", victim)
	began := time.Now()
	before, after, err := t.tighten(ctx, t.controlAt(t.Env.VoterURL(other)), h)
	if err != nil {
		return err
	}
	if err := t.check(after > before, "the two that are left accepted a tighter policy of %s after %.1f s: revision %d → %d", h.slug, time.Since(began).Seconds(), before, after); err != nil {
		return err
	}
	if err := t.Env.StartVoter(ctx, victim); err != nil {
		return err
	}
	back := t.controlAt(t.Env.VoterURL(victim))
	if err := t.eventually(ctx, func() bool {
		p, err := back.Policy(ctx, h.slug)
		return err == nil && p.GetRevision() >= after
	}); err != nil {
		return fmt.Errorf("%s catches up: %w", victim, err)
	}
	if err := t.check(true, "%s came back and knows revision %d", victim, after); err != nil {
		return err
	}
	t.command("policies get %s", h.slug)
	t.command("status")
	return nil
}

// tighten shortens how long staff access may last by one second, which tightens
// a policy at any telling.
func (t *teller) tighten(ctx context.Context, cp *client.Control, h *home) (before, after uint64, err error) {
	p, err := cp.Policy(ctx, h.slug)
	if err != nil {
		return 0, 0, err
	}
	rules := proto.CloneOf(p.GetRules())
	if rules.Access == nil {
		rules.Access = &controlv1.AccessRule{MaxDuration: 3600}
	}
	rules.Access.MaxDuration--
	now, err := cp.PutPolicy(ctx, h.slug, rules, p.GetEtag())
	return p.GetRevision(), now.GetRevision(), err
}

// loseControlPlane stops all voters; the region must go on by itself.
func (t *teller) loseControlPlane(ctx context.Context) error {
	h := t.homes[0]
	if err := t.Env.StopControlPlane(ctx); err != nil {
		return err
	}
	impatient := t.controlAt(t.Env.ControlURL())
	impatient.Patience = 0
	_, err := impatient.Tenant(ctx, h.slug)
	if err := t.refused(err, policy.NotReady, "no voter answers"); err != nil {
		return err
	}
	start := time.Now().UTC()
	made, err := h.client.CreateCall(ctx, data.NewCall{NativeID: "during-outage-" + uuid.NewString(), From: h.numbers.Caller, To: h.numbers.Called,
		Direction: "inbound", Status: "completed", StartTime: &start})
	if err != nil {
		return fmt.Errorf("take in a call without a control plane: %w", err)
	}
	read, err := h.client.Call(ctx, made.ID)
	if err != nil {
		return fmt.Errorf("read it back: %w", err)
	}
	if err := t.check(made.State == "stored" && read.Region == h.region, "%s stored a call and read it back, all the same", h.region); err != nil {
		return err
	}
	_, err = t.regionClient("us1", h.key).CreateCall(ctx, data.NewCall{NativeID: "elsewhere"})
	if err := t.refused(err, policy.WrongRegion, "us1 still refuses the Irish tenant"); err != nil {
		return err
	}
	if err := t.Env.StartControlPlane(ctx); err != nil {
		return err
	}
	tenant, err := t.control.Tenant(ctx, h.slug)
	if err != nil {
		return err
	}
	if err := t.check(tenant.GetId() == h.id, "the control plane is back, with everything it knew"); err != nil {
		return err
	}
	t.command("records get %s", made.ID)
	return nil
}

// eventually waits until so answers true, at most 20 s.
func (t *teller) eventually(ctx context.Context, so func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-ctx.Done():
			return errors.Join(ErrNotSo, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}
