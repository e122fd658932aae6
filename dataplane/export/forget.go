package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/peer"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/policy"
)

// Gone is a call that is erased: what names its rows.
type Gone struct {
	Call     string    `json:"call"`
	Ingested time.Time `json:"ingested"` // its first event; it left in the window that holds this
}

// Expired stands in the place of a certificate for calls that ended because their
// retention was over.
const Expired = "retention"

// Judged reports whether any window of a tenant was ever judged here, so that rows
// of it may have left.
func (e *Exporter) Judged(t policy.TenantID) (judged bool, err error) {
	err = e.o.Outbox.streams(string(t)+"/", func(Lane, Stream) error { judged = true; return nil })
	return judged, err
}

// Forgotten counts what Forget did.
type Forgotten struct {
	Withdrawn  uint64 // rows taken out of transfers that had not been confirmed
	Tombstones uint64 // rows that receivers are to delete
}

// lair is one place where rows of some calls may be: a transfer, and the rows'
// pseudonyms in it.
type lair struct {
	x    Transfer
	rows map[string]bool
}

// Forget takes rows of erased calls out of what has not left, and notes what
// receivers must delete of what has, or may have. Windows that are not judged yet
// need nothing: they are judged from the records, which are redacted already. It
// waits for a window that is being judged and for what is being sent; repeating
// it changes nothing more. ALREADY gone streams are told too: they hold rows.
func (e *Exporter) Forget(ctx context.Context, t policy.TenantID, certificate string, calls []Gone) (Forgotten, error) {
	return e.ForgetAnd(ctx, t, certificate, calls, nil)
}

// ForgetAnd is Forget, and then runs what destroys the calls' records while no
// window is judged from them: afterwards nothing would lead to the rows.
func (e *Exporter) ForgetAnd(ctx context.Context, t policy.TenantID, certificate string, calls []Gone, destroy func(context.Context) error) (Forgotten, error) {
	var out Forgotten
	ctx, release, err := e.o.Leases.Hold(ctx, lease.Export(t))
	if err != nil {
		return out, err
	}
	defer release()
	e.judging.Lock()
	defer e.judging.Unlock()
	lairs, err := e.lairs(ctx, t, calls)
	for _, l := range lairs {
		if err != nil {
			return out, err
		}
		var n int
		if l.x.State == Queued {
			n, err = e.withdraw(ctx, l)
			out.Withdrawn += uint64(n)
		}
		if err == nil {
			err = e.outbox(ctx).bury(l, certificate)
			out.Tombstones += uint64(len(l.rows))
		}
	}
	if err == nil && destroy != nil {
		err = destroy(ctx)
	}
	return out, err
}

// lairs finds the transfers of windows in which the calls were first
// acknowledged, whatever became of them since: one that was sent and refused
// afterwards may have arrived.
func (e *Exporter) lairs(ctx context.Context, t policy.TenantID, calls []Gone) (out []lair, err error) {
	if len(calls) == 0 {
		return nil, nil
	}
	first, last := calls[0].Ingested, calls[0].Ingested
	for _, c := range calls {
		if c.Ingested.Before(first) {
			first = c.Ingested
		}
		if c.Ingested.After(last) {
			last = c.Ingested
		}
	}
	found, err := e.o.Outbox.overlapping(t, first, last)
	if err != nil {
		return nil, err
	}
	keys := map[string]*record.PseudonymKey{}
	for _, x := range found {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		scope := record.Scope{Tenant: t, Recipient: x.Recipient, Purpose: x.Purpose, Period: x.Until.UTC().Format(periodFormat)}
		name := fmt.Sprintf("pseudonym/%s/%s/%s/%s", scope.Tenant, scope.Recipient, scope.Purpose, scope.Period)
		if keys[name] == nil {
			secret, err := e.o.Keys.Named(name)
			if err != nil {
				return nil, fmt.Errorf("pseudonym secret: %w", err)
			}
			if keys[name], err = record.NewPseudonymKey(secret, scope); err != nil {
				return nil, err
			}
		}
		l := lair{x: x, rows: map[string]bool{}}
		for _, c := range calls {
			if c.Ingested.Before(x.From) || !c.Ingested.Before(x.Until) {
				continue
			}
			row, err := keys[name].Tombstone(c.Call)
			if err != nil {
				return nil, err
			}
			l.rows[row] = true
		}
		if len(l.rows) > 0 {
			out = append(out, l)
		}
	}
	lost, err := e.lostLairs(ctx, t, calls)
	return append(out, lost...), err
}

