package sql

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	shelfsql "github.com/domicile-io/domicile/dataplane/shelf/sql"
	"github.com/domicile-io/domicile/dataplane/store/sealed"
)

// dumpIdle is how long the database lets whoever dumps be silent: as long as it may
// take to put one file of a backup away.
const dumpIdle = 10 * time.Minute

// Dump is the database of the records as it is at one moment: rows of the store,
// standings of tenants, and the shelves beside them. It has a connection of its own.
// While it is open the database keeps what is changed and deleted meanwhile.
type Dump struct {
	pool    *pgxpool.Pool
	tx      pgx.Tx
	timeout time.Duration
}

// Dump begins one. ctx bounds the beginning only; Close ends it.
func (s *Store) Dump(ctx context.Context) (_ *Dump, err error) {
	e := s.engine
	c := e.config.Copy()
	c.MaxConns = 1
	d := &Dump{timeout: e.timeout}
	if d.pool, err = pgxpool.NewWithConfig(ctx, c); err != nil {
		return nil, plain(err)
	}
	// The snapshot is taken with the first statement.
	d.tx, err = d.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err == nil {
		_, err = d.tx.Exec(ctx, "SET LOCAL idle_in_transaction_session_timeout TO "+strconv.FormatInt(dumpIdle.Milliseconds(), 10))
	}
	if err == nil {
		_, err = d.tx.Exec(ctx, "SELECT version FROM domicile_records WHERE one = 1")
	}
	if err != nil {
		return nil, errors.Join(meaning(err), d.Close())
	}
	return d, nil
}

// reading is one reading of the moment; it cannot be done again on another connection.
func (d *Dump) reading(do func(ctx context.Context, q querier) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), d.timeout)
	defer cancel()
	return meaning(do(ctx, d.tx))
}

// Rows gives all rows of a kind, in the order of their keys.
func (d *Dump) Rows(kind byte) sealed.Rows { return newRows(d.reading, []byte{kind}, []byte{kind + 1}) }

// Turns visits the standings of tenants that have written: the ingest time of their
// latest group, µs.
func (d *Dump) Turns(visit func(tenant [16]byte, last int64) error) error {
	return d.reading(func(ctx context.Context, q querier) error {
		found, err := q.Query(ctx, "SELECT tenant, last FROM "+turnsTable+" WHERE kind = $1 ORDER BY tenant", int16(sealed.WriteTurn))
		if err != nil {
			return err
		}
		var tenant []byte
		var last int64
		_, err = pgx.ForEachRow(found, []any{&tenant, &last}, func() error {
			if len(tenant) != 16 {
				return errors.New("a tenant's row is malformed")
			}
			return visit([16]byte(tenant), last)
		})
		return err
	})
}

// Shelves visits the rows of all shelves beside the records.
func (d *Dump) Shelves(visit func(shelfsql.Row) error) error {
	return shelfsql.Each(d.tx, d.timeout, visit)
}

// Close ends it, and its connection.
func (d *Dump) Close() error {
	if d.tx != nil {
		ctx, cancel := context.WithTimeout(context.Background(), d.timeout)
		defer cancel()
		_ = d.tx.Rollback(ctx) // it has changed nothing
	}
	d.pool.Close()
	return nil
}
