package export

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Outbox keeps transfers from the moment their window is judged until they are
// delivered, and their records for ever after. Nodes that share its shelf may
// work on it at once: each change looks at what is there when it is made.
type Outbox struct {
	shelf  shelf.Shelf
	sealer *store.Sealer
	ended  *sync.Map // policy.TenantID → nothing: purged in this process, takes nothing more
	note   func(policy.TenantID, []Tombstone)
}

// OpenOutbox opens the outbox on a shelf that has Buckets. It closes the shelf in
// the end, and when it fails.
func OpenOutbox(s shelf.Shelf, sealer *store.Sealer) (*Outbox, error) {
	if err := shelf.Format(s, "the outbox", formatVersion); err != nil {
		return nil, errors.Join(fmt.Errorf("open the outbox: %w", err), s.Close())
	}
	return &Outbox{shelf: s, sealer: sealer, ended: &sync.Map{}}, nil
}

// under is the same outbox for who works under a lease.
func (o *Outbox) under(f lease.Fence) *Outbox {
	return &Outbox{shelf: o.shelf.Under(f), sealer: o.sealer, ended: o.ended, note: o.note}
}

// Stream reads the state of a (tenant, recipient); zero when it is new.
func (o *Outbox) Stream(t policy.TenantID, r policy.RecipientID) (s Stream, err error) {
	err = o.shelf.View(func(tx shelf.Tx) error {
		s = Stream{}
		_, err := readJSON(tx, bucketStreams, streamKey(t, r), &s)
		return err
	})
	return s, err
}

// Begin sets where the first window of a stream starts that is new or was
// closed. One that is open is left alone, without a write.
func (o *Outbox) Begin(t policy.TenantID, r policy.RecipientID, at time.Time) error {
	s, err := o.Stream(t, r)
	if err != nil || !s.Closed && !s.Judged.IsZero() {
		return err
	}
	return o.edit(t, r, func(_ shelf.Tx, s *Stream) error {
		if !s.Closed && !s.Judged.IsZero() {
			return nil // another node was first
		}
		if at.After(s.Judged) {
			s.Judged = at
		}
		s.Closed = false
		return nil
	})
}

// edit changes a stream in one transaction.
func (o *Outbox) edit(t policy.TenantID, r policy.RecipientID, change func(shelf.Tx, *Stream) error) error {
	return o.shelf.Update(func(tx shelf.Tx) error {
		if _, ended := o.ended.Load(t); ended {
			return policy.Errorf(policy.Destroyed, "the tenant has ended and its data is destroyed")
		}
		var s Stream
		if _, err := readJSON(tx, bucketStreams, streamKey(t, r), &s); err != nil {
			return err
		}
		if err := change(tx, &s); err != nil {
			return err
		}
		return putJSON(tx, bucketStreams, streamKey(t, r), s)
	})
}

// Judge commits a window's outcome in one transaction: its transfers with their
// frozen payloads and dense sequences, what was suppressed, and the window's
// end. A window that is already judged changes nothing. Sequences are given here.
func (o *Outbox) Judge(t policy.TenantID, note WindowNote, transfers []Transfer, payloads [][]byte) error {
	return o.edit(t, note.Recipient, func(tx shelf.Tx, s *Stream) error {
		if !note.Until.After(s.Judged) {
			return nil
		}
		for i := range transfers {
			s.Sequence++
			transfers[i].Sequence = s.Sequence
			if err := o.enqueue(tx, transfers[i], payloads[i]); err != nil {
				return err
			}
		}
		s.Judged = note.Until
		return putNote(tx, t, note)
	})
}

func (o *Outbox) enqueue(tx shelf.Tx, x Transfer, payload []byte) error {
	if err := putJSON(tx, bucketTransfers, transferKey(x.Tenant, x.ID), x); err != nil {
		return err
	}
	if err := tx.Put(bucketByTime, timeKey(x.Tenant, x.CreatedAt, x.ID), nil); err != nil {
		return err
	}
	if err := tx.Put(bucketFrozen, []byte(x.ID), o.sealer.Seal(payload, []byte(x.ID))); err != nil {
		return err
	}
	return tx.Put(bucketQueue, queueKey(x.Tenant, x.Recipient, x.Sequence), []byte(x.ID))
}

