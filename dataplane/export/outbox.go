package export

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Outbox keeps transfers from the moment their window is judged until they are
// delivered, and their records for ever after.
type Outbox struct {
	db     *bbolt.DB
	sealer *store.Sealer
	ended  sync.Map // policy.TenantID → nothing: purged in this process, takes nothing more
}

// OpenOutbox opens outbox.db in dir.
func OpenOutbox(dir string, sealer *store.Sealer) (*Outbox, error) {
	db, err := bbolt.Open(filepath.Join(dir, "outbox.db"), 0o600, &bbolt.Options{
		Timeout: 5 * time.Second, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true})
	if err != nil {
		return nil, fmt.Errorf("open outbox.db: %w", err)
	}
	if err := prepare(db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Outbox{db: db, sealer: sealer}, nil
}

// Stream reads the state of a (tenant, recipient); zero when it is new.
func (o *Outbox) Stream(t policy.TenantID, r policy.RecipientID) (s Stream, err error) {
	err = o.db.View(func(tx *bbolt.Tx) error {
		_, err := readJSON(tx.Bucket(bucketStreams), streamKey(t, r), &s)
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
	return o.edit(t, r, func(_ *bbolt.Tx, s *Stream) error {
		if at.After(s.Judged) {
			s.Judged = at
		}
		s.Closed = false
		return nil
	})
}

// edit changes a stream in one transaction.
func (o *Outbox) edit(t policy.TenantID, r policy.RecipientID, change func(*bbolt.Tx, *Stream) error) error {
	return o.db.Update(func(tx *bbolt.Tx) error {
		if _, ended := o.ended.Load(t); ended {
			return policy.Errorf(policy.Destroyed, "the tenant has ended and its data is destroyed")
		}
		var s Stream
		if _, err := readJSON(tx.Bucket(bucketStreams), streamKey(t, r), &s); err != nil {
			return err
		}
		if err := change(tx, &s); err != nil {
			return err
		}
		return putJSON(tx.Bucket(bucketStreams), streamKey(t, r), s)
	})
}

// Judge commits a window's outcome in one transaction: its transfers with their
// frozen payloads and dense sequences, what was suppressed, and the window's
// end. A window that is already judged changes nothing. Sequences are given here.
func (o *Outbox) Judge(t policy.TenantID, note WindowNote, transfers []Transfer, payloads [][]byte) error {
	return o.edit(t, note.Recipient, func(tx *bbolt.Tx, s *Stream) error {
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

func (o *Outbox) enqueue(tx *bbolt.Tx, x Transfer, payload []byte) error {
	if err := putJSON(tx.Bucket(bucketTransfers), transferKey(x.Tenant, x.ID), x); err != nil {
		return err
	}
	if err := tx.Bucket(bucketByTime).Put(timeKey(x.Tenant, x.CreatedAt, x.ID), nil); err != nil {
		return err
	}
	if err := tx.Bucket(bucketFrozen).Put([]byte(x.ID), o.sealer.Seal(payload, []byte(x.ID))); err != nil {
		return err
	}
	return tx.Bucket(bucketQueue).Put(queueKey(x.Tenant, x.Recipient, x.Sequence), []byte(x.ID))
}

// Next is the oldest undelivered transfer of a stream with its frozen payload
// (nil when it was refused). ok is false when the queue is empty.
func (o *Outbox) Next(t policy.TenantID, r policy.RecipientID) (x Transfer, payload []byte, ok bool, err error) {
	err = o.db.View(func(tx *bbolt.Tx) error {
		prefix := append(streamKey(t, r), '/')
		k, id := tx.Bucket(bucketQueue).Cursor().Seek(prefix)
		if !bytes.HasPrefix(k, prefix) {
			return nil
		}
		ok, err = readJSON(tx.Bucket(bucketTransfers), transferKey(t, string(id)), &x)
		if err != nil || !ok {
			return errors.Join(err, errIf(!ok, "the queue names a transfer that has no record"))
		}
		if x.State == Refused {
			return nil
		}
		payload, err = o.sealer.Open(tx.Bucket(bucketFrozen).Get(id), id)
		return err
	})
	return x, payload, ok, err
}

// Undelivered lists a stream's queue in order.
func (o *Outbox) Undelivered(t policy.TenantID, r policy.RecipientID) (out []Transfer, err error) {
	prefix := append(streamKey(t, r), '/')
	err = o.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketQueue).Cursor()
		for k, id := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, id = c.Next() {
			var x Transfer
			if _, err := readJSON(tx.Bucket(bucketTransfers), transferKey(t, string(id)), &x); err != nil {
				return err
			}
			out = append(out, x)
		}
		return nil
	})
	return out, err
}

// Refuse turns a queued transfer into a gap marker: its bytes are dropped, its
// sequence stays, so that the receiver can skip it.
func (o *Outbox) Refuse(x Transfer, why string) error {
	x.State, x.Why = Refused, why
	return o.db.Update(func(tx *bbolt.Tx) error {
		if err := tx.Bucket(bucketFrozen).Delete([]byte(x.ID)); err != nil {
			return err
		}
		return putJSON(tx.Bucket(bucketTransfers), transferKey(x.Tenant, x.ID), x)
	})
}

// Delivered takes a transfer out of the queue after the receiver confirmed it.
func (o *Outbox) Delivered(x Transfer, at time.Time) error {
	x.Delivered, x.AckedAt = true, at
	return o.edit(x.Tenant, x.Recipient, func(tx *bbolt.Tx, s *Stream) error {
		if x.State == Queued {
			x.State = Acknowledged
			s.count(at)
		}
		s.Delivered = x.Sequence
		return errors.Join(
			tx.Bucket(bucketQueue).Delete(queueKey(x.Tenant, x.Recipient, x.Sequence)),
			tx.Bucket(bucketFrozen).Delete([]byte(x.ID)),
			putJSON(tx.Bucket(bucketTransfers), transferKey(x.Tenant, x.ID), x))
	})
}

// Shift moves a stream's queue behind mark, which the receiver has already
// reached: this file is older than what it sent (it was lost, or restored from
// a backup), so that its next sequences are taken. Ids and bytes stay, so the
// receiver still knows a transfer that it has.
func (o *Outbox) Shift(t policy.TenantID, r policy.RecipientID, mark uint64) error {
	queued, err := o.Undelivered(t, r)
	if err != nil {
		return err
	}
	return o.edit(t, r, func(tx *bbolt.Tx, s *Stream) error {
		if len(queued) == 0 || queued[0].Sequence > mark {
			return nil
		}
		for _, x := range queued {
			if err := tx.Bucket(bucketQueue).Delete(queueKey(t, r, x.Sequence)); err != nil {
				return err
			}
		}
		s.Sequence = mark
		for _, x := range queued {
			s.Sequence++
			x.Sequence = s.Sequence
			if err := errors.Join(tx.Bucket(bucketQueue).Put(queueKey(t, r, x.Sequence), []byte(x.ID)),
				putJSON(tx.Bucket(bucketTransfers), transferKey(t, x.ID), x)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Close closes the file.
func (o *Outbox) Close() error { return o.db.Close() }

func errIf(bad bool, message string) error {
	if bad {
		return errors.New(message)
	}
	return nil
}
