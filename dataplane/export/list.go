package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/domicile-io/domicile/dataplane/shelf"
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
	err = o.shelf.View(func(tx shelf.Tx) error {
		out, next = nil, ""
		return tx.Ascend(bucketByTime, prefix, start, func(k, _ []byte) error {
			if len(out) == size {
				next = out[size-1].ID
				return shelf.ErrStop
			}
			x, err := transferAt(tx, t, k)
			if err != nil {
				return err
			}
			out = append(out, x)
			return nil
		})
	})
	return out, next, err
}

// transferAt reads the record that a by_time key names.
func transferAt(tx shelf.Tx, t policy.TenantID, timeKey []byte) (x Transfer, err error) {
	id := string(timeKey[bytes.LastIndexByte(timeKey, '/')+1:])
	ok, err := readJSON(tx, bucketTransfers, transferKey(t, id), &x)
	if err == nil && !ok {
		err = policy.Errorf(policy.Internal, "the outbox lists a transfer that has no record")
	}
	return x, err
}

func transferIn(raw []byte) (x Transfer, err error) {
	if err := json.Unmarshal(raw, &x); err != nil {
		return x, fmt.Errorf("the outbox holds a transfer that does not parse: %w", err)
	}
	return x, nil
}

// Transfer finds one transfer record of a tenant.
func (o *Outbox) Transfer(t policy.TenantID, id string) (x Transfer, err error) {
	err = o.shelf.View(func(tx shelf.Tx) error {
		x = Transfer{}
		ok, err := readJSON(tx, bucketTransfers, transferKey(t, id), &x)
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
	err = o.shelf.View(func(tx shelf.Tx) error {
		n = 0
		return tx.Ascend(bucketQueue, prefix, nil, func(_, id []byte) error {
			frozen, err := tx.Get(bucketFrozen, id)
			if frozen != nil {
				n++
			}
			return err
		})
	})
	return n, err
}

// laneStream is a stream and whose it is.
type laneStream struct {
	lane   Lane
	stream Stream
}

// streams visits the streams whose key begins with prefix, each once, after all were
// read. Of a lane only the ids are known here.
func (o *Outbox) streams(prefix string, visit func(Lane, Stream) error) error {
	var found []laneStream
	err := o.shelf.View(func(tx shelf.Tx) error {
		found = nil
		return tx.Ascend(bucketStreams, []byte(prefix), nil, func(k, v []byte) error {
			var s Stream
			if err := json.Unmarshal(v, &s); err != nil {
				return fmt.Errorf("the outbox is corrupt at %q: %w", k, err)
			}
			t, r, _ := strings.Cut(string(k), "/")
			found = append(found, laneStream{Lane{Tenant: policy.TenantID(t), Recipient: policy.Recipient{ID: policy.RecipientID(r)}}, s})
			return nil
		})
	})
	for i := 0; i < len(found) && err == nil; i++ {
		err = visit(found[i].lane, found[i].stream)
	}
	return err
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
		before := len(out)
		err = errors.Join(err, o.shelf.View(func(tx shelf.Tx) error {
			out = out[:before]
			return latest(tx, bucketSuppressed, append(streamKey(t, lane.Recipient.ID), '/'), size, func(_, v []byte) error {
				var n WindowNote
				err := json.Unmarshal(v, &n)
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
	err = o.shelf.View(func(tx shelf.Tx) error {
		out = nil
		return latest(tx, bucketByTime, []byte(string(t)+"/"), size, func(k, _ []byte) error {
			x, err := transferAt(tx, t, k)
			out = append(out, x)
			return err
		})
	})
	slices.Reverse(out)
	return out, err
}

// latest visits at most size keys that begin with prefix, from the last.
func latest(tx shelf.Tx, b shelf.Bucket, prefix []byte, size int, visit func(k, v []byte) error) error {
	if size <= 0 {
		return nil
	}
	return tx.Descend(b, prefix, func(k, v []byte) error {
		if err := visit(k, v); err != nil {
			return err
		}
		if size--; size == 0 {
			return shelf.ErrStop
		}
		return nil
	})
}

// putNote remembers a window that released or kept back something, and forgets
// the stream's oldest when there are too many.
func putNote(tx shelf.Tx, t policy.TenantID, note WindowNote) error {
	if len(note.Suppressed) == 0 && note.Released == 0 {
		return nil
	}
	if err := putJSON(tx, bucketSuppressed, windowKey(t, note.Recipient, note.From), note); err != nil {
		return err
	}
	var old [][]byte
	kept := 0
	err := latest(tx, bucketSuppressed, append(streamKey(t, note.Recipient), '/'), maxNotes+maxForgotten, func(k, _ []byte) error {
		if kept++; kept > maxNotes {
			old = append(old, bytes.Clone(k))
		}
		return nil
	})
	for _, k := range old {
		err = errors.Join(err, tx.Delete(bucketSuppressed, k))
	}
	return err
}

// maxForgotten bounds how many notes one commit deletes.
const maxForgotten = 100
