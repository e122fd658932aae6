package sql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/shelf"
)

const (
	pageRows   = 256     // read at once
	batchRows  = 1000    // written at once
	batchBytes = 4 << 20 //
	attempts   = 8       // of a change that collides
)

// Shelf is one shelf of the database.
type Shelf struct {
	db    *DB
	name  string
	fence lease.Fence
}

var _ shelf.Shelf = (*Shelf)(nil)

// Shelf opens or makes the shelf called name. It ends with the database.
func (d *DB) Shelf(ctx context.Context, name string) (*Shelf, error) {
	_, err := d.pool.Exec(ctx, `INSERT INTO domicile_shelf_lock (shelf) VALUES ($1) ON CONFLICT (shelf) DO NOTHING`, name)
	if err != nil {
		return nil, fmt.Errorf("open shelf %s: %w", name, away(err))
	}
	return &Shelf{db: d, name: name}, nil
}

// Under implements shelf.Shelf.
func (s *Shelf) Under(f lease.Fence) shelf.Shelf {
	under := *s
	under.fence = f
	return &under
}

// Close implements shelf.Shelf: the database stays open.
func (s *Shelf) Close() error { return nil }

// View implements shelf.Shelf.
func (s *Shelf) View(read func(shelf.Tx) error) error {
	o := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return s.again(func() error {
		return s.db.within(context.Background(), o, func(ctx context.Context, tx pgx.Tx) error {
			return read(&rows{ctx: ctx, tx: tx, shelf: s.name})
		})
	})
}

// Update implements shelf.Shelf.
func (s *Shelf) Update(change func(shelf.Tx) error) error {
	return s.again(func() error {
		return s.db.within(context.Background(), pgx.TxOptions{}, func(ctx context.Context, tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `SELECT shelf FROM domicile_shelf_lock WHERE shelf = $1 FOR UPDATE`, s.name); err != nil {
				return away(err)
			}
			if err := held(ctx, tx, s.fence); err != nil {
				return err
			}
			r := &rows{ctx: ctx, tx: tx, shelf: s.name}
			if err := change(r); err != nil {
				return err
			}
			return r.flush()
		})
	})
}

func (s *Shelf) again(run func() error) (err error) {
	for range attempts {
		if err = run(); err == nil || !again(err) {
			return err
		}
	}
	return away(err)
}

// held refuses when a fence is not that of the lease any more. It keeps the row,
// so that nobody takes the lease before the transaction has ended.
func held(ctx context.Context, tx pgx.Tx, f lease.Fence) error {
	if f == (lease.Fence{}) {
		return nil
	}
	var fence uint64
	err := tx.QueryRow(ctx, `SELECT fence FROM domicile_lease WHERE name = $1 FOR UPDATE`, string(f.Name)).Scan(&fence)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && fence != f.Number {
		return lease.ErrLost(f.Name)
	}
	if err != nil {
		return away(err)
	}
	return nil
}

// rows is one transaction. What it writes waits until it is many, or read.
type rows struct {
	ctx   context.Context
	tx    pgx.Tx
	shelf string

	written map[shelf.Bucket]map[string][]byte // nil: deleted
	waiting int
	bytes   int
}

// Get implements shelf.Tx.
func (r *rows) Get(b shelf.Bucket, key []byte) ([]byte, error) {
	if v, ok := r.written[b][string(key)]; ok {
		return v, nil
	}
	var value []byte
	err := r.tx.QueryRow(r.ctx, `SELECT value FROM domicile_shelf WHERE shelf = $1 AND bucket = $2 AND key = $3`, r.shelf, string(b), key).Scan(&value)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, away2(err)
	}
	return value, nil
}

// Put implements shelf.Tx.
func (r *rows) Put(b shelf.Bucket, key, value []byte) error {
	if err := shelf.CheckSize(key, value); err != nil {
		return err
	}
	return r.note(b, key, append([]byte{}, value...))
}

// Delete implements shelf.Tx.
func (r *rows) Delete(b shelf.Bucket, key []byte) error { return r.note(b, key, nil) }

func (r *rows) note(b shelf.Bucket, key, value []byte) error {
	if r.written == nil {
		r.written = map[shelf.Bucket]map[string][]byte{}
	}
	if r.written[b] == nil {
		r.written[b] = map[string][]byte{}
	}
	r.written[b][string(key)] = value
	r.waiting, r.bytes = r.waiting+1, r.bytes+len(key)+len(value)
	if r.waiting >= batchRows || r.bytes >= batchBytes {
		return r.flush()
	}
	return nil
}

