package dataplane

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// heldEnds is which ends of tenants wait on this node because legal holds stand, by
// the order's id, and for how many holds.
type heldEnds struct {
	mu  sync.Mutex
	now map[string]int
}

// set notes how many holds stand against an order; 0: none. It reports whether that
// is another number than before.
func (h *heldEnds) set(order string, holds int) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	changed = h.now[order] != holds
	if holds == 0 {
		delete(h.now, order)
		return changed
	}
	if h.now == nil {
		h.now = map[string]int{}
	}
	h.now[order] = holds
	return changed
}

// keep forgets orders that are not given, or not believed, any more.
func (h *heldEnds) keep(orders map[policy.TenantID]*policy.PurgeOrder) {
	given := map[string]bool{}
	for _, order := range orders {
		given[order.ID] = true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.now, func(order string, _ int) bool { return !given[order] })
}

// list is feed.Options.HeldPurges.
func (h *heldEnds) list() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.now)
}

func (h *heldEnds) any() bool { return len(h.list()) > 0 }

func (n *Node) meterHeldEnds() {
	n.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "domicile_purges_held",
		Help: "Ends of tenants that wait on this node until legal holds are released."}, func() float64 { return float64(len(n.heldEnds.list())) }))
}

// waitsFor looks at a tenant's legal holds, and reports whether its end waits for
// them. Else decided is what the store counts them by in the commit that destroys
// (store.WithHolds): one that was placed since refuses it.
func (p *purger) waitsFor(ctx context.Context, tenant policy.TenantID, order *policy.PurgeOrder) (decided context.Context, waits bool, err error) {
	service := p.node.subjects.Load()
	if service == nil {
		return nil, false, policy.Errorf(policy.NotReady, "the node is starting; legal holds are not known yet")
	}
	decided = store.WithHolds(ctx)
	holds, err := service.Standing(decided, tenant)
	if err != nil {
		return nil, false, fmt.Errorf("look for legal holds: %w", err)
	}
	changed := p.node.heldEnds.set(order.ID, len(holds))
	if len(holds) == 0 {
		return decided, false, nil
	}
	if changed {
		p.node.log.Warn("a tenant's end waits: legal holds stand, and nothing is destroyed until they are released (domicile-dataplane region holds list)",
			"tenant", string(tenant), "order", order.ID, "holds", len(holds), "reason", string(policy.LegalHold))
	}
	return nil, true, p.tellHeld(ctx, tenant, order, len(holds))
}

// tellHeld tells the region's log, once, that an order was not carried out because of holds.
func (p *purger) tellHeld(ctx context.Context, tenant policy.TenantID, order *policy.PurgeOrder, holds int) error {
	detail, err := json.Marshal(map[string]int{"holds": holds})
	if err == nil {
		err = p.node.store.Note(ctx, store.Entry{Action: "tenant.purge_held", Resource: order.ID, Tenant: tenant, Once: "purge_held/" + order.ID, Detail: detail})
	}
	if err != nil {
		return fmt.Errorf("tell the region's log that a tenant's end waits: %w", err)
	}
	return nil
}
