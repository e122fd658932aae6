package sql

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/domicile-io/domicile/dataplane/lease"
)

// Book keeps leases in the database, by its clock.
type Book struct{ db *DB }

var _ lease.Book = Book{}

// Book is the database's leases.
func (d *DB) Book() Book { return Book{d} }

// Acquire implements lease.Book.
func (b Book) Acquire(ctx context.Context, name lease.Name, holder string, ttl time.Duration) (fence uint64, granted bool, err error) {
	err = b.db.pool.QueryRow(ctx, `INSERT INTO domicile_lease (name, holder, fence, expires)
		VALUES ($1, $2, 1, now() + $3::bigint * interval '1 millisecond')
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, fence = domicile_lease.fence + 1, expires = excluded.expires
		WHERE domicile_lease.expires < now() OR domicile_lease.holder = ''
		RETURNING fence`, string(name), holder, ttl.Milliseconds()).Scan(&fence)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, nil
	}
	return fence, err == nil, away(err)
}

// Renew implements lease.Book.
func (b Book) Renew(ctx context.Context, name lease.Name, holder string, fence uint64, ttl time.Duration) (bool, error) {
	tag, err := b.db.pool.Exec(ctx, `UPDATE domicile_lease SET expires = now() + $4::bigint * interval '1 millisecond'
		WHERE name = $1 AND holder = $2 AND fence = $3`, string(name), holder, int64(fence), ttl.Milliseconds())
	return err == nil && tag.RowsAffected() == 1, away(err)
}

// Release implements lease.Book. A fence of 0 is whatever was given to the holder.
func (b Book) Release(ctx context.Context, name lease.Name, holder string, _ uint64) error {
	_, err := b.db.pool.Exec(ctx, `UPDATE domicile_lease SET holder = '' WHERE name = $1 AND holder = $2`, string(name), holder)
	return away(err)
}
