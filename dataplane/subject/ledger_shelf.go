package subject

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// bucketEntries holds number (big endian) → line.
const bucketEntries shelf.Bucket = "entries"

// ledgerFormat is the format of a ledger on a shelf; others are refused.
const ledgerFormat = 1

// LedgerBuckets are those that the shelf of a ledger has.
func LedgerBuckets() []shelf.Bucket { return []shelf.Bucket{bucketEntries} }

// ShelfLedger is the same chain of lines on a shelf that the nodes of a region
// share. What it has read once it does not read again: entries never change.
type ShelfLedger struct {
	shelf   shelf.Shelf
	healthy func() error

	mu    sync.Mutex
	chain chain
	after func() // after an entry of this node is durable
}

// OpenShelfLedger opens or makes the ledger on a shelf that has LedgerBuckets. Any
// damage is an error. healthy tells of the shelf's database.
func OpenShelfLedger(s shelf.Shelf, healthy func() error, keys store.Keys, region policy.RegionID) (*ShelfLedger, error) {
	c, err := newChain(keys, region)
	if err != nil {
		return nil, err
	}
	if err := shelf.Format(s, "the erasure ledger", ledgerFormat); err != nil {
		return nil, fmt.Errorf("open the erasure ledger: %w", err)
	}
	l := &ShelfLedger{shelf: s, healthy: healthy, chain: c}
	if _, err := l.newest(); err != nil {
		return nil, fmt.Errorf("open the erasure ledger: %w", err)
	}
	return l, nil
}

func entryKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// behind reads the entries behind those of a chain into it.
func behind(tx shelf.Tx, c *chain) error {
	return tx.Ascend(bucketEntries, nil, entryKey(uint64(len(c.entries))+1), func(k, v []byte) error {
		if err := c.take(v); err != nil {
			return fmt.Errorf("entry %x: %w; put the key database back, because without the ledger a restored store would serve what was erased", k, err)
		}
		return nil
	})
}

// newest is the chain as it is now on the shelf.
func (l *ShelfLedger) newest() (chain, error) {
	l.mu.Lock()
	c := l.chain
	l.mu.Unlock()
	c.entries = slices.Clip(c.entries)
	from := c
	err := l.shelf.View(func(tx shelf.Tx) error {
		c = from
		return behind(tx, &c)
	})
	if err != nil {
		return chain{}, err
	}
	l.remember(c)
	return c, nil
}

func (l *ShelfLedger) remember(c chain) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(c.entries) > len(l.chain.entries) {
		l.chain = c
	}
}

// Append implements Ledger. After policy.OutcomeUnknown the entry may be there;
// whoever asks Since finds out.
func (l *ShelfLedger) Append(in Intent) (n uint64, err error) {
	from, err := l.newest()
	if err != nil {
		return 0, err
	}
	from.entries = slices.Clip(from.entries)
	var c chain
	err = l.shelf.Update(func(tx shelf.Tx) error {
		c = from
		if err := behind(tx, &c); err != nil { // what another node appended meanwhile
			return err
		}
		at, raw, err := c.next(in)
		if err != nil {
			return err
		}
		n = at
		if err := c.take(raw); err != nil {
			return err
		}
		return tx.Put(bucketEntries, entryKey(n), raw)
	})
	if err != nil {
		return 0, fmt.Errorf("append to the erasure ledger: %w", err)
	}
	l.remember(c)
	l.mu.Lock()
	after := l.after
	l.mu.Unlock()
	if after != nil {
		after()
	}
	return n, nil
}

// Healthy implements Ledger.
func (l *ShelfLedger) Healthy() error { return l.healthy() }

// Since implements Ledger.
func (l *ShelfLedger) Since(t policy.TenantID, n uint64) ([]Intent, error) {
	c, err := l.newest()
	return c.since(t, n), err
}

// Last implements Ledger.
func (l *ShelfLedger) Last(t policy.TenantID) (uint64, error) {
	c, err := l.newest()
	return c.lastOf(t), err
}

// Tenants implements Ledger.
func (l *ShelfLedger) Tenants() ([]policy.TenantID, error) {
	c, err := l.newest()
	return c.tenants(), err
}

// Len implements Ledger.
func (l *ShelfLedger) Len() (uint64, error) {
	c, err := l.newest()
	return uint64(len(c.entries)), err
}

// Close implements Ledger: the shelf is its owner's.
func (l *ShelfLedger) Close() error { return nil }
