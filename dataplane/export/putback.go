package export

import (
	"errors"
	"fmt"
	"time"

	"github.com/domicile-io/domicile/dataplane/shelf"

	"github.com/domicile-io/domicile/policy"
)

// An outbox that was put back from a backup must not send what was withdrawn
// since, nor forget whom receivers must still be told to delete.

// Tombstone is a row of what receivers are to delete, as backups keep it.
type Tombstone struct{ Key, Value []byte }

// PutBack is what is known of the time after an outbox was backed up.
type PutBack struct {
	Erased     map[policy.TenantID]bool // tenants of which somebody was erased since
	Ended      []policy.TenantID        // tenants whose end was carried out
	Tombstones []Tombstone              // that were noted since
	At         time.Time                // when it is put back
}

// PutBackReport counts what became of it.
type PutBackReport struct {
	GivenUp    uint64 `json:"given_up"`   // transfers that waited, of tenants of which somebody was erased since: nobody knows whose rows are in them
	Waiting    uint64 `json:"waiting"`    // transfers that wait still
	Tombstones uint64 `json:"tombstones"` // that are told again; receivers do not mind
}

// PutBackOutbox makes an outbox consistent with what was erased since, and closes
// its shelf.
func PutBackOutbox(s shelf.Shelf, p PutBack) (out PutBackReport, err error) {
	o, err := OpenOutbox(s, nil)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	for _, t := range p.Ended {
		if _, err := o.purge(t); err != nil {
			return out, fmt.Errorf("end tenant %s: %w", t, err)
		}
	}
	queued, err := o.queued()
	if err != nil {
		return out, err
	}
	for _, x := range queued {
		if x.State != Queued {
			continue
		}
		if !p.Erased[x.Tenant] {
			out.Waiting++
			continue
		}
		if err := o.Refuse(x, "RESTORED"); err != nil {
			return out, err
		}
		out.GivenUp++
	}
	if err := o.loseAll(p.At); err != nil {
		return out, err
	}
	out.Tombstones = uint64(len(p.Tombstones))
	return out, o.shelf.Update(func(tx shelf.Tx) error {
		for _, t := range p.Tombstones {
			if err := tx.Put(bucketTombstones, t.Key, t.Value); err != nil {
				return err
			}
		}
		return nil
	})
}

// queued lists every transfer that was not delivered.
func (o *Outbox) queued() (out []Transfer, err error) {
	err = o.shelf.View(func(tx shelf.Tx) error {
		out = out[:0]
		return tx.Ascend(bucketQueue, nil, nil, func(k, id []byte) error {
			if len(k) < policyTenant {
				return errors.New("the queue has a malformed key")
			}
			var x Transfer
			ok, err := readJSON(tx, bucketTransfers, transferKey(policy.TenantID(k[:policyTenant]), string(id)), &x)
			if err != nil || !ok {
				return errors.Join(err, errIf(!ok, "the queue names a transfer that has no record"))
			}
			out = append(out, x)
			return nil
		})
	})
	return out, err
}

// policyTenant is the length of a tenant's id.
const policyTenant = 2 + 32

// OnBury lets note be told of what receivers are to delete, after it is durable.
// It must come back soon. Set it before the outbox is used.
func (o *Outbox) OnBury(note func(policy.TenantID, []Tombstone)) { o.note = note }
