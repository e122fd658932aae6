package subject

import (
	"context"
	"errors"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// maxCounted bounds how many calls of an owner are counted for a list of owners.
const maxCounted = 10_000

// Find lists every owner that a number had, each with how many calls are its
// own and what stands against erasing it. Recent owners are last.
func (s *Service) Find(ctx context.Context, t policy.TenantID, w Who) ([]data.Owner, error) {
	permit, err := s.permit(t, policy.Process, policy.CallRecord)
	if err != nil {
		return nil, err
	}
	owners, err := s.owners(ctx, t, w)
	if err != nil {
		return nil, err
	}
	holds, err := s.standing(ctx, t)
	if err != nil {
		return nil, err
	}
	out := make([]data.Owner, 0, len(owners))
	for _, o := range owners {
		if len(o.Subjects()) == 0 {
			continue // erased; nothing has come since
		}
		f := OwnerForms([]store.Owner{o})[0]
		f.Instance = o.Instance
		err := s.each(ctx, permit, o, func(store.Call) error {
			if f.Calls == maxCounted {
				f.More = true
				return errEnough
			}
			f.Calls++
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return nil, err
		}
		for _, h := range holds {
			if h.meets([]store.Owner{o}) {
				f.Holds = append(f.Holds, h.ID)
			}
		}
		if f.Erasing, err = s.erasing(ctx, t, func(owners []store.Owner) bool { return (&Hold{Owners: owners}).meets([]store.Owner{o}) }); err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// Reassign records that a number went to somebody else at a time. Calls that
// were listed from then on are the new owner's, those that come from now on
// under a subject of its own. It answers the owners.
func (s *Service) Reassign(ctx context.Context, t policy.TenantID, w Who, at time.Time) ([]data.Owner, error) {
	if at.After(s.now()) {
		return nil, &policy.Error{Reason: policy.InvalidArgument, Message: "a change of hands is recorded when it has happened",
			Fields: []policy.FieldError{{Field: "time", Message: "is in the future"}}}
	}
	if err := s.audited(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	permit, err := s.permit(t, policy.Process, policy.CallRecord)
	if err != nil {
		return nil, err
	}
	if running, err := s.running(ctx, t, &w); err != nil || running != nil {
		if running != nil {
			err = policy.Errorf(policy.AlreadyExists, "the number is being erased; record the change of hands when that is executed").With("certificate", running.Certificate.ID)
		}
		return nil, err
	}
	owners, err := s.o.Store.Reassign(tell(ctx, t, "subject.reassign", string(t), nil), permit, w.number(), w.Instance, at.UTC().Truncate(time.Microsecond))
	if err != nil {
		return nil, err
	}
	out := OwnerForms(owners)
	for i := range owners {
		out[i].Instance = owners[i].Instance
	}
	return out, nil
}
