package subject

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// A tenant whose end was ordered has no keys and no policy any more, so that nothing
// of it is permitted and nobody reaches its holds at the tenants' listener. What is
// here is for the node itself, and for whoever administers it.

// Standing lists the holds that are in force, in order of creation, and notes with
// the context which were looked at (store.WithHolds): a purge that is decided by it
// is refused when another came.
func (s *Service) Standing(ctx context.Context, t policy.TenantID) ([]Hold, error) {
	return s.standing(ctx, t)
}

// EveryHold lists the holds of tenants, released ones included, in order of creation.
// A tenant with a hold that cannot be read is left out, and told in the error: the
// holds of the others are there all the same.
func (s *Service) EveryHold(ctx context.Context, tenants iter.Seq[policy.TenantID]) (holds map[policy.TenantID][]Hold, err error) {
	holds = map[policy.TenantID][]Hold{}
	for t := range tenants {
		list, failed := s.everyHold(ctx, t)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("the holds of tenant %s cannot be read: %w", t, failed))
			continue
		}
		holds[t] = list
	}
	return holds, err
}

func (s *Service) everyHold(ctx context.Context, t policy.TenantID) ([]Hold, error) {
	items, _, err := s.o.Store.Holds(ctx, t)
	if err != nil {
		return nil, err
	}
	out := make([]Hold, 0, len(items))
	for _, item := range items {
		h, err := holdOf(item)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

// ReleaseEnded ends a hold of a tenant whose end was ordered, and tells the region's
// log that it was the node's administrator. Released again, it answers the same. The
// caller has seen the order: a tenant that lives releases its holds itself.
func (s *Service) ReleaseEnded(ctx context.Context, t policy.TenantID, id, order string) (Hold, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	items, _, err := s.o.Store.Holds(ctx, t)
	if err != nil {
		return Hold{}, err
	}
	for _, item := range items {
		if item.ID != id {
			continue
		}
		return s.released(item, func(item store.Item) error {
			_, err := s.o.Store.ReplaceHold(tell(ctx, t, "hold.release", id, map[string]any{"by": "administrator", "order": order}), t, item, item.Version)
			return err
		})
	}
	return Hold{}, policy.Errorf(policy.NotFound, "there is no such hold").With("hold", id)
}

// Stands reports whether the hold is in force now, by the service's clock.
func (s *Service) Stands(h *Hold) bool { return h.stands(s.now()) }
