package sql

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/domicile-io/domicile/dataplane/shelf"
)

// Row is a row of a shelf as it lies in the database.
type Row struct {
	Shelf      string
	Bucket     shelf.Bucket
	Key, Value []byte
}

// Each visits the rows of all shelves as a transaction sees them, a page at a time;
// timeout bounds each page.
func Each(tx pgx.Tx, timeout time.Duration, visit func(Row) error) error {
	var last Row
	for {
		page, err := pageAfter(tx, timeout, last)
		if err != nil {
			return away(err)
		}
		for _, r := range page {
			if err := visit(r); err != nil {
				return err
			}
		}
		if len(page) < pageRows {
			return nil
		}
		last = page[len(page)-1]
	}
}

func pageAfter(tx pgx.Tx, timeout time.Duration, last Row) ([]Row, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	found, err := tx.Query(ctx, `SELECT shelf, bucket, key, value FROM domicile_shelf WHERE (shelf, bucket, key) > ($1, $2, $3)
		ORDER BY shelf, bucket, key LIMIT $4`, last.Shelf, string(last.Bucket), nonNil(last.Key), pageRows)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(found, pgx.RowToStructByPos[Row])
}

// Empty reports whether no shelf has a row, but for those of a bucket of one.
func (d *DB) Empty(ctx context.Context, name string, but shelf.Bucket) (empty bool, err error) {
	err = d.pool.QueryRow(ctx, `SELECT NOT EXISTS (SELECT 1 FROM domicile_shelf WHERE NOT (shelf = $1 AND bucket = $2))`, name, string(but)).Scan(&empty)
	return empty, away(err)
}

// Clear removes all shelves' rows, but for those of a bucket of one.
func (d *DB) Clear(ctx context.Context, name string, but shelf.Bucket) error {
	_, err := d.pool.Exec(ctx, `DELETE FROM domicile_shelf WHERE NOT (shelf = $1 AND bucket = $2)`, name, string(but))
	return away(err)
}

// PutRows writes rows as they were, in one transaction.
func (d *DB) PutRows(ctx context.Context, rows []Row) error {
	shelves, buckets, keys, values := make([]string, len(rows)), make([]string, len(rows)), make([][]byte, len(rows)), make([][]byte, len(rows))
	for i, r := range rows {
		shelves[i], buckets[i], keys[i], values[i] = r.Shelf, string(r.Bucket), nonNil(r.Key), nonNil(r.Value)
	}
	_, err := d.pool.Exec(ctx, `INSERT INTO domicile_shelf (shelf, bucket, key, value)
		SELECT s, b, k, v FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[]) AS u (s, b, k, v)
		ON CONFLICT (shelf, bucket, key) DO UPDATE SET value = excluded.value`, shelves, buckets, keys, values)
	return away(err)
}