// flush writes what waits.
func (r *rows) flush() error {
	for b, waiting := range r.written {
		var keys, values, gone [][]byte
		for k, v := range waiting {
			if v == nil {
				gone = append(gone, []byte(k))
				continue
			}
			keys, values = append(keys, []byte(k)), append(values, v)
		}
		if len(keys) > 0 {
			if _, err := r.tx.Exec(r.ctx, `INSERT INTO domicile_shelf (shelf, bucket, key, value)
				SELECT $1, $2, k, v FROM unnest($3::bytea[], $4::bytea[]) AS u (k, v)
				ON CONFLICT (shelf, bucket, key) DO UPDATE SET value = excluded.value`, r.shelf, string(b), keys, values); err != nil {
				return away2(err)
			}
		}
		if len(gone) > 0 {
			if _, err := r.tx.Exec(r.ctx, `DELETE FROM domicile_shelf WHERE shelf = $1 AND bucket = $2 AND key = ANY($3::bytea[])`, r.shelf, string(b), gone); err != nil {
				return away2(err)
			}
		}
	}
	r.written, r.waiting, r.bytes = nil, 0, 0
	return nil
}

// Ascend implements shelf.Tx.
func (r *rows) Ascend(b shelf.Bucket, prefix, start []byte, visit func(k, v []byte) error) error {
	if bytes.Compare(start, prefix) < 0 {
		start = prefix
	}
	return r.walk(b, visit, func(last []byte) (string, []any) {
		where, args := `key >= $3`, []any{nonNil(start)}
		if last != nil {
			where, args = `key > $3`, []any{last}
		}
		if end := shelf.Past(prefix); end != nil {
			where, args = where+` AND key < $4`, append(args, end)
		}
		return where + ` ORDER BY key`, args
	})
}

// Descend implements shelf.Tx.
func (r *rows) Descend(b shelf.Bucket, prefix []byte, visit func(k, v []byte) error) error {
	return r.walk(b, visit, func(last []byte) (string, []any) {
		where, args := `key >= $3`, []any{nonNil(prefix)}
		if last == nil {
			last = shelf.Past(prefix)
		}
		if last != nil {
			where, args = where+` AND key < $4`, append(args, last)
		}
		return where + ` ORDER BY key DESC`, args
	})
}

// nonNil keeps an empty key from becoming NULL.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// walk visits page by page: a page is read whole before it is visited, so that a
// visitor may ask for other rows.
func (r *rows) walk(b shelf.Bucket, visit func(k, v []byte) error, part func(last []byte) (string, []any)) error {
	if err := r.flush(); err != nil {
		return err
	}
	type pair struct{ Key, Value []byte }
	var last []byte
	for {
		where, args := part(last)
		found, err := r.tx.Query(r.ctx, `SELECT key, value FROM domicile_shelf WHERE shelf = $1 AND bucket = $2 AND `+where+` LIMIT `+strconv.Itoa(pageRows),
			append([]any{r.shelf, string(b)}, args...)...)
		if err != nil {
			return away2(err)
		}
		page, err := pgx.CollectRows(found, pgx.RowToStructByPos[pair])
		if err != nil {
			return away2(err)
		}
		for _, p := range page {
			if err := visit(p.Key, p.Value); errors.Is(err, shelf.ErrStop) {
				return nil
			} else if err != nil {
				return err
			}
		}
		if len(page) < pageRows {
			return nil
		}
		last = page[len(page)-1].Key
	}
}

// Count implements shelf.Tx.
func (r *rows) Count(b shelf.Bucket) (n int, err error) {
	if err := r.flush(); err != nil {
		return 0, err
	}
	err = r.tx.QueryRow(r.ctx, `SELECT count(*) FROM domicile_shelf WHERE shelf = $1 AND bucket = $2`, r.shelf, string(b)).Scan(&n)
	return n, away2(err)
}

// away2 is away for a statement: what the database refused is told as it is, for
// a collision is tried again.
func away2(err error) error {
	if err == nil || again(err) {
		return err
	}
	return away(err)
}

// ClearShelves removes shelves that nobody uses, with all that they hold.
func (d *DB) ClearShelves(ctx context.Context, names []string) error {
	_, err := d.pool.Exec(ctx, `DELETE FROM domicile_shelf WHERE shelf = ANY($1)`, names)
	return away(err)
}
