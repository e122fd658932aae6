package export

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/domicile-io/domicile/dataplane/peer"
)

// drain sends a lane's queue in order, asking the gate again before each. A
// transfer that is now refused by policy becomes a gap marker; the marker goes
// with the next transfer that is allowed, because a refused lane has no permit
// to send even that.
func (e *Exporter) drain(ctx context.Context, lane Lane) error {
	for ctx.Err() == nil {
		x, payload, ok, err := e.o.Outbox.Next(lane.Tenant, lane.Recipient.ID)
		if err != nil || !ok {
			return err
		}
		permit, err := e.ask(lane)
		if forfeits(err) {
			return e.refuseAll(lane)
		}
		if err != nil {
			return err
		}
		out := peer.Outgoing{ID: x.ID, Sequence: x.Sequence, Payload: payload, Rows: x.Rows, Refused: x.State == Refused}
		out.Sum = sha256.Sum256(payload)
		if x.State == Queued && peer.HashOf(out.Sum) != x.SHA256 {
			return fmt.Errorf("the frozen bytes of %s do not match their record; nothing is sent", x.ID)
		}
		mark, err := e.o.Sender.Send(ctx, permit, out)
		if err != nil {
			return err
		}
		if mark < x.Sequence {
			return fmt.Errorf("the receiver's mark %d is below %d that it just took", mark, x.Sequence)
		}
		if err := e.o.Outbox.Delivered(x, e.o.Now().UTC()); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// refuseAll turns everything that is queued for a lane into gap markers.
func (e *Exporter) refuseAll(lane Lane) error {
	queued, err := e.o.Outbox.Undelivered(lane.Tenant, lane.Recipient.ID)
	if err != nil {
		return err
	}
	for _, x := range queued {
		if x.State != Queued {
			continue
		}
		if err := e.o.Outbox.Refuse(x, "EGRESS_DENIED"); err != nil {
			return err
		}
	}
	return nil
}
