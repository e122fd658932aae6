package dataplane

import (
	"context"
	"fmt"
	"time"

	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/policy"
)

// sweepEvery is how often expired uploads and blobs that nothing names go.
const sweepEvery = time.Hour

// openMedia opens the blobs and the library over them.
func (n *Node) openMedia(Options) error {
	blobs, err := n.openBlobs()
	if err != nil {
		return err
	}
	n.onClose("blobs", func(context.Context) error { return blobs.Close() })
	n.backups.source.blobs = blobs
	n.media, err = media.New(media.Options{Region: n.region(), Keys: n.keys, Store: n.store, Blobs: blobs, Logger: n.log, Reference: n.regionLog.Reference,
		OnCorrupt: n.foundCorrupt})
	if err != nil {
		return fmt.Errorf("open media: %w", err)
	}
	return nil
}

// startSweeper ends abandoned uploads.
func (n *Node) startSweeper() {
	n.background("sweeper", lease.Sweep, func(ctx context.Context) {
		for ctx.Err() == nil {
			if err := n.feed.Wait(ctx, 1); err == nil { // there are no tenants before the first bundle
				n.sweep(ctx)
			}
			wait(ctx, sweepEvery)
		}
	})
}

func (n *Node) sweep(ctx context.Context) {
	view := n.feed.Current()
	if view == nil {
		return
	}
	for t := range view.Tenants() {
		if t.Home != n.region() || ctx.Err() != nil {
			continue
		}
		out, err := n.media.Sweep(ctx, n.asker(t.ID))
		if err != nil && ctx.Err() == nil {
			n.log.Warn("abandoned uploads of a tenant are not cleared; they are tried again", "tenant", string(t.ID), "cause", err)
		}
		if out != (media.Swept{}) {
			n.log.Info("abandoned uploads are cleared", "tenant", string(t.ID), "uploads", out.Uploads, "blobs", out.Blobs)
		}
	}
}

// asker asks the gate for one tenant.
func (n *Node) asker(t policy.TenantID) media.Ask {
	return func(op policy.Operation, class policy.DataClass) (policy.Permit, error) {
		return n.gate.Check(gate.Question{Tenant: t, Op: op, Class: class})
	}
}
