package log

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Limits of one growth of the log, which is made in memory: entries, and
// statements of receipts in one leaf.
const (
	maxEntries    = 512
	maxStatements = 16 << 10
)

// Round gives a place to everything that waits.
func (l *Log) Round(ctx context.Context) error {
	l.growing.Lock()
	defer l.growing.Unlock()
	err := l.grow(ctx)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return err
	}
	l.mu.Lock()
	l.problem = err
	l.mu.Unlock()
	l.metrics.round(err)
	return err
}

func (l *Log) grow(ctx context.Context) error {
	for ctx.Err() == nil {
		head, err := l.o.Store.LogHead(ctx)
		if err != nil {
			return fmt.Errorf("read the head of the region's log: %w", err)
		}
		if !l.compared.Load() {
			if err := l.begin(ctx, head); isReason(err, policy.ETagMismatch) {
				continue // another node was faster: look again
			} else if err != nil {
				return err
			}
			l.compared.Store(true)
			continue
		}
		waiting, err := l.o.Store.Noted(ctx, maxEntries)
		if err != nil {
			return fmt.Errorf("read what waits for the region's log: %w", err)
		}
		if len(waiting) == 0 {
			l.metrics.size.Set(float64(head.Size))
			return nil
		}
		g := &growth{l: l, head: head, entering: store.Entering{From: head, To: head}}
		if err = g.take(ctx, waiting); err == nil {
			err = l.o.Store.Enter(ctx, g.entering)
		}
		if err != nil && !isReason(err, policy.ETagMismatch) {
			return fmt.Errorf("grow the region's log: %w", err)
		}
		if err == nil && len(waiting) < maxEntries {
			l.metrics.size.Set(float64(g.entering.To.Size))
			return nil
		}
	}
	return ctx.Err()
}

// growth is one commit of new leaves.
type growth struct {
	l        *Log
	head     store.LogHead
	entering store.Entering
	hashes   map[uint64]audit.Hash // stored ones, new
	leaves   map[uint64]audit.Hash // of records, new
}

// take makes leaves of what waits: the batches of each tenant together, all else
// one by one.
func (g *growth) take(ctx context.Context, waiting []store.Noted) error {
	gathered := map[policy.TenantID]*gathering{}
	var order []*gathering
	for i := range waiting {
		n := &waiting[i]
		g.entering.Taken = append(g.entering.Taken, n.Seq)
		if n.Action != store.BatchAction {
			if err := g.add(ctx, entryLeaf(n)); err != nil {
				return err
			}
			continue
		}
		batch, err := store.ReadBatch(n.Detail)
		if err != nil {
			return fmt.Errorf("entry %d: %w", n.Seq, err)
		}
		into := gathered[n.Tenant]
		if into == nil || into.statements+len(batch.Parts) > maxStatements {
			into = &gathering{tenant: n.Tenant}
			gathered[n.Tenant], order = into, append(order, into)
		}
		into.add(n.Seq, n.Detail, len(batch.Parts))
	}
	for _, into := range order {
		leaf, err := g.l.receiptLeaf(into)
		if err != nil {
			return err
		}
		if err := g.add(ctx, leaf); err != nil {
			return err
		}
	}
	return nil
}

// leaf is one leaf before it has its place.
type leaf struct {
	store.LogLeaf
	time     time.Time
	action   string
	resource string
	about    map[string]any // its detail, but for the salt
}

// entryLeaf is the leaf of one entry.
func entryLeaf(n *store.Noted) *leaf {
	out := &leaf{LogLeaf: store.LogLeaf{Tenant: n.Tenant}, time: time.UnixMicro(n.Time).UTC(), action: n.Action, resource: n.Resource, about: map[string]any{}}
	if len(n.Detail) > 0 {
		out.about["about"] = json.RawMessage(n.Detail)
	}
	for name, count := range map[string]uint64{"dropped": n.Done.Dropped, "redacted": n.Done.Redacted, "versions": n.Done.Versions, "chunks": n.Done.Chunks, "keys": n.Done.Keys, "damaged": n.Done.Damaged} {
		if count > 0 {
			out.about[name] = count
		}
	}
	return out
}

// add gives a leaf its place. What it says beside its closed forms is committed
// to with a salt, so that nobody who sees the leaf alone can guess it.
func (g *growth) add(ctx context.Context, l *leaf) error {
	if g.hashes == nil {
		g.hashes, g.leaves = map[uint64]audit.Hash{}, map[uint64]audit.Hash{}
	}
	var salt [16]byte
	if _, err := io.ReadFull(g.l.o.Rand, salt[:]); err != nil {
		return err
	}
	l.about["salt"] = hex.EncodeToString(salt[:])
	if l.Tenant != "" {
		l.about["tenant"] = l.Tenant
	}
	var err error
	if l.Detail, err = json.Marshal(l.about); err != nil { // a map's names are written in order
		return fmt.Errorf("encode a leaf of the region's log: %w", err)
	}
	sum := sha256.Sum256(l.Detail)
	l.Index = g.entering.To.Size
	record := audit.Leaf{Index: l.Index, Time: l.time, Actor: string(g.l.o.Node), Action: audit.Action(l.action), Resource: l.resource,
		Revision: revisionOf(g.entering.To, l.Index), Command: hex.EncodeToString(sum[:])}
	if l.Record, err = record.Pack(); err != nil {
		return err
	}
	plain, err := record.Encode()
	if err != nil {
		return err
	}
	first, hashes, err := audit.AppendSparse(l.Index, plain, g.l.sparse(ctx, g.hashes, g.leaves))
	if err != nil {
		return err
	}
	for i, h := range hashes {
		g.hashes[first+uint64(i)] = h
		g.entering.Hashes = append(g.entering.Hashes, store.LogHash{Number: first + uint64(i), Value: h})
	}
	g.leaves[l.Index] = audit.RecordHash(plain)
	g.entering.Leaves = append(g.entering.Leaves, l.LogLeaf)
	g.entering.To.Size++
	return nil
}

func isReason(err error, r policy.Reason) bool {
	return errors.Is(err, &policy.Error{Reason: r})
}
