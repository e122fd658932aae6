package export

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/domicile-io/domicile/dataplane/feed"
	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/peer"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

const (
	// grace is how long after its end a window is judged, so that clocks of
	// committing goroutines have settled.
	grace = time.Second
	// maxWindows bounds one round of judging; the rest follows in the next.
	maxWindows = 10_000
)

// Lane is one (tenant, recipient) that the current bundle knows.
type Lane struct {
	Tenant    policy.TenantID
	Recipient policy.Recipient
}

// Options configure an Exporter. All but Now are required.
type Options struct {
	Store    store.Store
	Keys     store.Keys
	Outbox   *Outbox
	Sender   *peer.Sender
	Gate     *gate.Gate
	Region   policy.RegionID
	View     func() *feed.View // the current bundle, or nil
	Interval time.Duration
	Window   time.Duration
	Now      func() time.Time
	Logger   *slog.Logger
}

// Exporter judges windows and sends what passed.
type Exporter struct {
	o   Options
	one sync.Mutex // one round at a time
}

// New makes an exporter; Run starts it.
func New(o Options) (*Exporter, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Interval <= 0 || o.Window <= 0 {
		return nil, fmt.Errorf("export interval and window must be above 0")
	}
	return &Exporter{o: o}, nil
}

// Outbox is where transfers and their records are kept.
func (e *Exporter) Outbox() *Outbox { return e.o.Outbox }

// Run works on every lane once an interval until ctx ends.
func (e *Exporter) Run(ctx context.Context) {
	tick := time.NewTicker(e.o.Interval)
	defer tick.Stop()
	for {
		for _, lane := range e.lanes() {
			if err := e.Round(ctx, lane); err != nil && ctx.Err() == nil {
				e.log(lane, err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
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
// means that the rest stays where it is for the next round.
func (e *Exporter) Round(ctx context.Context, lane Lane) error {
	e.one.Lock()
	defer e.one.Unlock()
	if err := e.judge(ctx, lane); err != nil {
		return fmt.Errorf("judge windows: %w", err)
	}
	if err := e.drain(ctx, lane); err != nil {
		return fmt.Errorf("send queue: %w", err)
	}
	return nil
}

// judge looks at every window that has closed. A stale bundle leaves windows
// unjudged (the queue grows); any other refusal forfeits them, so that a later
// loosening never exports what was acknowledged before it.
func (e *Exporter) judge(ctx context.Context, lane Lane) error {
	now := e.o.Now()
	if err := e.o.Outbox.Begin(lane.Tenant, lane.Recipient.ID, now.Add(-2*time.Second).Truncate(e.o.Window)); err != nil {
		return err
	}
	s, err := e.o.Outbox.Stream(lane.Tenant, lane.Recipient.ID)
	if err != nil {
		return err
	}
	closed := now.Add(-grace).Truncate(e.o.Window)
	if !closed.After(s.Judged) {
		return nil
	}
	permit, err := e.ask(lane)
	if forfeits(err) {
		note := WindowNote{Recipient: lane.Recipient.ID, From: s.Judged, Until: closed}
		return e.o.Outbox.Judge(lane.Tenant, note, nil, nil)
	}
	if err != nil {
		return err
	}
	from := s.Judged
	for n := 0; from.Before(closed) && n < maxWindows; n++ {
		until := from.Truncate(e.o.Window).Add(e.o.Window)
		empty, err := e.window(ctx, lane, permit, from, until)
		if err != nil {
			return err
		}
		if from = until; empty && from.Before(closed) {
			continue // one commit for a run of empty windows
		}
		if empty {
			return e.o.Outbox.Judge(lane.Tenant, WindowNote{Recipient: lane.Recipient.ID, From: s.Judged, Until: until}, nil, nil)
		}
	}
	return nil
}

// window judges one window and commits its outcome. An empty one commits nothing.
func (e *Exporter) window(ctx context.Context, lane Lane, permit policy.Permit, from, until time.Time) (empty bool, err error) {
	candidates, err := e.candidates(ctx, permit, from, until)
	if err != nil || len(candidates) == 0 {
		return true, err
	}
	released, suppressed := SingleOut(candidates, lane.Recipient.Threshold+lane.Recipient.Colluding)
	note := WindowNote{Recipient: lane.Recipient.ID, From: from, Until: until, Released: len(released), Suppressed: suppressed}
	kept := 0
	for _, s := range suppressed {
		kept += s.Rows
	}
	var transfers []Transfer
	var payloads [][]byte
	for len(released) > 0 {
		n := min(len(released), peer.MaxRows)
		payload, sum, err := peer.Freeze(released[:n])
		if err != nil {
			return false, err
		}
		id, err := policy.NewID(policy.KindTransfer, rand.Reader)
		if err != nil {
			return false, err
		}
		transfers = append(transfers, Transfer{ID: id, Tenant: lane.Tenant, Recipient: lane.Recipient.ID, To: permit.To(),
			Purpose: permit.Purpose(), Basis: permit.Basis(), Revision: permit.Revision(), State: Queued, Rows: n,
			Suppressed: kept, Bytes: len(payload), SHA256: peer.HashOf(sum), From: from, Until: until, CreatedAt: e.o.Now().UTC()})
		payloads = append(payloads, payload)
		released, kept = released[n:], 0
	}
	return false, e.o.Outbox.Judge(lane.Tenant, note, transfers, payloads)
}

func (e *Exporter) ask(lane Lane) (policy.Permit, error) {
	sent, err := e.o.Outbox.SentOn(lane.Tenant, e.o.Now())
	if err != nil {
		return policy.Permit{}, err
	}
	return e.o.Gate.Check(gate.Question{Tenant: lane.Tenant, Op: policy.Export, Class: policy.CallRecord,
		Egress: policy.PseudonymisedExport, Recipient: lane.Recipient.ID, Purpose: lane.Recipient.Purpose,
		SentToday: sent, FieldsUnknown: len(record.Unclassified()) > 0})
}

// lanes lists every recipient of every tenant that is at home here.
func (e *Exporter) lanes() (out []Lane) {
	view := e.o.View()
	if view == nil {
		return nil
	}
	for t := range view.Tenants() {
		if t.Home != e.o.Region || t.Policy == nil || t.Policy.Recipients.DenyAll {
			continue
		}
		for _, r := range t.Policy.Recipients.List {
			out = append(out, Lane{Tenant: t.ID, Recipient: r})
		}
	}
	return out
}

// forfeits tells a refusal by policy from doubt: doubt keeps the queue.
func forfeits(err error) bool {
	return errors.Is(err, &policy.Error{Reason: policy.EgressDenied}) || errors.Is(err, &policy.Error{Reason: policy.PermissionDenied})
}

func (e *Exporter) log(lane Lane, err error) {
	reason := policy.Internal
	var domain *policy.Error
	if errors.As(err, &domain) {
		reason = domain.Reason
	}
	e.o.Logger.Warn("export waits", "tenant", string(lane.Tenant), "recipient", string(lane.Recipient.ID), "reason", string(reason), "error", err)
}
