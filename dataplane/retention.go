package dataplane

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/telemetry"
	"github.com/domicile-io/domicile/policy"
)

// What is kept longer than the policy says is dropped within a day (INV24), so
// a round every hour has many tries.
const (
	retentionInterval = time.Hour
	retentionRetry    = 5 * time.Minute
	retentionPage     = store.MaxPageSize
	// retentionFresh: what was decided on an older bundle could be a retention
	// that has been lengthened since, and what is dropped does not come back.
	retentionFresh = 24 * time.Hour
)

// held tells which of a tenant's calls a legal hold keeps, "" standing for what
// belongs to no call. It is asked before each page is dropped.
type held func(ctx context.Context, permit policy.Permit, calls []string) (map[string]bool, error)

// end ends calls: first what they have beside their records, then, by destroy, these.
type end func(ctx context.Context, permit policy.Permit, calls []string, destroy func(context.Context) error) error

// retention drops what has been kept as long as its tenant's policy says.
type retention struct {
	store   store.Store
	check   func(gate.Question) (policy.Permit, error)
	tenants func() (iter.Seq2[policy.TenantID, time.Duration], error) // whose call records end, and after how long
	held    held                                                      // nil: nothing is held
	end     end
	ending  ending              // nil: no recording and no transcript ends but with its call
	media   *media.Library      // with ending
	room    func() (end func()) // for what destroys
	full    func() error        // why nothing large can be written now, else nil
	reindex time.Duration       // at least between two rebuilds of a tenant's indexes; 0: a day
	now     func() time.Time
	log     *slog.Logger

	dropped *prometheus.CounterVec
	kept    prometheus.Counter
	ended   prometheus.Gauge
	waiting prometheus.Gauge
}

func newRetention(r retention) *retention {
	r.dropped = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "domicile_retention_dropped_total", Help: "What was dropped because its retention was over."}, []string{"what"})
	r.kept = prometheus.NewCounter(prometheus.CounterOpts{Name: "domicile_retention_held_total", Help: "Calls whose retention is over and that a legal hold keeps, counted in each round."})
	r.ended = prometheus.NewGauge(prometheus.GaugeOpts{Name: "domicile_retention_last_end_timestamp_seconds", Help: "When a round over all tenants last ended without an error."})
	r.waiting = prometheus.NewGauge(prometheus.GaugeOpts{Name: "domicile_index_waiting_tenants", Help: "Tenants whose indexes wait to be built anew, so that who was erased is in no hash either."})
	return &r
}

// startRetention begins the rounds. Without a bundle that is known to be recent,
// and while the clock is in doubt, nothing is dropped.
func (n *Node) startRetention() {
	r := newRetention(retention{store: n.store, check: n.gate.Check, tenants: func() (iter.Seq2[policy.TenantID, time.Duration], error) { return n.ending(policy.CallRecord) },
		ending: n.ending, media: n.media, held: n.held, end: n.endCalls, room: n.reserve.Use,
		reindex: n.cfg.Keys.withDefaults().ReindexEvery, full: func() error { return n.disk.Check(time.Now()) }, now: time.Now, log: n.log})
	n.registry.MustRegister(r.dropped, r.kept, r.ended, r.waiting)
	n.background("retention", lease.Retention, func(ctx context.Context) {
		if err := n.feed.Wait(ctx, 1); err != nil {
			return
		}
		for ctx.Err() == nil {
			next := min(retentionInterval, r.reindex)
			traced, span := n.traces.Start(ctx, telemetry.Retain)
			err := r.round(traced)
			span.EndWith(err)
			if err != nil && ctx.Err() == nil {
				n.log.Warn("the end of a retention could not be carried out; it is tried again", "cause", err)
				next = min(next, retentionRetry)
			}
			if err := r.forget(ctx); err != nil && ctx.Err() == nil {
				n.log.Warn("an index that still knows who was forgotten could not be built anew; it is tried again", "cause", err)
				next = min(next, retentionRetry)
			}
			wait(ctx, next)
		}
	})
}

// ending are the tenants at home here whose policy ends a class of data.
func (n *Node) ending(class policy.DataClass) (iter.Seq2[policy.TenantID, time.Duration], error) {
	v := n.feed.Current()
	if age := n.feed.Age(); v == nil || age < 0 || age >= retentionFresh {
		return nil, errors.New("the policy was not confirmed for a day, so it may keep longer by now; restore contact with the control plane")
	}
	if n.feed.ClockSuspect() {
		return nil, errors.New("the node's clock jumped, so nobody knows how old anything is; synchronise it")
	}
	return func(yield func(policy.TenantID, time.Duration) bool) {
		for t := range v.Tenants() {
			rules, ok := v.Set.Rules(t.ID)
			if !ok || rules.Home != n.region() {
				continue
			}
			if keep := rules.Retention(class); keep > 0 && !yield(t.ID, keep) {
				return
			}
		}
	}, nil
}

