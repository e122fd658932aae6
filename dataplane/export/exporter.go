package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/feed"
	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/peer"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

const (
	// A window is judged so long after its end that what was stamped within it is
	// durable: a tenth of it, at least grace, and at most maxGrace, past which an
	// append has failed. A record that is later all the same never leaves.
	grace    = time.Second
	maxGrace = 30 * time.Second
	// maxWindows bounds one round of judging; the rest follows in the next.
	maxWindows = 10_000
)

// Lane is one (tenant, recipient) that the current bundle knows.
type Lane struct {
	Tenant    policy.TenantID
	Recipient policy.Recipient
}

// Options configure an Exporter. All but Leases, Now and Metrics are required.
type Options struct {
	Store    store.Store
	Keys     store.Keys
	Outbox   *Outbox
	Sender   *peer.Sender
	Gate     *gate.Gate
	Region   policy.RegionID
	Leases   lease.Leases      // who works on a tenant's exports; nil: this process alone
	View     func() *feed.View // the current bundle, or nil
	Interval time.Duration
	Window   time.Duration
	Now      func() time.Time
	Logger   *slog.Logger
	Metrics  prometheus.Registerer // nil: none
}

// Exporter judges windows and sends what passed.
type Exporter struct {
	o       Options
	metrics *metrics
	judging sync.Mutex // one window's candidates are in memory at a time

	simulating sync.Mutex // one simulation at a time

	mu    sync.Mutex
	waits map[string]policy.Reason // lanes whose wait was logged, and why they wait
}

// New makes an exporter; Run starts it.
func New(o Options) (*Exporter, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Leases == nil {
		o.Leases = &lease.Alone{}
	}
	if o.Interval <= 0 || o.Window <= 0 {
		return nil, fmt.Errorf("export interval and window must be above 0")
	}
	return &Exporter{o: o, metrics: newMetrics(o.Metrics, o.Outbox), waits: map[string]policy.Reason{}}, nil
}

// Outbox is where transfers and their records are kept.
func (e *Exporter) Outbox() *Outbox { return e.o.Outbox }

