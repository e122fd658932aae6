package export

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/peer"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/policy"
)

// maxBurials bounds the tombstones of one round; the rest follows in the next.
const maxBurials = 100_000

// burial is what one receiver is told at once.
type burial struct {
	tenant      policy.TenantID
	recipient   policy.RecipientID
	certificate string
	to          policy.RegionID
	basis       string
	rows        []string
	keys        [][]byte
}

// Bury tells receivers which rows to delete, of one tenant or ("") of all, and
// strikes out what they answered. What a region does not answer waits; an error
// says that something does.
func (e *Exporter) Bury(ctx context.Context, t policy.TenantID) error {
	todo, err := e.o.Outbox.burials(t)
	if err != nil {
		return err
	}
	var all error
	silent := map[policy.RegionID]bool{} // each further request would wait as long
	for _, b := range todo {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if silent[b.to] {
			continue
		}
		if err := e.buryOne(ctx, b); err != nil {
			silent[b.to] = true
			all = errors.Join(all, fmt.Errorf("region %s, certificate %s: %w", b.to, b.certificate, err))
		}
	}
	return all
}

func (e *Exporter) buryOne(ctx context.Context, b *burial) error {
	permit, err := e.o.Gate.Check(gate.Question{Tenant: b.tenant, Op: policy.Erase, Class: policy.CallRecord})
	if err != nil {
		return err
	}
	deleted, err := e.o.Sender.Forget(ctx, permit, b.to, b.basis, b.recipient, b.rows)
	if err != nil {
		return err
	}
	return e.o.Outbox.buried(b, deleted)
}

// burials groups what is to be told.
func (o *Outbox) burials(t policy.TenantID) (out []*burial, err error) {
	err = o.shelf.View(func(tx shelf.Tx) error {
		open, n := map[string]*burial{}, 0
		out = nil
		return tx.Ascend(bucketTombstones, []byte(t), nil, func(k, v []byte) error {
			if n++; n > maxBurials {
				return shelf.ErrStop
			}
			part := strings.Split(string(k), "/")
			var note tombstone
			if err := json.Unmarshal(v, &note); err != nil || len(part) != 4 {
				return fmt.Errorf("the outbox holds a tombstone that does not parse")
			}
			lane := strings.Join(part[:3], "/") + "/" + string(note.To) + "/" + note.Basis
			b := open[lane]
			if b == nil || len(b.rows) == peer.MaxTombstones {
				b = &burial{tenant: policy.TenantID(part[0]), recipient: policy.RecipientID(part[1]), certificate: part[2], to: note.To, basis: note.Basis}
				open[lane] = b
				out = append(out, b)
			}
			b.rows, b.keys = append(b.rows, part[3]), append(b.keys, bytes.Clone(k))
			return nil
		})
	})
	return out, err
}

// buried strikes out what a receiver has deleted, and counts what it had.
func (o *Outbox) buried(b *burial, deleted uint64) error {
	return o.shelf.Update(func(tx shelf.Tx) error {
		for _, k := range b.keys {
			if err := tx.Delete(bucketTombstones, k); err != nil {
				return err
			}
		}
		key := []byte(string(b.tenant) + "/" + b.certificate)
		before, err := tx.Get(bucketBuried, key)
		if err != nil {
			return err
		}
		return tx.Put(bucketBuried, key, binary.BigEndian.AppendUint64(nil, deleted+numberOf(before)))
	})
}

func numberOf(v []byte) uint64 {
	if len(v) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(v)
}

// Unburied counts, for a certificate, the rows that receivers have still to
// delete, and those that they had and deleted. Rows of calls that ended with their
// retention and are still to be deleted count for every certificate: any of them may
// be the person's.
func (e *Exporter) Unburied(t policy.TenantID, certificate string) (left, deleted uint64, err error) {
	err = e.o.Outbox.shelf.View(func(tx shelf.Tx) error {
		left, deleted = 0, 0
		err := tx.Ascend(bucketTombstones, []byte(string(t)+"/"), nil, func(k, _ []byte) error {
			if part := strings.SplitN(string(k), "/", 4); len(part) == 4 && (part[2] == certificate || part[2] == Expired) {
				left++
			}
			return nil
		})
		if err != nil {
			return err
		}
		v, err := tx.Get(bucketBuried, []byte(string(t)+"/"+certificate))
		deleted = numberOf(v)
		return err
	})
	return left, deleted, err
}
