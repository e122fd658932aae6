package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/policy"
)

// periodsBack is how many months back a purge looks for pseudonym secrets.
const periodsBack = 120

// Purge destroys what is kept of a tenant's exports: what waits, the records of
// what was sent, and the secrets of its pseudonyms, so that nothing that a
// recipient holds leads back. It counts transfers and secrets.
func (e *Exporter) Purge(ctx context.Context, t policy.TenantID) (transfers, secrets uint64, err error) {
	ctx, release, err := e.o.Leases.Hold(ctx, lease.Export(t))
	if err != nil {
		return 0, 0, err
	}
	defer release()
	e.judging.Lock() // what is being judged or sent ends first
	defer e.judging.Unlock()
	names, err := e.o.Outbox.secretNames(t, e.o.Now())
	if err != nil {
		return 0, 0, err
	}
	n, err := e.o.Keys.Forget(names)
	if err != nil {
		return 0, 0, fmt.Errorf("forget the pseudonym secrets of a tenant: %w", err)
	}
	transfers, err = e.outbox(ctx).purge(t)
	return transfers, uint64(n), err
}

// secretNames are the names that a tenant's pseudonym secrets can have.
func (o *Outbox) secretNames(t policy.TenantID, now time.Time) (names []string, err error) {
	var scopes map[string]bool
	err = o.shelf.View(func(tx shelf.Tx) error {
		scopes = map[string]bool{}
		return tx.Ascend(bucketTransfers, []byte(string(t)+"/"), nil, func(_, v []byte) error {
			x, err := transferIn(v)
			scopes[string(x.Recipient)+"/"+x.Purpose] = true
			return err
		})
	})
	first := time.Date(now.UTC().Year(), now.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
	for scope := range scopes {
		for n := -1; n < periodsBack; n++ {
			names = append(names, fmt.Sprintf("pseudonym/%s/%s/%s", t, scope, first.AddDate(0, -n, 0).Format(periodFormat)))
		}
	}
	slices.Sort(names)
	return names, err
}

// purge deletes everything of a tenant in one transaction; what comes later is refused.
func (o *Outbox) purge(t policy.TenantID) (transfers uint64, err error) {
	o.ended.Store(t, true)
	prefix := []byte(string(t) + "/")
	err = o.shelf.Update(func(tx shelf.Tx) error {
		var frozen [][]byte
		err := tx.Ascend(bucketQueue, prefix, nil, func(_, id []byte) error {
			frozen = append(frozen, bytes.Clone(id))
			return nil
		})
		for _, id := range frozen {
			err = errors.Join(err, tx.Delete(bucketFrozen, id))
		}
		if err != nil {
			return err
		}
		for _, b := range []shelf.Bucket{bucketTransfers, bucketByTime, bucketQueue, bucketStreams, bucketSuppressed, bucketTombstones, bucketBuried} {
			n, err := shelf.DeleteAll(tx, b, prefix, nil)
			if err != nil {
				return err
			}
			if b == bucketTransfers {
				transfers = uint64(n)
			}
		}
		return nil
	})
	return transfers, err
}