// Next is the oldest undelivered transfer of a stream with its frozen payload
// (nil when it was refused). ok is false when the queue is empty.
func (o *Outbox) Next(t policy.TenantID, r policy.RecipientID) (x Transfer, payload []byte, ok bool, err error) {
	err = o.shelf.View(func(tx shelf.Tx) error {
		var id []byte
		x, payload, ok = Transfer{}, nil, false
		err := tx.Ascend(bucketQueue, append(streamKey(t, r), '/'), nil, func(_, v []byte) error {
			id = bytes.Clone(v)
			return shelf.ErrStop
		})
		if err != nil || id == nil {
			return err
		}
		ok, err = readJSON(tx, bucketTransfers, transferKey(t, string(id)), &x)
		if err != nil || !ok {
			return errors.Join(err, errIf(!ok, "the queue names a transfer that has no record"))
		}
		if x.State == Refused {
			return nil
		}
		sealed, err := tx.Get(bucketFrozen, id)
		if err != nil {
			return err
		}
		payload, err = o.sealer.Open(sealed, id)
		return err
	})
	return x, payload, ok, err
}

// Undelivered lists a stream's queue in order.
func (o *Outbox) Undelivered(t policy.TenantID, r policy.RecipientID) (out []Transfer, err error) {
	err = o.shelf.View(func(tx shelf.Tx) error {
		out, err = undelivered(tx, t, r)
		return err
	})
	return out, err
}

func undelivered(tx shelf.Tx, t policy.TenantID, r policy.RecipientID) (out []Transfer, err error) {
	err = tx.Ascend(bucketQueue, append(streamKey(t, r), '/'), nil, func(_, id []byte) error {
		var x Transfer
		if _, err := readJSON(tx, bucketTransfers, transferKey(t, string(id)), &x); err != nil {
			return err
		}
		out = append(out, x)
		return nil
	})
	return out, err
}

// waits reports whether a transfer stands in the queue at its sequence: another
// node may have delivered or moved it since it was read.
func waits(tx shelf.Tx, x Transfer) (bool, error) {
	id, err := tx.Get(bucketQueue, queueKey(x.Tenant, x.Recipient, x.Sequence))
	return string(id) == x.ID, err
}

// Refuse turns a queued transfer into a gap marker: its bytes are dropped, its
// sequence stays, so that the receiver can skip it. One that is not queued any
// more stays what it is.
func (o *Outbox) Refuse(x Transfer, why string) error {
	x.State, x.Why = Refused, why
	return o.shelf.Update(func(tx shelf.Tx) error {
		if ok, err := waits(tx, x); err != nil || !ok {
			return err
		}
		if err := tx.Delete(bucketFrozen, []byte(x.ID)); err != nil {
			return err
		}
		return putJSON(tx, bucketTransfers, transferKey(x.Tenant, x.ID), x)
	})
}

// Delivered takes a transfer out of the queue after the receiver confirmed it. It
// counts once, also when two nodes sent it.
func (o *Outbox) Delivered(sent Transfer, at time.Time) error {
	return o.edit(sent.Tenant, sent.Recipient, func(tx shelf.Tx, s *Stream) error {
		if ok, err := waits(tx, sent); err != nil || !ok {
			return err
		}
		x := sent
		x.Delivered, x.AckedAt = true, at
		if x.State == Queued {
			x.State = Acknowledged
			s.count(at)
		}
		s.Delivered = x.Sequence
		return errors.Join(
			tx.Delete(bucketQueue, queueKey(x.Tenant, x.Recipient, x.Sequence)),
			tx.Delete(bucketFrozen, []byte(x.ID)),
			putJSON(tx, bucketTransfers, transferKey(x.Tenant, x.ID), x))
	})
}

// Shift moves a stream's queue behind mark, which the receiver has already
// reached: this outbox is older than what it sent (it was lost, or restored from
// a backup), so that its next sequences are taken. Ids and bytes stay, so the
// receiver still knows a transfer that it has.
func (o *Outbox) Shift(t policy.TenantID, r policy.RecipientID, mark uint64) error {
	return o.edit(t, r, func(tx shelf.Tx, s *Stream) error {
		queued, err := undelivered(tx, t, r)
		if err != nil || len(queued) == 0 || queued[0].Sequence > mark {
			return err
		}
		for _, x := range queued {
			if err := tx.Delete(bucketQueue, queueKey(t, r, x.Sequence)); err != nil {
				return err
			}
		}
		s.Sequence = mark
		for _, x := range queued {
			s.Sequence++
			x.Sequence = s.Sequence
			if err := errors.Join(tx.Put(bucketQueue, queueKey(t, r, x.Sequence), []byte(x.ID)),
				putJSON(tx, bucketTransfers, transferKey(t, x.ID), x)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Close closes the shelf.
func (o *Outbox) Close() error { return o.shelf.Close() }

func errIf(bad bool, message string) error {
	if bad {
		return errors.New(message)
	}
	return nil
}
