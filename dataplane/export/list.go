package export

import (
	"bytes"
	"slices"
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

// SentOn counts a tenant's transfers that were queued on a UTC day, for caps.
func (o *Outbox) SentOn(t policy.TenantID, at time.Time) (n uint64, err error) {
	prefix, day := []byte(string(t)+"/"), at.UTC().Format(dayFormat)
	err = o.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketStreams).Cursor()
		for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
			var s Stream
			if _, err := readJSON(tx.Bucket(bucketStreams), k, &s); err != nil {
				return err
			}
			if s.Day == day {
				n += s.Today
			}
		}
		return nil
	})
	return n, err
}

// count adds transfers to their day's sum.
func (s *Stream) count(transfers []Transfer) {
	for _, x := range transfers {
		if day := x.CreatedAt.UTC().Format(dayFormat); day != s.Day {
			s.Day, s.Today = day, 0
		}
		s.Today++
	}
}

// Windows lists what a tenant's judged windows released and kept back, of all
// recipients, at most the latest size.
func (o *Outbox) Windows(t policy.TenantID, size int) (out []WindowNote, err error) {
	prefix := []byte(string(t) + "/")
	err = o.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketSuppressed).Cursor()
		for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
			var n WindowNote
			if _, err := readJSON(tx.Bucket(bucketSuppressed), k, &n); err != nil {
				return err
			}
			out = append(out, n)
		}
		return nil
	})
	slices.SortStableFunc(out, func(a, b WindowNote) int { return a.From.Compare(b.From) })
	return out[max(0, len(out)-size):], err
}

// Recent lists a tenant's latest transfers, newest last, at most size.
func (o *Outbox) Recent(t policy.TenantID, size int) (out []Transfer, err error) {
	prefix := []byte(string(t) + "/")
	past := []byte(string(t) + "0") // '0' follows '/'
	err = o.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketByTime).Cursor()
		k, _ := c.Seek(past)
		if k == nil {
			k, _ = c.Last()
		} else {
			k, _ = c.Prev()
		}
		for ; bytes.HasPrefix(k, prefix) && len(out) < size; k, _ = c.Prev() {
			x, err := transferAt(tx, t, k)
			if err != nil {
				return err
			}
			out = append(out, x)
		}
		return nil
	})
	slices.Reverse(out)
	return out, err
}
