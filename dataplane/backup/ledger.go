package backup

import (
	"context"
)

// LedgerCopy is the copy of the erasure ledger beside the backups: the one file of
// a repository that changes. It is never in a snapshot.
type LedgerCopy struct {
	ctx   context.Context
	place Place
}

const (
	ledgerName = erasuresDir + "/ledger.jsonl"
	maxLedger  = 1 << 30
)

// LedgerAt is the copy in a place that may hold no repository yet. ctx bounds what is
// done with it.
func LedgerAt(ctx context.Context, p Place) *LedgerCopy { return &LedgerCopy{ctx, p} }

// Ledger is the repository's copy.
func (r *Repository) Ledger(ctx context.Context) *LedgerCopy { return LedgerAt(ctx, r.place) }

// String says where it is.
func (c *LedgerCopy) String() string { return c.place.String() + ", " + ledgerName }

// Read gives its bytes; fs.ErrNotExist when there is none.
func (c *LedgerCopy) Read() ([]byte, error) { return readAll(c.ctx, c.place, ledgerName, maxLedger) }

// Put replaces it, durably.
func (c *LedgerCopy) Put(raw []byte) error { return c.place.Replace(c.ctx, ledgerName, raw) }
