package dataplane

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/domicile-io/domicile/api"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/dataplane/export"
	"github.com/domicile-io/domicile/dataplane/feed"
	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/peer"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

const (
	purgesDir   = "purges"         // this node's receipts, for good
	purgeRetry  = 5 * time.Second  // after something could not be destroyed or reported, or while a legal hold stands
	reportAfter = 10 * time.Second // at most, for one report
)

// purger carries out the orders of the bundle: it destroys everything of a
// tenant on this node, keeps a signed receipt, and reports it.
type purger struct {
	node     *Node
	exporter *export.Exporter
	inbox    *peer.Inbox
	dir      string
	senders  *senders
}

// kept is a receipt as it lies in purgesDir.
type kept struct {
	Receipt   policy.PurgeReceipt `json:"receipt"`
	Signature string              `json:"signature"` // base64, by the key of this node's certificate
	Reported  bool                `json:"reported"`
}

func (n *Node) startPurger(exporter *export.Exporter, inbox *peer.Inbox) error {
	p := &purger{node: n, exporter: exporter, inbox: inbox, dir: filepath.Join(n.cfg.DataDir, purgesDir), senders: n.senders}
	n.meterHeldEnds()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); p.run(ctx) }()
	n.onClose("purger", func(context.Context) error { cancel(); <-ended; return nil })
	return nil
}

// run looks at the orders with each bundle, and again after a while when one
// could not be finished.
func (p *purger) run(ctx context.Context) {
	for ctx.Err() == nil {
		var seen uint64
		var err error
		if view := p.node.feed.Current(); view != nil {
			seen = view.Revision
			err = p.look(ctx, view)
		}
		if err != nil && ctx.Err() == nil {
			p.node.log.Warn("a tenant's end is not finished here; it is tried again", "cause", err)
		}
		wait, cancel := ctx, context.CancelFunc(func() {})
		if err != nil || p.node.heldEnds.any() {
			wait, cancel = context.WithTimeout(ctx, purgeRetry)
		}
		_ = p.node.feed.Wait(wait, seen+1) // a new bundle, or the time to try again
		cancel()
	}
}

// look learns which senders sign, and carries out the orders that are believed:
// those of senders are verified here, by keys that outlive their pairs, and those
// of tenants at home here were verified as their rows came, too.
func (p *purger) look(ctx context.Context, view *feed.View) error {
	if err := p.senders.learn(view.Pairs()); err != nil {
		return err
	}
	var all error
	believed := maps.Clone(view.Orders())
	keys := map[policy.TenantID]*policy.Signers{}
	for pair := range view.Pairs() {
		if pair.Signers != nil {
			keys[pair.Tenant] = pair.Signers
		}
	}
	for tenant, order := range view.Orders() {
		shown := keys[tenant]
		if shown == nil {
			shown = view.Signers(tenant)
		}
		if err := p.senders.believe(tenant, order, shown); err != nil {
			all = errors.Join(all, fmt.Errorf("order %s: %w", order.ID, err))
			delete(believed, tenant)
		}
	}
	return errors.Join(all, p.round(ctx, believed))
}

func (p *purger) round(ctx context.Context, orders map[policy.TenantID]*policy.PurgeOrder) error {
	var all error
	p.node.heldEnds.keep(orders)
	for tenant, order := range orders {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := p.carryOut(ctx, tenant, order); err != nil {
			all = errors.Join(all, fmt.Errorf("order %s: %w", order.ID, err))
		}
	}
	return all
}

// carryOut destroys, then keeps the receipt, then reports it: whatever is cut
// short is done again.
func (p *purger) carryOut(ctx context.Context, tenant policy.TenantID, order *policy.PurgeOrder) error {
	k, err := p.load(order.ID)
	if err != nil {
		return err
	}
	if k == nil {
		decided, waits, err := p.waitsFor(ctx, tenant, order)
		if err != nil || waits {
			return err
		}
		held, release, err := p.node.leases.Hold(decided, lease.Purge(tenant)) // each node of a region destroys, one after the other
		if err != nil {
			return err
		}
		k, err = p.destroy(held, tenant, order)
		release()
		if err != nil {
			return err
		}
	}
	p.node.heldEnds.set(order.ID, 0) // it was carried out, whoever released what it waited for
	if k.Reported {
		return nil
	}
	if err := p.report(ctx, k); err != nil {
		return err
	}
	k.Reported = true
	return p.save(k)
}