// Run works on every lane once an interval until ctx ends. Regions are sent to
// side by side, so that one which does not answer holds up no other.
func (e *Exporter) Run(ctx context.Context) {
	tick := time.NewTicker(e.o.Interval)
	defer tick.Stop()
	for {
		if err := e.forfeitAbsent(ctx); err != nil {
			e.o.Logger.Error("streams without a recipient were not closed", "error", err)
		}
		var all sync.WaitGroup
		for _, lanes := range e.byRegion() {
			all.Go(func() { e.pass(ctx, lanes) })
		}
		all.Wait()
		if err := e.Bury(ctx, ""); err != nil && ctx.Err() == nil {
			e.o.Logger.Warn("regions are still to be told which rows to delete", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// pass works on the lanes to one region. After one that could not be reached,
// the others only judge: each would wait as long.
func (e *Exporter) pass(ctx context.Context, lanes []Lane) {
	reached := true
	for _, lane := range lanes {
		if ctx.Err() != nil {
			return
		}
		err := e.turn(ctx, lane, reached)
		reached = reached && !errors.Is(err, errUnreachable)
		if ctx.Err() == nil {
			e.log(lane, err)
		}
	}
}

// RoundFor works on every lane of one tenant now.
func (e *Exporter) RoundFor(ctx context.Context, t policy.TenantID) error {
	var all error
	for _, lane := range e.lanes() {
		if lane.Tenant == t {
			all = errors.Join(all, e.Round(ctx, lane))
		}
	}
	return all
}

// Round judges a lane's closed windows, then sends what is queued. An error
// means that the rest stays where it is for the next round. A window that
// cannot be judged does not hold up what was judged before it.
func (e *Exporter) Round(ctx context.Context, lane Lane) error {
	return e.turn(ctx, lane, true)
}

// turn is Round, or only its judging. Nobody else works on the tenant meanwhile,
// here or on another node: its caps count all its lanes, so they send one after
// the other.
func (e *Exporter) turn(ctx context.Context, lane Lane, send bool) error {
	ctx, release, err := e.o.Leases.Hold(ctx, lease.Export(lane.Tenant))
	if err != nil {
		return fmt.Errorf("wait for who works on the tenant's exports: %w", err)
	}
	defer release()
	var all error
	if err := e.judge(ctx, lane); err != nil {
		all = fmt.Errorf("judge windows: %w", err)
	}
	if !send {
		return all
	}
	if err := e.drain(ctx, lane); err != nil {
		all = errors.Join(all, fmt.Errorf("send queue: %w", err))
	}
	return all
}

// outbox is the outbox under the lease of ctx.
func (e *Exporter) outbox(ctx context.Context) *Outbox {
	return e.o.Outbox.under(lease.FenceOf(ctx))
}

// lanes lists every recipient of every tenant that is at home here.
func (e *Exporter) lanes() (out []Lane) {
	view := e.o.View()
	if view == nil {
		return nil
	}
	for t := range view.Tenants() {
		rules, ok := view.Set.Rules(t.ID)
		if !ok || t.Home != e.o.Region {
			continue
		}
		for _, r := range rules.Recipients() {
			out = append(out, Lane{Tenant: t.ID, Recipient: r})
		}
	}
	return out
}

func (e *Exporter) byRegion() map[policy.RegionID][]Lane {
	out := map[policy.RegionID][]Lane{}
	for _, lane := range e.lanes() {
		out[lane.Recipient.Region] = append(out[lane.Recipient.Region], lane)
	}
	return out
}

// forfeitAbsent closes the streams of recipients that no policy names any more:
// what waits for them becomes gap markers, and what is acknowledged from now on
// never leaves, even if the recipient is declared again.
func (e *Exporter) forfeitAbsent(ctx context.Context) error {
	if e.o.View() == nil {
		return nil // nothing is known, so nothing is given up
	}
	named := map[string]bool{}
	for _, lane := range e.lanes() {
		named[lane.key()] = true
	}
	var absent []Lane
	err := e.o.Outbox.streams("", func(lane Lane, s Stream) error {
		if !s.Closed && !named[lane.key()] {
			absent = append(absent, lane)
		}
		return nil
	})
	for _, lane := range absent {
		err = errors.Join(err, e.closeStream(ctx, lane))
	}
	return err
}

func (e *Exporter) closeStream(ctx context.Context, lane Lane) error {
	ctx, release, err := e.o.Leases.Hold(ctx, lease.Export(lane.Tenant))
	if err != nil {
		return err
	}
	defer release()
	return errors.Join(e.refuseAll(ctx, lane, policy.RuleUnknownRecipient.String()), e.outbox(ctx).edit(lane.Tenant, lane.Recipient.ID, func(_ shelf.Tx, s *Stream) error {
		s.Closed = true
		return nil
	}))
}

func (l Lane) key() string { return string(streamKey(l.Tenant, l.Recipient.ID)) }

// log says once that a lane waits, and again when the reason is another.
func (e *Exporter) log(lane Lane, err error) {
	var reason policy.Reason
	if err != nil {
		reason = policy.Internal
	}
	var domain *policy.Error
	if errors.As(err, &domain) {
		reason = domain.Reason
	}
	e.mu.Lock()
	before := e.waits[lane.key()]
	if reason == "" {
		delete(e.waits, lane.key())
	} else {
		e.waits[lane.key()] = reason
	}
	e.mu.Unlock()
	switch {
	case reason == before:
	case reason == "":
		e.o.Logger.Info("export goes on", "tenant", string(lane.Tenant), "recipient", string(lane.Recipient.ID))
	default:
		e.o.Logger.Warn("export waits", "tenant", string(lane.Tenant), "recipient", string(lane.Recipient.ID), "reason", string(reason), "error", err)
	}
}
