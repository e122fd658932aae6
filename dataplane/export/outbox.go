package export

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
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

// Begin sets where a new stream's first window starts. A stream that exists is left alone.
func (o *Outbox) Begin(t policy.TenantID, r policy.RecipientID, at time.Time) error {
	return o.db.Update(func(tx *bbolt.Tx) error {
		b, key := tx.Bucket(bucketStreams), streamKey(t, r)
		if b.Get(key) != nil {
			return nil
		}
		return putJSON(b, key, Stream{Judged: at})
	})
}

// Judge commits a window's outcome in one transaction: its transfers with their
// frozen payloads and dense sequences, what was suppressed, and the window's
// end. A window that is already judged changes nothing. Sequences are given here.
func (o *Outbox) Judge(t policy.TenantID, note WindowNote, transfers []Transfer, payloads [][]byte) error {
	return o.db.Update(func(tx *bbolt.Tx) error {
		var s Stream
		if _, err := readJSON(tx.Bucket(bucketStreams), streamKey(t, note.Recipient), &s); err != nil {
			return err
		}
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
		s.count(transfers)
		if len(note.Suppressed) > 0 || note.Released > 0 {
			if err := putJSON(tx.Bucket(bucketSuppressed), windowKey(t, note.Recipient, note.From), note); err != nil {
				return err
			}
		}
		return putJSON(tx.Bucket(bucketStreams), streamKey(t, note.Recipient), s)
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
	if x.State == Queued {
		x.State = Acknowledged
	}
	return o.db.Update(func(tx *bbolt.Tx) error {
		var s Stream
		if _, err := readJSON(tx.Bucket(bucketStreams), streamKey(x.Tenant, x.Recipient), &s); err != nil {
			return err
		}
		s.Delivered = x.Sequence
		return errors.Join(
			tx.Bucket(bucketQueue).Delete(queueKey(x.Tenant, x.Recipient, x.Sequence)),
			tx.Bucket(bucketFrozen).Delete([]byte(x.ID)),
			putJSON(tx.Bucket(bucketTransfers), transferKey(x.Tenant, x.ID), x),
			putJSON(tx.Bucket(bucketStreams), streamKey(x.Tenant, x.Recipient), s))
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
