package dataplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/policy"
)

// reindexEvery is how long one key of a tenant's indexes is used at least, unless
// the configuration says less: a rebuild reads everything that the tenant has stored.
const reindexEvery = 24 * time.Hour

// forget builds anew the indexes of tenants in which somebody was erased, so
// that his hashes can be computed by nobody any more.
func (r *retention) forget(ctx context.Context) error {
	tenants, err := r.store.Waiting(ctx)
	if err != nil {
		return err
	}
	left := len(tenants)
	var all error
	for _, tenant := range tenants {
		if err := ctx.Err(); err != nil {
			return err
		}
		done, err := r.forgetIn(ctx, tenant)
		if err != nil {
			all = errors.Join(all, fmt.Errorf("tenant %s: %w", tenant, err))
		}
		if done {
			left--
		}
	}
	r.waiting.Set(float64(left))
	return all
}

func (r *retention) forgetIn(ctx context.Context, tenant policy.TenantID) (done bool, err error) {
	permit, err := r.check(gate.Question{Tenant: tenant, Op: policy.Erase, Class: policy.CallRecord})
	if err != nil {
		return false, err
	}
	began, waiting, err := r.store.Reindexed(ctx, permit)
	if err != nil || waiting.IsZero() || r.now().Sub(began) < cmp.Or(r.reindex, reindexEvery) {
		return err == nil && waiting.IsZero(), err
	}
	if r.full != nil { // all of a tenant's indexes once more is more than a reserve holds
		if err := r.full(); err != nil {
			return false, err
		}
	}
	if err := r.store.Reindex(ctx, permit); err != nil {
		return false, err
	}
	r.log.Info("a tenant's indexes were built anew and their old key destroyed", "tenant", string(tenant), "waited_since", waiting)
	return true, nil
}
