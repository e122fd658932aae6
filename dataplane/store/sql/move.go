package sql

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/domicile-io/domicile/dataplane/store/sealed"
)

// Rows are the tables of a database into which an embedded store moves, below
// any store: whoever moves it reads and writes sealed rows and opens none.
type Rows struct{ *engine }

// OpenRows connects and brings the tables up to date, as Open does. Of the options
// DSN, Dial, Connections and Timeout count.
func OpenRows(ctx context.Context, o Options) (*Rows, error) {
	if o.DSN == "" || o.Dial == nil {
		return nil, errors.New("open the record tables: DSN and Dial must be set")
	}
	o.defaults()
	e, err := connect(ctx, &o)
	if err != nil {
		return nil, fmt.Errorf("open the record tables: %w", err)
	}
	if err := e.migrate(ctx, migrations); err != nil {
		return nil, fmt.Errorf("open the record tables: %w", errors.Join(err, e.Close()))
	}
	return &Rows{e}, nil
}

// Empty reports whether no table has a row.
func (r *Rows) Empty() (bool, error) {
	for _, table := range allTables() {
		var found bool
		err := r.read(func(ctx context.Context) error {
			return r.reads.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM "+table+")").Scan(&found)
		})
		if err != nil || found {
			return false, err
		}
	}
	return true, nil
}

// Clear removes every row, and with them their space: what was copied is in no
// file of the tables any more.
func (r *Rows) Clear() error {
	for _, table := range allTables() {
		ctx, cancel := r.context()
		_, err := r.reads.Exec(ctx, "TRUNCATE TABLE "+table)
		cancel()
		if err != nil {
			return meaning(err)
		}
	}
	return nil
}

// Stand writes the standing of tenants that a store brought along: the ingest
// times of their latest groups, µs. No later group may be stamped before them.
func (r *Rows) Stand(last map[[16]byte]int64) error {
	ctx, cancel := r.context()
	defer cancel()
	var out pgx.Batch
	for tenant, at := range last {
		out.Queue("INSERT INTO "+turnsTable+" (tenant, kind, last, shape, writer) VALUES ($1, $2, $3, 0, '')"+
			" ON CONFLICT (tenant, kind) DO UPDATE SET last = excluded.last", tenant[:], int16(sealed.WriteTurn), at)
	}
	if out.Len() == 0 {
		return nil
	}
	return meaning(pgx.BeginFunc(ctx, r.reads, func(tx pgx.Tx) error { return tx.SendBatch(ctx, &out).Close() }))
}

// TableOf names the table of a kind of rows, the first byte of their keys.
func TableOf(kind byte) string { return tables[kind] }

func allTables() []string {
	out := []string{turnsTable}
	for _, table := range tables {
		out = append(out, table)
	}
	slices.Sort(out)
	return out
}
