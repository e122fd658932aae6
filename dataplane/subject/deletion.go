package subject

import (
	"context"
	"crypto/rand"
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
	begun, err := s.beginDeletion(ctx, t, id)
	if err != nil {
		return err
	}
	return s.delete(ctx, t, &c, begun)
}

// beginDeletion decides that a call goes: it is durable in the store when it answers,
// unless a hold covers the call. From then on it is carried out, also after a crash,
// and a hold on it is refused.
func (s *Service) beginDeletion(ctx context.Context, t policy.TenantID, id string) (begun store.Item, err error) {
	permit, err := s.permit(t, policy.Erase, store.DeletionItem.Class())
	if err != nil {
		return begun, err
	}
	name, err := policy.NewID(store.DeletionItem.IDKind(), rand.Reader)
	if err != nil {
		return begun, err
	}
	err = s.Destroy(ctx, t, func() (string, error) { return id, nil }, func(ctx context.Context) (err error) {
		begun, err = s.o.Store.PutItem(ctx, permit, store.Item{Kind: store.DeletionItem, ID: name, Call: id}, 0)
		return err
	})
	return begun, err
}

// delete carries out a deletion that has begun. Each part of it can be repeated.
func (s *Service) delete(ctx context.Context, t policy.TenantID, c *store.Call, begun store.Item) error {
	if err := s.between("deletion begun"); err != nil {
		return err
	}
	if err := s.nameCall(t, c.ID); err != nil {
		return err
	}
	if err := s.destroyCall(ctx, t, c); err != nil {
		return err
	}
	return s.endDeletion(ctx, t, begun)
}

// endDeletion forgets a deletion of which nothing is left to do.
func (s *Service) endDeletion(ctx context.Context, t policy.TenantID, begun store.Item) error {
	permit, err := s.permit(t, policy.Erase, store.DeletionItem.Class())
	if err != nil {
		return err
	}
	err = s.o.Store.DeleteItem(ctx, permit, store.DeletionItem, begun.ID, 0)
	if errors.Is(err, &policy.Error{Reason: policy.NotFound}) {
		return nil // another node has finished it
	}
	return err
}

// nameCall makes the ledger say that a call is deleted, once.
func (s *Service) nameCall(t policy.TenantID, id string) error {
	entries, err := s.o.Ledger.Since(t, 0)
	if err != nil || slices.ContainsFunc(entries, func(in Intent) bool { return slices.Contains(in.Calls, id) }) {
		return err
	}
	_, err = s.o.Ledger.Append(Intent{Tenant: t, Calls: []string{id}, Time: s.now().UTC()})
	return err
}

// deletions visits the deletions of single calls that have begun, and not ended.
func (s *Service) deletions(ctx context.Context, t policy.TenantID, visit func(store.Item) error) error {
	for token := ""; ; {
		permit, err := s.reads(t, store.DeletionItem)
		if err != nil {
			return err
		}
		page, err := s.o.Store.Items(ctx, permit, store.ItemQuery{Kind: store.DeletionItem, PageSize: store.MaxPageSize, PageToken: token})
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			if err := visit(item); err != nil {
				return err
			}
		}
		if token = page.NextPageToken; token == "" {
			return nil
		}
	}
}

// finishDeletions carries out what was cut short.
func (s *Service) finishDeletions(ctx context.Context, t policy.TenantID) error {
	s.mu.Lock() // nobody here is just carrying one out; what another node does twice is harmless
	defer s.mu.Unlock()
	var all error
	err := s.deletions(ctx, t, func(begun store.Item) error {
		if err := s.finishDeletion(ctx, t, begun); err != nil {
			all = errors.Join(all, fmt.Errorf("finish the deletion of a call: %w", err))
		}
		return ctx.Err()
	})
	return errors.Join(all, err)
}

func (s *Service) finishDeletion(ctx context.Context, t policy.TenantID, begun store.Item) error {
	defer s.o.Room()()
	permit, err := s.permit(t, policy.Erase, policy.CallRecord)
	if err != nil {
		return err
	}
	_, err = s.o.Store.Call(ctx, permit, begun.Call)
	if errors.Is(err, &policy.Error{Reason: policy.NotFound}) { // only the last look is left
		if err := s.lastMedia(ctx, t, begun.Call); err != nil {
			return err
		}
		return s.endDeletion(ctx, t, begun)
	}
	if err := s.nameCall(t, begun.Call); err != nil {
		return err
	}
	if err := s.deleteOneAgain(ctx, permit, begun.Call); err != nil {
		return err
	}
	return s.endDeletion(ctx, t, begun)
}

var errNoCall = policy.Errorf(policy.NotFound, "there is no such call")

// destroyCall goes in the order of an erasure but for the rows that left: they are
// named before the record goes, because nothing leads to them afterwards, and no
// window is judged from the record in between.
func (s *Service) destroyCall(ctx context.Context, t policy.TenantID, c *store.Call) error {
	if err := s.between("deletion"); err != nil {
		return err
	}
	if s.o.Media != nil {
		if _, _, err := s.o.Media.Forget(ctx, t, c.ID); err != nil {
			return fmt.Errorf("destroy media: %w", err)
		}
	}
	err := s.unsent(ctx, t, c, func(ctx context.Context) error {
		if err := s.between("deletion media"); err != nil {
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
	if err != nil {
		return err
	}
	return s.lastMedia(ctx, t, c.ID)
}

// lastMedia destroys what came for a call while it was being destroyed, and was
// still there to whoever brought it. Whoever begins to bring something once the
// record is gone is refused, or takes it back: see media.Library.
func (s *Service) lastMedia(ctx context.Context, t policy.TenantID, calls ...string) error {
	if err := s.between("last media"); err != nil || s.o.Media == nil {
		return err
	}
	for _, id := range calls {
		if _, _, err := s.o.Media.Forget(ctx, t, id); err != nil {
			return fmt.Errorf("destroy media that came meanwhile: %w", err)
		}
	}
	return nil
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
		err = destroy(ctx)
	} else {
		err = s.unsent(ctx, t, &c, destroy)
	}
	if err != nil {
		return err
	}
	return s.lastMedia(ctx, t, id)
}
