package subject

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// HeldCalls is for whoever else destroys, retention first: it reports which of
// some calls a hold keeps. "", or a call that is gone, stands for what belongs to
// none: holds on everybody keep that. An error means that none may be destroyed. A
// call that cannot be read while holds stand is kept.
func (s *Service) HeldCalls(ctx context.Context, permit policy.Permit, calls []string) (map[string]bool, error) {
	holds, err := s.standing(ctx, permit.Tenant())
	if err != nil || len(holds) == 0 {
		return nil, err
	}
	held := map[string]bool{}
	for _, id := range calls {
		c, err := s.o.Store.Call(ctx, permit, id)
		switch {
		case err != nil && !errors.Is(err, &policy.Error{Reason: policy.NotFound}):
			held[id] = true
		default:
			by := map[string]bool{}
			if err := s.whichKeep(ctx, permit, holds, &c, by); err != nil {
				return nil, err
			}
			held[id] = len(by) > 0
		}
	}
	return held, nil
}

// refusedBy finds the holds that stand against erasing these owners: their own,
// and those of people whose held calls they took part in.
func (s *Service) refusedBy(ctx context.Context, t policy.TenantID, permit policy.Permit, owners []store.Owner) error {
	holds, err := s.standing(ctx, t)
	if err != nil || len(holds) == 0 {
		return err
	}
	against := map[string]bool{}
	for _, h := range holds {
		if h.meets(owners) {
			against[h.ID] = true
		}
	}
	for _, o := range owners {
		err := s.each(ctx, permit, o, func(c store.Call) error { return s.whichKeep(ctx, permit, holds, &c, against) })
		if err != nil {
			return err
		}
	}
	return refusal(holds, func(h *Hold) bool { return against[h.ID] })
}

// maxDecisions bounds how often it is decided anew because a hold was placed.
const maxDecisions = 16

// Destroy destroys what belongs to a call, unless a hold covers it: then it refuses
// with LEGAL_HOLD. Between its look at the holds and what destroy commits, none can
// be placed unseen. call names the call, "" for what belongs to none; it is asked for
// only while holds stand. What belongs to no call, or to one that is gone, is
// covered by holds on everybody. destroy may be called again.
func (s *Service) Destroy(ctx context.Context, t policy.TenantID, call func() (string, error), destroy func(context.Context) error) error {
	return decided(ctx, func(ctx context.Context) error {
		if err := s.mayDestroy(ctx, t, call); err != nil {
			return err
		}
		if err := s.between("unheld"); err != nil {
			return err
		}
		return destroy(ctx)
	})
}

// decided does work anew while holds are placed between its look at them and its commit.
func decided(ctx context.Context, work func(context.Context) error) error {
	for try := 1; ; try++ {
		err := work(store.WithHolds(ctx))
		if !errors.Is(err, store.ErrNewHold) {
			return err
		}
		if try == maxDecisions {
			return &policy.Error{Reason: policy.NotReady, Cause: err, Message: "legal holds are being placed one after the other, and nothing was destroyed; try again in a moment"}
		}
	}
}

func (s *Service) mayDestroy(ctx context.Context, t policy.TenantID, call func() (string, error)) error {
	holds, err := s.standing(ctx, t)
	if err != nil || len(holds) == 0 {
		return err
	}
	id, err := call()
	if err != nil {
		return err
	}
	permit, err := s.permit(t, policy.Erase, policy.CallRecord)
	if err != nil {
		return err
	}
	var c store.Call
	if id != "" {
		if c, err = s.o.Store.Call(ctx, permit, id); err != nil && !errors.Is(err, &policy.Error{Reason: policy.NotFound}) {
			return err
		}
	}
	against := map[string]bool{}
	if err := s.whichKeep(ctx, permit, holds, &c, against); err != nil {
		return err
	}
	return refusal(holds, func(h *Hold) bool { return against[h.ID] })
}

// refusal names the holds, in order of creation, that stand against destroying; nil
// when none does.
func refusal(holds []Hold, stands func(*Hold) bool) error {
	var ids, reasons []string
	for i := range holds {
		h := &holds[i]
		if !stands(h) {
			continue
		}
		ids = append(ids, h.ID)
		if !slices.Contains(reasons, h.Reason) {
			reasons = append(reasons, h.Reason)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return policy.Errorf(policy.LegalHold, "a legal hold stands against the erasure (%s); it is possible when every hold on the person, and on those the person spoke with, is released or over", strings.Join(reasons, ", ")).
		With("holds", strings.Join(ids, ",")).With("hold_reasons", strings.Join(reasons, ","))
}

// begun refuses, ALREADY_EXISTS, a hold of which something is being destroyed
// already: by an erasure of the same person, by one of somebody that the person spoke
// with, which has come to calls of both, or as a single call. The hold is durable
// when it is asked. An erasure that has not come to such calls waits before them.
func (s *Service) begun(ctx context.Context, t policy.TenantID, h *Hold) error {
	permit, err := s.permit(t, policy.Erase, policy.CallRecord)
	if err != nil {
		return err
	}
	err = s.jobs(ctx, t, func(j *job) error {
		if j.Certificate.State != Pending {
			return nil
		}
		if h.meets(j.Owners) {
			return policy.Errorf(policy.AlreadyExists, "an erasure of this person has begun and is not stopped any more").With("certificate", j.Certificate.ID)
		}
		for _, c := range j.Page {
			if is, err := s.holdsCall(ctx, permit, h, c.Call); err != nil || is {
				return errors.Join(err, policy.Errorf(policy.AlreadyExists, "an erasure of somebody whom this person spoke with is just destroying calls of both; place the hold again in a moment, it covers what is left").With("certificate", j.Certificate.ID))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.deletions(ctx, t, func(item store.Item) error {
		if is, err := s.holdsCall(ctx, permit, h, item.Call); err != nil || is {
			return errors.Join(err, policy.Errorf(policy.AlreadyExists, "a call that the hold would cover is just being deleted, which is not stopped any more; place the hold again in a moment, it covers what is left"))
		}
		return nil
	})
}

// holdsCall reports whether a hold covers a call by its id; not one that is gone.
func (s *Service) holdsCall(ctx context.Context, permit policy.Permit, h *Hold, id string) (bool, error) {
	c, err := s.o.Store.Call(ctx, permit, id)
	if errors.Is(err, &policy.Error{Reason: policy.NotFound}) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return s.keeps(ctx, permit, h, &c)
}
