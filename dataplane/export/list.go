package export

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/policy"
)

// maxPage bounds a listing of transfers.
const maxPage = 1000

// dayFormat names a UTC day.
const dayFormat = "2006-01-02"

// Transfers lists a tenant's transfer records, oldest first, after the transfer
// with the id in after ("" from the start). next is "" at the end.
func (o *Outbox) Transfers(t policy.TenantID, size int, after string) (out []Transfer, next string, err error) {
	if size < 1 || size > maxPage {
		return nil, "", policy.Errorf(policy.InvalidArgument, "page_size must be 1 to %d", maxPage)
	}
	prefix := []byte(string(t) + "/")
	start := prefix
	if after != "" {
		last, err := o.Transfer(t, after)
		if err != nil {
			return nil, "", err
		}
		start = append(timeKey(t, last.CreatedAt, last.ID), 0)
	}
	err = o.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketByTime).Cursor()
		for k, _ := c.Seek(start); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
			if len(out) == size {
				next = out[size-1].ID
				return nil
			}
			x, err := transferAt(tx, t, k)
			if err != nil {
				return err
			}
			out = append(out, x)
		}
		return nil
	})
	return out, next, err
}

// transferAt reads the record that a by_time key names.
func transferAt(tx *bbolt.Tx, t policy.TenantID, timeKey []byte) (x Transfer, err error) {
	id := string(timeKey[bytes.LastIndexByte(timeKey, '/')+1:])
	ok, err := readJSON(tx.Bucket(bucketTransfers), transferKey(t, id), &x)
	if err == nil && !ok {
		err = policy.Errorf(policy.Internal, "outbox.db lists a transfer that has no record")
	}
	return x, err
}

// Transfer finds one transfer record of a tenant.
func (o *Outbox) Transfer(t policy.TenantID, id string) (x Transfer, err error) {
	err = o.db.View(func(tx *bbolt.Tx) error {
		ok, err := readJSON(tx.Bucket(bucketTransfers), transferKey(t, id), &x)
		if err == nil && !ok {
			return policy.Errorf(policy.NotFound, "no such transfer")
		}
		return err
	})
	return x, err
}

// SentOn counts a tenant's transfers that were acknowledged on a UTC day, of all
// recipients, for caps.
func (o *Outbox) SentOn(t policy.TenantID, at time.Time) (n uint64, err error) {
	day := at.UTC().Format(dayFormat)
	err = o.streams(string(t)+"/", func(_ Lane, s Stream) error {
		if s.Day == day {
			n += s.Today
		}
		return nil
	})
	return n, err
}

// Queued counts a tenant's transfers that wait to be sent, gap markers not counted.
func (o *Outbox) Queued(t policy.TenantID) (n uint64, err error) {
	prefix := []byte(string(t) + "/")
	err = o.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketQueue).Cursor()
		for k, id := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, id = c.Next() {
			if tx.Bucket(bucketFrozen).Get(id) != nil {
				n++
			}
		}
		return nil
	})
	return n, err
}

// streams visits the streams whose key begins with prefix. Of a lane only the
// ids are known here.
func (o *Outbox) streams(prefix string, visit func(Lane, Stream) error) error {
	return o.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketStreams).Cursor()
		for k, _ := c.Seek([]byte(prefix)); k != nil && bytes.HasPrefix(k, []byte(prefix)); k, _ = c.Next() {
			var s Stream
			if _, err := readJSON(tx.Bucket(bucketStreams), k, &s); err != nil {
				return err
			}
			t, r, _ := strings.Cut(string(k), "/")
			if err := visit(Lane{Tenant: policy.TenantID(t), Recipient: policy.Recipient{ID: policy.RecipientID(r)}}, s); err != nil {
				return err
			}
		}
		return nil
	})
}

// count adds one transfer to its day's sum.
func (s *Stream) count(at time.Time) {
	if day := at.UTC().Format(dayFormat); day != s.Day {
		s.Day, s.Today = day, 0
	}
	s.Today++
}

// Windows lists what a tenant's judged windows released and kept back, of all
// recipients, at most the latest size. It reads at most size of each recipient.
func (o *Outbox) Windows(t policy.TenantID, size int) (out []WindowNote, err error) {
	var lanes []Lane
	err = o.streams(string(t)+"/", func(lane Lane, _ Stream) error {
		lanes = append(lanes, lane)
		return nil
	})
	for _, lane := range lanes {
		err = errors.Join(err, o.db.View(func(tx *bbolt.Tx) error {
			b := tx.Bucket(bucketSuppressed)
			return latest(b, append(streamKey(t, lane.Recipient.ID), '/'), size, func(k []byte) error {
				var n WindowNote
				_, err := readJSON(b, k, &n)
				out = append(out, n)
				return err
			})
		}))
	}
	slices.SortStableFunc(out, func(a, b WindowNote) int { return a.From.Compare(b.From) })
	return out[max(0, len(out)-size):], err
}

// Recent lists a tenant's latest transfers, newest last, at most size.
func (o *Outbox) Recent(t policy.TenantID, size int) (out []Transfer, err error) {
	err = o.db.View(func(tx *bbolt.Tx) error {
		return latest(tx.Bucket(bucketByTime), []byte(string(t)+"/"), size, func(k []byte) error {
			x, err := transferAt(tx, t, k)
			out = append(out, x)
			return err
		})
	})
	slices.Reverse(out)
	return out, err
}

// latest visits at most size keys that begin with prefix, which ends in '/', from the last.
func latest(b *bbolt.Bucket, prefix []byte, size int, visit func(k []byte) error) error {
	past := bytes.Clone(prefix)
	past[len(past)-1]++ // '0' follows '/'
	c := b.Cursor()
	k, _ := c.Seek(past)
	if k == nil {
		k, _ = c.Last()
	} else {
		k, _ = c.Prev()
	}
	for ; bytes.HasPrefix(k, prefix) && size > 0; k, _ = c.Prev() {
		if err := visit(k); err != nil {
			return err
		}
		size--
	}
	return nil
}

// putNote remembers a window that released or kept back something, and forgets
// the stream's oldest when there are too many.
func putNote(tx *bbolt.Tx, t policy.TenantID, note WindowNote) error {
	if len(note.Suppressed) == 0 && note.Released == 0 {
		return nil
	}
	b := tx.Bucket(bucketSuppressed)
	if err := putJSON(b, windowKey(t, note.Recipient, note.From), note); err != nil {
		return err
	}
	prefix := append(streamKey(t, note.Recipient), '/')
	var old [][]byte
	kept := 0
	err := latest(b, prefix, maxNotes+maxForgotten, func(k []byte) error {
		if kept++; kept > maxNotes {
			old = append(old, bytes.Clone(k))
		}
		return nil
	})
	for _, k := range old {
		err = errors.Join(err, b.Delete(k))
	}
	return err
}

// maxForgotten bounds how many notes one commit deletes.
const maxForgotten = 100
