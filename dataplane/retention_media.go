package dataplane

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// ending tells whose data of a class end, and after how long.
type ending func(policy.DataClass) (iter.Seq2[policy.TenantID, time.Duration], error)

// endMedia destroys recordings and transcripts that were kept as long as the
// policy says of their own class. Those of a call that ends before them end with it.
func (r *retention) endMedia(ctx context.Context) error {
	if r.ending == nil {
		return nil
	}
	var all error
	for _, kind := range []store.ItemKind{store.RecordingItem, store.TranscriptItem} {
		tenants, err := r.ending(kind.Class())
		if err != nil {
			return errors.Join(all, err)
		}
		for tenant, keep := range tenants {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := r.mediaOf(ctx, tenant, kind, r.now().Add(-keep)); err != nil {
				all = errors.Join(all, fmt.Errorf("tenant %s: end the retention of %ss: %w", tenant, kind, err))
			}
		}
	}
	return all
}

func (r *retention) mediaOf(ctx context.Context, tenant policy.TenantID, kind store.ItemKind, before time.Time) error {
	if r.room != nil {
		defer r.room()()
	}
	ask := func(op policy.Operation, class policy.DataClass) (policy.Permit, error) {
		return r.check(gate.Question{Tenant: tenant, Op: op, Class: class})
	}
	done, err := r.media.Expire(ctx, ask, kind, before, func(ctx context.Context, calls []string) (map[string]bool, error) {
		if r.held == nil {
			return nil, nil
		}
		permit, err := ask(policy.Erase, policy.CallRecord)
		if err != nil {
			return nil, err
		}
		return r.held(ctx, permit, calls)
	})
	r.dropped.WithLabelValues(string(kind)).Add(float64(done.Destroyed))
	if done != (media.Expired{}) {
		r.log.Info("recordings or transcripts were destroyed because their retention was over", "tenant", string(tenant), "kind", string(kind),
			"destroyed", done.Destroyed, "held", done.Kept)
	}
	return err
}
