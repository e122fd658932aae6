package dataplane

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/intake"
	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/server"
	"github.com/domicile-io/domicile/dataplane/subject"
	"github.com/domicile-io/domicile/policy"
)

// erasuresDir holds the erasure ledger. It is put back from its own copy, never
// from a backup of the records.
const erasuresDir = "erasures"

// erasuresShelf is its shelf, where nodes share one.
const erasuresShelf = "erasures"

// openSubjects is where finding, exporting and erasing persons is wired. It runs
// after what it erases from is open, and before the tenants' listener is; numbers
// is what the listener remembers of telephone numbers.
func (n *Node) openSubjects(out server.Exports, numbers *intake.Numbers) (*subject.Service, error) {
	ledger, err := n.openLedger(numbers)
	if err != nil {
		return nil, err
	}
	n.onClose("erasure ledger", func(context.Context) error { return ledger.Close() })
	o := subject.Options{Region: n.region(), Node: n.material.Identity.Node, Store: n.store, Ledger: ledger, Gate: n.gate, Sign: n.material.SignStatement,
		CallingCode: intake.CallingCode, Audit: n.door.Healthy, Log: n.regionLog, Forget: []func(){numbers.Forget, n.oblivion.someone}, Logger: n.log}
	o.Retire, o.Room = n.keys.Retire, n.reserve.Use
	o.Beyond = func(generation uint64, now time.Time) (bool, error) {
		fate, err := n.keys.Fate(generation)
		return fate.IsFinal(now), err
	}
	o.Rekeyed = n.rekeyed
	if n.media != nil {
		o.Media = subjectMedia{n}
	}
	if e, ok := out.(*exports); ok {
		o.Exports = e.exporter
	}
	service, err := subject.New(o)
	if err != nil {
		return nil, fmt.Errorf("open subjects: %w", err)
	}
	n.background("erasures", lease.Erasures, func(ctx context.Context) { service.Run(ctx, n.atHome) })
	n.subjects.Store(service)
	return service, nil
}

// openLedger opens the erasure ledger: a file, or a shelf beside the keys, since
// it belongs into no backup of the records. What another node erases this one
// forgets too.
func (n *Node) openLedger(numbers *intake.Numbers) (subject.Ledger, error) {
	if n.shared == nil {
		ledger, err := subject.OpenLedger(filepath.Join(n.cfg.DataDir, erasuresDir), n.keys, n.region())
		if err != nil {
			return nil, err
		}
		ledger.RetryWith(n.reserve.Retry)
		n.backups.source.ledger, n.moving.ledger = ledger, ledger
		return ledger, nil
	}
	kept, err := n.ledgerShelf()
	if err != nil {
		return nil, err
	}
	n.tendCopies()
	ledger, err := subject.OpenShelfLedger(kept, n.shared.keys.Healthy, n.keys, n.region())
	if err != nil {
		return nil, err
	}
	n.backups.source.ledger = ledger
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for seen := uint64(0); ctx.Err() == nil; wait(ctx, forgetEvery) {
			if entries, err := ledger.Len(); err == nil && entries != seen {
				seen = entries
				numbers.Forget()
				n.oblivion.someone()
			}
		}
	}()
	n.onClose("watch over erasures", func(context.Context) error { cancel(); <-ended; return nil })
	return ledger, nil
}

// forgetEvery is how soon a node forgets the numbers of whom another erases.
const forgetEvery = 5 * time.Second

// rekeyed reports whether a tenant's indexes were built anew after a time, or
// hold nothing that waits for it.
func (n *Node) rekeyed(ctx context.Context, t policy.TenantID, since time.Time) (bool, error) {
	permit, err := n.gate.Check(gate.Question{Tenant: t, Op: policy.Erase, Class: policy.CallRecord})
	if err != nil {
		return false, err
	}
	began, waiting, err := n.store.Reindexed(ctx, permit)
	return err == nil && (waiting.IsZero() || began.After(since)), err
}

// heldCalls is what retention asks before it drops a page of calls.
func (n *Node) heldCalls(ctx context.Context, permit policy.Permit, calls []string) (map[string]bool, error) {
	service := n.subjects.Load()
	if service == nil {
		return nil, policy.Errorf(policy.NotReady, "the node is starting; legal holds are not known yet")
	}
	return service.HeldCalls(ctx, permit, calls)
}

// endCalls ends calls whose retention is over, with all that hangs on them.
func (n *Node) endCalls(ctx context.Context, permit policy.Permit, calls []string, destroy func(context.Context) error) error {
	service := n.subjects.Load()
	if service == nil {
		return policy.Errorf(policy.NotReady, "the node is starting; what hangs on calls is not known yet")
	}
	return service.EndCalls(ctx, permit, calls, destroy)
}

// serves is why a tenant's records may not be shown: see subject.Service.Serves.
// It is asked for every permit, and answers from memory once a tenant is clear.
func (n *Node) serves(t policy.TenantID) error {
	service := n.subjects.Load()
	if service == nil {
		return policy.Errorf(policy.NotReady, "the node is starting; try again in a moment")
	}
	return service.Serves(context.Background(), t)
}

// atHome lists the tenants whose records are here.
func (n *Node) atHome() (out []policy.TenantID) {
	view := n.feed.Current()
	if view == nil {
		return nil
	}
	for t := range view.Tenants() {
		if t.Home == n.region() {
			out = append(out, t.ID)
		}
	}
	return out
}
