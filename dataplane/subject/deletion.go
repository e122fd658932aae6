package subject

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/domicile-io/domicile/dataplane/export"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// DeleteCall destroys one call and everything that it has: recordings,
// transcripts, records, what they add to counters, and rows of it that left. When
// it answers, no copy of the records opens it. A feed's retry does not bring it
// back, and neither does a backup: the ledger names it before anything is
// destroyed. It makes no certificate: that is for persons. NOT_FOUND: there is no
// such call. LEGAL_HOLD: a hold covers it. After any other error some of it may be
// gone, and asking again finishes.
func (s *Service) DeleteCall(ctx context.Context, t policy.TenantID, id string) error {
	if !policy.ValidID(policy.KindCall, id) {
		return errNoCall
	}
	defer s.o.Room()()
	if err := s.audited(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	permit, err := s.permit(t, policy.Erase, policy.CallRecord)
	if err != nil {
		return err
	}
	c, err := s.o.Store.Call(ctx, permit, id)
	if errors.Is(err, &policy.Error{Reason: policy.NotFound}) {
		return errNoCall
	}
	if err != nil {
		return err
	}
	if err := s.MayDestroy(ctx, t, func() (string, error) { return id, nil }); err != nil {
		return err
	}
	if _, err := s.o.Ledger.Append(Intent{Tenant: t, Calls: []string{id}, Time: s.now().UTC()}); err != nil {
		return err
	}
	return s.destroyCall(ctx, t, &c)
}

var errNoCall = policy.Errorf(policy.NotFound, "there is no such call")

// destroyCall goes in the order of an erasure but for the rows that left: they are
// named before the record goes, because nothing leads to them afterwards, and no
// window is judged from the record in between.
func (s *Service) destroyCall(ctx context.Context, t policy.TenantID, c *store.Call) error {
	between := func(step string) error {
		if s.o.Between == nil {
			return nil
		}
		return s.o.Between(step)
	}
	if err := between("deletion"); err != nil {
		return err
	}
	if s.o.Media != nil {
		if _, _, err := s.o.Media.Forget(ctx, t, c.ID); err != nil {
			return fmt.Errorf("destroy media: %w", err)
		}
	}
	return s.unsent(ctx, t, c, func(ctx context.Context) error {
		if err := between("deletion media"); err != nil {
			return err
		}
		permit, err := s.permit(t, policy.Erase, policy.CallRecord)
		if err != nil {
			return err
		}
		if _, err := s.o.Store.Rewrite(s.tellOfCall(ctx, t, c.ID), permit, store.Rewrite{Calls: []string{c.ID}}); err != nil {
			return fmt.Errorf("rewrite a call: %w", err)
		}
		return nil
	})
}

// unsent takes a call's rows out of exports, and destroys its record.
func (s *Service) unsent(ctx context.Context, t policy.TenantID, c *store.Call, destroy func(context.Context) error) error {
	if s.o.Exports == nil {
		return destroy(ctx)
	}
	_, err := s.o.Exports.ForgetAnd(ctx, t, c.ID, []export.Gone{{Call: c.ID, Ingested: c.IngestedAt}}, destroy)
	if err != nil {
		err = fmt.Errorf("take rows out of exports, and destroy the record: %w", err)
	}
	return err
}

// Replayable refuses, DESTROYED, what a quarantined payload was to be replayed
// for when an erasure has taken the payload meanwhile. It is asked before the
// payload's records are stored and again after, with the calls that are new by it:
// these go again, because what they say was there before the erasure.
func (s *Service) Replayable(ctx context.Context, t policy.TenantID, payload string, stored []string) error {
	entries, err := s.o.Ledger.Since(t, 0)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(entries, func(in Intent) bool { return slices.Contains(in.Quarantined, payload) }) {
		return nil
	}
	for _, id := range stored {
		if err := s.DeleteCall(ctx, t, id); err != nil && !errors.Is(err, errNoCall) {
			return fmt.Errorf("delete what was replayed of an erased payload: %w", err)
		}
	}
	return policy.Errorf(policy.Destroyed, "the payload was erased while it was replayed")
}

// undeleted lists the calls that the ledger says are deleted and that the store
// has, in whatever state: it was put back from a backup, or a crash came between.
func (g *guard) undeleted(ctx context.Context, t policy.TenantID) (out []string, err error) {
	s := g.service
	entries, err := s.o.Ledger.Since(t, 0)
	if err != nil {
		return nil, err
	}
	for _, in := range entries {
		for _, id := range in.Calls {
			permit, err := s.permit(t, policy.Erase, policy.CallRecord)
			if err != nil {
				return nil, err
			}
			if _, err := s.o.Store.Call(ctx, permit, id); !errors.Is(err, &policy.Error{Reason: policy.NotFound}) {
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				out = append(out, id)
			}
		}
	}
	return out, nil
}

// deleteAgain destroys what a restored store has of deleted calls: first whatever
// stands under keys that are destroyed, with stones of the deleted ones, so that
// no feed's retry brings them back; then those that open.
func (g *guard) deleteAgain(ctx context.Context, t policy.TenantID) error {
	s := g.service
	calls, err := g.undeleted(ctx, t)
	if err != nil || len(calls) == 0 {
		return err
	}
	s.log.Warn("the record store has calls that were deleted, because it was put back from a backup or a deletion was cut short; they are deleted again", "tenant", string(t), "calls", len(calls))
	permit, err := s.permit(t, policy.Erase, policy.CallRecord)
	if err != nil {
		return err
	}
	forgotten, err := forgottenIn(s.o.Ledger, t)
	if err != nil {
		return err
	}
	if _, err := s.o.Store.Mend(tell(ctx, t, "store.mend", string(t), nil), permit, forgotten); err != nil {
		return fmt.Errorf("let go of what stands under destroyed keys: %w", err)
	}
	for _, id := range calls {
		if err := s.deleteOneAgain(ctx, permit, id); err != nil {
			return fmt.Errorf("delete a call again: %w", err)
		}
	}
	return nil
}

// deleteOneAgain destroys a deleted call that is there again, or still.
func (s *Service) deleteOneAgain(ctx context.Context, permit policy.Permit, id string) error {
	t := permit.Tenant()
	if s.o.Media != nil {
		if _, _, err := s.o.Media.Forget(ctx, t, id); err != nil {
			return fmt.Errorf("destroy media: %w", err)
		}
	}
	destroy := func(ctx context.Context) error {
		_, err := s.o.Store.Rewrite(tell(ctx, t, "call.delete", string(t), map[string]any{"again": true}), permit, store.Rewrite{Calls: []string{id}})
		return err
	}
	c, err := s.o.Store.Call(ctx, permit, id)
	if err != nil { // gone by now, or so damaged that nobody knows when it came
		return destroy(ctx)
	}
	return s.unsent(ctx, t, &c, destroy)
}