// round looks at every tenant once. One that fails does not keep the others waiting.
func (r *retention) round(ctx context.Context) error {
	tenants, err := r.tenants()
	if err != nil {
		return err
	}
	var all error
	for tenant, keep := range tenants {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.tenant(ctx, tenant, r.now().Add(-keep)); err != nil {
			all = errors.Join(all, fmt.Errorf("tenant %s: %w", tenant, err))
		}
	}
	if all = errors.Join(all, r.endMedia(ctx)); all == nil {
		r.ended.Set(float64(r.now().Unix()))
	}
	return all
}

// tenant drops what a tenant has kept since before a time.
func (r *retention) tenant(ctx context.Context, tenant policy.TenantID, before time.Time) error {
	permit, err := r.check(gate.Question{Tenant: tenant, Op: policy.Erase, Class: policy.CallRecord})
	if err != nil {
		return err
	}
	if err := r.calls(ctx, permit, before); err != nil {
		return fmt.Errorf("end the retention of calls: %w", err)
	}
	if err := r.quarantined(ctx, permit, before); err != nil {
		return fmt.Errorf("end the retention of quarantined payloads: %w", err)
	}
	return nil
}

func (r *retention) calls(ctx context.Context, permit policy.Permit, before time.Time) error {
	for token := ""; ; {
		ids, next, err := r.store.Aged(ctx, permit, before, retentionPage, token)
		if err != nil {
			return err
		}
		ctx := store.WithHolds(ctx)
		if r.held != nil && len(ids) > 0 {
			kept, err := r.held(ctx, permit, ids)
			if err != nil {
				return fmt.Errorf("look for legal holds: %w", err)
			}
			rest := ids[:0:0]
			for _, id := range ids {
				if !kept[id] {
					rest = append(rest, id)
				}
			}
			r.kept.Add(float64(len(ids) - len(rest)))
			ids = rest
		}
		if len(ids) > 0 {
			done, err := r.drop(ctx, permit, ids, before)
			r.dropped.WithLabelValues("call").Add(float64(done.Dropped))
			if errors.Is(err, store.ErrNewHold) {
				continue // look at the page again
			}
			if err != nil {
				return err
			}
			r.log.Info("calls were dropped because their retention was over", "tenant", string(permit.Tenant()), "calls", done.Dropped, "keys", done.Keys)
		}
		if token = next; token == "" {
			return nil
		}
	}
}

// drop ends calls, and with them all that hangs on them, which tells of its own end.
func (r *retention) drop(ctx context.Context, permit policy.Permit, ids []string, before time.Time) (done store.Rewritten, err error) {
	if r.room != nil {
		defer r.room()()
	}
	err = r.end(ctx, permit, ids, func(ctx context.Context) (err error) {
		done, err = r.store.Rewrite(r.tell(ctx, permit, "call.expire", before), permit, store.Rewrite{Calls: ids, KeepCounts: true})
		return err
	})
	return done, err
}

// quarantined drops payloads that nobody has fixed for as long as a call is
// kept. Only a hold on everybody covers one: whose it is, nobody could read out of it.
func (r *retention) quarantined(whole context.Context, permit policy.Permit, before time.Time) error {
	ctx := store.WithHolds(whole)
	if r.held != nil {
		kept, err := r.held(ctx, permit, []string{""})
		if err != nil {
			return fmt.Errorf("look for legal holds: %w", err)
		}
		if kept[""] {
			return nil
		}
	}
	for token := ""; ; {
		items, next, err := r.store.Quarantines(ctx, permit, retentionPage, token)
		if err != nil {
			return err
		}
		for _, q := range items {
			if !q.ReceivedAt.Before(before) {
				continue
			}
			err := r.store.Unquarantine(r.tell(ctx, permit, "quarantine.expire", before), permit, q.ID)
			if errors.Is(err, store.ErrNewHold) {
				return r.quarantined(whole, permit, before)
			}
			if err != nil && !errors.Is(err, &policy.Error{Reason: policy.NotFound}) {
				return err
			}
			r.dropped.WithLabelValues("quarantined").Inc()
		}
		if token = next; token == "" {
			return nil
		}
	}
}

// tell makes each commit of a retention tell the region's log what it ended.
func (r *retention) tell(ctx context.Context, permit policy.Permit, action string, before time.Time) context.Context {
	return store.WithEntry(ctx, store.Entry{Action: action, Resource: string(permit.Tenant()), Tenant: permit.Tenant(),
		Detail: fmt.Appendf(nil, `{"before":%q,"revision":%d}`, before.UTC().Format(time.RFC3339), permit.Revision())})
}
