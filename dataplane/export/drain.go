package export

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"

	"github.com/domicile-io/domicile/dataplane/peer"
	"github.com/domicile-io/domicile/policy"
)

// errUnreachable marks an error of the way, not of the transfer.
var errUnreachable = errors.New("the region was not reached")

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
		permit, err := e.ask(lane, 0)
		if forfeits(err) {
			return e.refuseAll(ctx, lane, whyRefused(err))
		}
		if err != nil {
			return err
		}
		if why := outdated(x, permit, lane.Recipient); why != "" {
			if err := e.refuse(ctx, x, why); err != nil {
				return err
			}
			continue // it goes as a marker
		}
		if err := e.send(ctx, lane, permit, x, payload); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// outdated says why a frozen transfer may no longer leave although the
// recipient may receive: it was made for another region or purpose, or passed a
// gate that has been raised since. "" when it may, or is a marker anyway.
func outdated(x Transfer, permit policy.Permit, r policy.Recipient) string {
	switch {
	case x.State != Queued:
		return ""
	case x.To != permit.To() || x.Purpose != permit.Purpose():
		return recipientMoved
	case x.Basis != permit.Basis(): // its record names a basis, and under no other does it leave
		return "BASIS_CHANGED"
	case x.Needed < needed(r):
		return thresholdRaised
	}
	return ""
}

// send delivers one transfer and notes that it arrived. Where the two sides do
// not agree on what came before, it brings them together first.
func (e *Exporter) send(ctx context.Context, lane Lane, permit policy.Permit, x Transfer, payload []byte) error {
	out := peer.Outgoing{ID: x.ID, Sequence: x.Sequence, Payload: payload, Rows: x.Rows, Refused: x.State == Refused}
	out.Sum = sha256.Sum256(payload)
	if x.State == Queued && peer.HashOf(out.Sum) != x.SHA256 {
		return fmt.Errorf("the frozen bytes of %s do not match their record; nothing is sent", x.ID)
	}
	mark, err := e.o.Sender.Send(ctx, permit, out)
	if there, differs := receiverMark(err); differs {
		return e.reconcile(ctx, lane, permit, x, there)
	}
	if err != nil {
		if unanswered(err) {
			err = errors.Join(errUnreachable, err)
		}
		return err
	}
	if mark < x.Sequence {
		return fmt.Errorf("the receiver's mark %d is below %d that it just took", mark, x.Sequence)
	}
	if err := e.outbox(ctx).Delivered(x, e.o.Now().UTC()); err != nil {
		return err
	}
	e.metrics.delivered(x)
	return nil
}

// receiverMark reads where the receiver is from its refusal of a sequence.
func receiverMark(err error) (uint64, bool) {
	var e *policy.Error
	if !errors.As(err, &e) || e.Metadata[peer.MetadataMark] == "" {
		return 0, false
	}
	mark, parseErr := strconv.ParseUint(e.Metadata[peer.MetadataMark], 10, 64)
	return mark, parseErr == nil
}

// reconcile handles the two ways in which a file can have been lost. A receiver
// behind us has lost what it confirmed, or is new because the recipient has
// moved: we no longer have those bytes, so a marker closes the gap. A receiver
// ahead of us took sequences that we do not know: our file was lost or put
// back, so that our queue goes behind its mark.
func (e *Exporter) reconcile(ctx context.Context, lane Lane, permit policy.Permit, x Transfer, there uint64) error {
	log := e.o.Logger.With("tenant", string(lane.Tenant), "recipient", string(lane.Recipient.ID), "their_mark", there, "sequence", x.Sequence)
	if there >= x.Sequence {
		log.Warn("the receiver is ahead of this outbox; the queue goes behind its mark")
		return e.outbox(ctx).Shift(lane.Tenant, lane.Recipient.ID, there)
	}
	log.Warn("the receiver has lost transfers that it had confirmed, or is new; they are marked as a gap")
	id, err := policy.NewID(policy.KindTransfer, rand.Reader)
	if err != nil {
		return err
	}
	mark, err := e.o.Sender.Send(ctx, permit, peer.Outgoing{ID: id, Sequence: x.Sequence - 1, Refused: true})
	if err == nil && mark != x.Sequence-1 {
		err = fmt.Errorf("the receiver's mark is %d after a gap marker up to %d", mark, x.Sequence-1)
	}
	return err
}

// unanswered tells an error of the way from an answer of the receiver.
func unanswered(err error) bool {
	var e *policy.Error
	if !errors.As(err, &e) {
		return true
	}
	return e.Reason == policy.NotReady || e.Reason == policy.OutcomeUnknown
}

// whyRefused is the first rule that stood against a lane, for its records.
func whyRefused(err error) string {
	if rules := rulesOf(err); len(rules) > 0 {
		return rules[0]
	}
	return policy.RuleEgressDenied.String()
}

// refuseAll turns everything that is queued for a lane into gap markers.
func (e *Exporter) refuseAll(ctx context.Context, lane Lane, why string) error {
	queued, err := e.o.Outbox.Undelivered(lane.Tenant, lane.Recipient.ID)
	if err != nil {
		return err
	}
	for _, x := range queued {
		if x.State != Queued {
			continue
		}
		if err := e.refuse(ctx, x, why); err != nil {
			return err
		}
	}
	return nil
}

func (e *Exporter) refuse(ctx context.Context, x Transfer, why string) error {
	if err := e.outbox(ctx).Refuse(x, why); err != nil {
		return err
	}
	e.metrics.transfers.WithLabelValues(string(Refused)).Inc()
	return nil
}
