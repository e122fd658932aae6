package sql

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"
)

// batch gathers changes of rows. Of several of one row the last holds; ranges go
// first, without what was put into them after.
type batch struct {
	points map[string]point
	ranges []span
	count  int
}

// point is a row's new value, or none.
type point struct {
	value  []byte
	delete bool
}

type span struct{ lower, upper []byte }

// rowsAtOnce bounds a statement's rows, and its bytes about.
const (
	rowsAtOnce  = 4_096
	bytesAtOnce = 4 << 20
)

func newBatch() *batch { return &batch{points: map[string]point{}} }

// Set implements sealed.Batch.
func (b *batch) Set(key, value []byte) error {
	b.count++
	b.points[string(key)] = point{value: append([]byte{}, value...)}
	return nil
}

// Delete implements sealed.Batch.
func (b *batch) Delete(key []byte) error {
	b.count++
	b.points[string(key)] = point{delete: true}
	return nil
}

// DeleteRange implements sealed.Batch. Both ends begin with one tenant's kind, or
// the upper is the first that does not.
func (b *batch) DeleteRange(lower, upper []byte) error {
	b.count++
	for key := range b.points {
		if key >= string(lower) && key < string(upper) {
			delete(b.points, key)
		}
	}
	b.ranges = append(b.ranges, span{bytes.Clone(lower), bytes.Clone(upper)})
	return nil
}

// Count implements sealed.Batch.
func (b *batch) Count() int { return b.count }

// Reset implements sealed.Batch.
func (b *batch) Reset() { *b = *newBatch() }

// Wait implements sealed.Batch: a commit is durable when it returns.
func (b *batch) Wait() error { return nil }

// Close implements sealed.Batch.
func (b *batch) Close() error { return nil }

// group is rows of one table and tenant.
type group struct {
	table  string
	tenant []byte
	keys   [][]byte
	values [][]byte
	delete bool
	size   int
}

// send makes the changes, and what more says, in one journey.
func (b *batch) send(ctx context.Context, tx pgx.Tx, more func(*pgx.Batch)) error {
	var out pgx.Batch
	for _, r := range b.ranges {
		if err := queueRange(&out, r); err != nil {
			return err
		}
	}
	for _, g := range b.groups() {
		if g.delete {
			out.Queue("DELETE FROM "+g.table+" WHERE tenant = $1 AND key = ANY($2::bytea[])", g.tenant, g.keys)
			continue
		}
		out.Queue("INSERT INTO "+g.table+" (tenant, key, value) SELECT $1::bytea, k, v FROM unnest($2::bytea[], $3::bytea[]) AS u (k, v)"+
			" ON CONFLICT (tenant, key) DO UPDATE SET value = excluded.value", g.tenant, g.keys, g.values)
	}
	if more != nil {
		more(&out)
	}
	if out.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, &out).Close()
}

func queueRange(out *pgx.Batch, r span) error {
	w, ok := within(r.lower, r.upper)
	if !ok {
		return errors.New("a range of rows is not of one tenant")
	}
	statement, args := "DELETE FROM "+tables[r.lower[0]]+" WHERE tenant = $1 AND key >= $2", []any{w.tenant, whole(w.lower)}
	if w.upper != nil {
		statement, args = statement+" AND key < $3", append(args, w.upper)
	}
	out.Queue(statement, args...)
	return nil
}

// groups are the points in order of their keys: rows of a table come together,
// and two batches lock the same rows in the same order.
func (b *batch) groups() (out []*group) {
	keys := make([]string, 0, len(b.points))
	for key := range b.points {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	var sets, deletes *group
	for _, key := range keys {
		p := b.points[key]
		tenant, rest := split([]byte(key))
		at := &sets
		if p.delete {
			at = &deletes
		}
		g := *at
		if g == nil || g.table != tables[key[0]] || !bytes.Equal(g.tenant, tenant) || len(g.keys) == rowsAtOnce || g.size > bytesAtOnce {
			g = &group{table: tables[key[0]], tenant: whole(tenant), delete: p.delete}
			*at = g
			out = append(out, g)
		}
		g.keys, g.size = append(g.keys, whole(rest)), g.size+len(rest)+len(p.value)
		if !p.delete {
			g.values = append(g.values, whole(p.value))
		}
	}
	return out
}