// overlapping lists a tenant's transfers whose windows meet [first, last].
func (o *Outbox) overlapping(t policy.TenantID, first, last time.Time) (out []Transfer, err error) {
	err = o.shelf.View(func(tx shelf.Tx) error {
		out = nil
		return tx.Ascend(bucketTransfers, []byte(string(t)+"/"), nil, func(_, v []byte) error {
			x, err := transferIn(v)
			if err == nil && !x.From.After(last) && x.Until.After(first) {
				out = append(out, x)
			}
			return err
		})
	})
	return out, err
}

// withdraw freezes a queued transfer anew without some rows, and without those
// of classes that have too few distinct subjects without them: what leaves must
// pass the gate as it leaves. One of which nothing is left becomes a gap.
func (e *Exporter) withdraw(ctx context.Context, l lair) (int, error) {
	payload, err := e.o.Outbox.frozen(l.x.ID)
	if err != nil || payload == nil {
		return 0, err
	}
	rows, err := peer.Thawed(payload, l.x.Rows)
	if err != nil {
		return 0, fmt.Errorf("read a queued transfer: %w", err)
	}
	kept, gone := regate(rows, l.rows, l.x.Needed)
	if gone == 0 {
		return 0, nil
	}
	if len(kept) == 0 {
		return gone, e.refuse(ctx, l.x, "ERASED")
	}
	payload, sum, err := peer.Refreeze(kept)
	if err != nil {
		return 0, err
	}
	x := l.x
	x.Suppressed += x.Rows - len(kept) - gone
	x.Rows, x.Bytes, x.SHA256 = len(kept), len(payload), peer.HashOf(sum)
	return gone, e.outbox(ctx).replace(x, payload)
}

// regate leaves out the rows that go, and then the rows of classes that are too
// small without them. gone counts the first.
func regate(rows []peer.Row, out map[string]bool, needed int) (kept []peer.Row, gone int) {
	touched, subjects := map[string]bool{}, map[string]map[string]bool{}
	for _, r := range rows {
		if out[r.Row] {
			touched[r.Class()] = true
			gone++
			continue
		}
		if subjects[r.Class()] == nil {
			subjects[r.Class()] = map[string]bool{}
		}
		if external := r.External(); external != "" {
			subjects[r.Class()][external] = true
		}
	}
	for _, r := range rows {
		if !out[r.Row] && (!touched[r.Class()] || len(subjects[r.Class()]) >= needed) {
			kept = append(kept, r)
		}
	}
	return kept, gone
}

// frozen opens a queued transfer's bytes; nil when they are gone.
func (o *Outbox) frozen(id string) (payload []byte, err error) {
	err = o.shelf.View(func(tx shelf.Tx) error {
		payload = nil
		sealed, err := tx.Get(bucketFrozen, []byte(id))
		if err != nil || sealed == nil {
			return err
		}
		payload, err = o.sealer.Open(sealed, []byte(id))
		return err
	})
	return payload, err
}

// replace puts other bytes into a transfer that is still queued.
func (o *Outbox) replace(x Transfer, payload []byte) error {
	return o.shelf.Update(func(tx shelf.Tx) error {
		sealed, err := tx.Get(bucketFrozen, []byte(x.ID))
		if err != nil {
			return err
		}
		if sealed == nil {
			return errors.New("the transfer is not queued any more")
		}
		if err := tx.Put(bucketFrozen, []byte(x.ID), o.sealer.Seal(payload, []byte(x.ID))); err != nil {
			return err
		}
		return putJSON(tx, bucketTransfers, transferKey(x.Tenant, x.ID), x)
	})
}

// tombstone says where a row went.
type tombstone struct {
	To    policy.RegionID `json:"to"`
	Basis string          `json:"basis"`
}

func tombstoneKey(t policy.TenantID, r policy.RecipientID, certificate, row string) []byte {
	return []byte(string(t) + "/" + string(r) + "/" + certificate + "/" + row)
}

// bury notes the rows that a receiver is to delete.
func (o *Outbox) bury(l lair, certificate string) error {
	note, err := json.Marshal(tombstone{To: l.x.To, Basis: l.x.Basis})
	if err != nil {
		return err
	}
	var noted []Tombstone
	err = o.shelf.Update(func(tx shelf.Tx) error {
		noted = noted[:0]
		for row := range l.rows {
			key := tombstoneKey(l.x.Tenant, l.x.Recipient, certificate, row)
			if err := tx.Put(bucketTombstones, key, note); err != nil {
				return err
			}
			noted = append(noted, Tombstone{key, note})
		}
		return nil
	})
	if err == nil && o.note != nil && len(noted) > 0 {
		o.note(l.x.Tenant, noted)
	}
	return err
}
