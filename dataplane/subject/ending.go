package subject

import (
	"context"
	"errors"
	"fmt"

	"github.com/domicile-io/domicile/dataplane/export"
	"github.com/domicile-io/domicile/policy"
)

// EndCalls ends calls whose retention is over: it destroys what they have beside
// their records, names their rows that left, for whoever received them to delete,
// and then runs what destroys the records. Afterwards nothing leads from a person to
// either, so nothing of a call outlives its record (INV21). The permit must cover
// Erase of CallRecord. Legal holds are the caller's to ask for; with
// store.WithHolds each commit counts them, and store.ErrNewHold says that one came: what
// was destroyed before it is gone. After an error, asking again finishes.
func (s *Service) EndCalls(ctx context.Context, permit policy.Permit, calls []string, destroy func(context.Context) error) error {
	t := permit.Tenant()
	if err := s.endMedia(ctx, t, calls); err != nil {
		return err
	}
	if err := s.between("ended media"); err != nil {
		return err
	}
	if err := s.endRows(ctx, permit, calls, destroy); err != nil {
		return err
	}
	return s.endMedia(ctx, t, calls) // what came for a call that was still there
}

// endRows names the rows of calls that left, and then runs what destroys the calls.
func (s *Service) endRows(ctx context.Context, permit policy.Permit, calls []string, destroy func(context.Context) error) error {
	named := func(ctx context.Context) error {
		if err := s.between("ended rows"); err != nil {
			return err
		}
		return destroy(ctx)
	}
	if s.o.Exports == nil {
		return named(ctx)
	}
	gone, err := s.departed(ctx, permit, calls)
	if err != nil {
		return err
	}
	_, err = s.o.Exports.ForgetAnd(ctx, permit.Tenant(), export.Expired, gone, named)
	return err
}

// endMedia looks at the calls one by one only when the tenant keeps anything.
func (s *Service) endMedia(ctx context.Context, t policy.TenantID, calls []string) error {
	if s.o.Media == nil {
		return nil
	}
	some, err := s.o.Media.Any(ctx, t)
	if err != nil || !some {
		return err
	}
	for _, id := range calls {
		if _, _, err := s.o.Media.Forget(ctx, t, id); err != nil {
			return fmt.Errorf("destroy media: %w", err)
		}
	}
	return nil
}

// departed tells when calls of which rows may have left came in: by that their rows
// are found. Of a call that does not open nobody knows it.
func (s *Service) departed(ctx context.Context, permit policy.Permit, calls []string) (out []export.Gone, err error) {
	sent, err := s.o.Exports.Judged(permit.Tenant())
	if err != nil || !sent {
		return nil, err
	}
	for _, id := range calls {
		c, err := s.o.Store.Call(ctx, permit, id)
		switch {
		case err == nil:
			out = append(out, export.Gone{Call: id, Ingested: c.IngestedAt})
		case errors.Is(err, &policy.Error{Reason: policy.NotFound}), errors.Is(err, &policy.Error{Reason: policy.Internal}), errors.Is(err, &policy.Error{Reason: policy.Destroyed}):
			// It is gone, or does not open.
		default:
			return nil, fmt.Errorf("find the rows of a call that left: %w", err)
		}
	}
	return out, nil
}