// destroy destroys everything of a tenant, unless a legal hold came that the context
// does not know (waitsFor): the store is the first that destroys anything.
func (p *purger) destroy(ctx context.Context, tenant policy.TenantID, order *policy.PurgeOrder) (*kept, error) {
	r := policy.PurgeReceipt{Order: order.ID, Tenant: tenant, Region: p.node.region(), Node: p.node.material.Identity.Node}
	defer p.node.reserve.Use()()
	told := store.WithBegin(ctx, store.Entry{Action: "tenant.purge_begin", Resource: order.ID, Tenant: tenant, Once: "purge/" + order.ID})
	told = store.WithEntry(told, store.Entry{Action: "tenant.purge", Resource: order.ID, Tenant: tenant})
	gone, err := p.node.store.Purge(told, tenant)
	if err != nil {
		return nil, fmt.Errorf("destroy records: %w", err)
	}
	ctx = store.WithoutHolds(ctx) // they are gone with everything else
	r.Calls, r.Quarantined, r.Keys = gone.Calls, gone.Quarantined, gone.Keys
	if _, err := p.node.media.Purge(ctx, tenant); err != nil {
		return nil, fmt.Errorf("destroy media: %w", err)
	}
	secrets := uint64(0)
	if r.Transfers, secrets, err = p.exporter.Purge(ctx, tenant); err != nil {
		return nil, fmt.Errorf("destroy exports: %w", err)
	}
	r.Keys += secrets
	if r.Received, err = p.inbox.Purge(tenant); err != nil {
		return nil, fmt.Errorf("destroy received rows: %w", err)
	}
	r.Time = time.Now().UTC().Truncate(time.Second)
	statement, err := r.Statement()
	if err != nil {
		return nil, err
	}
	signature, err := p.node.material.SignStatement(statement)
	if err != nil {
		return nil, err
	}
	k := &kept{Receipt: r, Signature: base64.StdEncoding.EncodeToString(signature)}
	if _, err := p.node.keys.Retire(); err != nil { // so that no copy of the key table holds the destroyed keys for long
		return nil, fmt.Errorf("ask for the key generation to be replaced: %w", err)
	}
	p.node.log.Info("everything of a tenant is destroyed", "tenant", string(tenant), "order", order.ID, "calls", r.Calls, "keys", r.Keys)
	return k, p.save(k)
}

// report brings the receipt to the voter that this node follows. One that has
// been signed with a former certificate's key is signed anew.
func (p *purger) report(ctx context.Context, k *kept) error {
	voter := p.node.feed.Voter()
	if voter == nil {
		return errors.New("the control plane is not heard; the receipt waits")
	}
	statement, err := k.Receipt.Statement()
	if err != nil {
		return err
	}
	signature, err := p.node.material.SignStatement(statement)
	if err != nil {
		return err
	}
	k.Signature = base64.StdEncoding.EncodeToString(signature)
	ctx, cancel := context.WithTimeout(ctx, reportAfter)
	defer cancel()
	r := k.Receipt
	_, err = controlv1.NewLifecycleServiceClient(voter).ReportPurge(ctx, &controlv1.ReportPurgeRequest{Receipt: &controlv1.PurgeReceipt{
		Order: r.Order, Tenant: string(r.Tenant), Region: string(r.Region), Node: string(r.Node), Calls: r.Calls, Quarantined: r.Quarantined,
		Transfers: r.Transfers, ReceivedRows: r.Received, DestroyedKeys: r.Keys, Time: timestamppb.New(r.Time), SignatureValue: k.Signature}})
	if err != nil {
		return fmt.Errorf("report a receipt: %w", api.FromGRPC(err))
	}
	return nil
}

func (p *purger) path(order string) string { return filepath.Join(p.dir, order+".json") }

// load reads a receipt; nil when this node has none of the order.
func (p *purger) load(order string) (*kept, error) {
	if !policy.ValidID(policy.KindOperation, order) {
		return nil, errors.New("the order has no usable id")
	}
	raw, err := os.ReadFile(p.path(order))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read a receipt: %w", err)
	}
	var k kept
	if err := json.Unmarshal(raw, &k); err != nil || k.Receipt.Order != order {
		return nil, nil // torn or another's: destroying again is harmless
	}
	return &k, nil
}

// save makes a receipt durable.
func (p *purger) save(k *kept) error {
	raw, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return fmt.Errorf("encode a receipt: %w", err)
	}
	if err := replaceDurably(p.path(k.Receipt.Order), slices.Concat(raw, []byte("\n"))); err != nil {
		return fmt.Errorf("keep a receipt: %w", err)
	}
	return nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
