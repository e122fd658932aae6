// Package sql keeps in a database what the nodes of one region share beside its
// records: shelves (outbox, received rows, erasures, the key table) and leases.
// It needs a database that speaks PostgreSQL's protocol and no extension. Every
// connection goes through the dial function that it is given, names and all.
package sql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/domicile-io/domicile/dataplane/database"
	"github.com/domicile-io/domicile/policy"
)

// Options of a DB. All but Timeout, Connections and Logger are required.
type Options struct {
	DSN         string // secret: a URL or key words, as libpq takes them
	Dial        database.Dial
	Region      policy.RegionID // the database belongs to one region of one cluster for good
	Cluster     string
	Connections int           // at most; 0: 4
	Timeout     time.Duration // of one transaction; 0: 30 s
	Logger      *slog.Logger  // nil discards
}

const (
	defaultConnections = 4
	defaultTimeout     = 30 * time.Second
	healthEvery        = time.Second
	healthAnswer       = 2 * time.Second
)

// DB is the database of one region. It is safe for concurrent use.
type DB struct {
	o    Options
	pool *pgxpool.Pool

	mu    sync.Mutex
	asked time.Time
	sick  error
}

// Open connects, makes the tables where they are missing, and makes sure that
// the database is this region's.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.Dial == nil || o.Region == "" || o.Cluster == "" {
		return nil, errors.New("open the region's database: a dial function, region and cluster must be given")
	}
	if o.Connections <= 0 {
		o.Connections = defaultConnections
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c, err := database.Config(o.DSN, o.Dial, nil)
	if err != nil {
		return nil, err
	}
	c.MaxConns = int32(o.Connections)
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open the region's database: %w", plain(err))
	}
	db := &DB{o: o, pool: pool}
	if err := db.prepare(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open the region's database: %w", err)
	}
	return db, nil
}

// prepare makes the tables. Two nodes that start at once may collide in it.
func (d *DB) prepare(ctx context.Context) error {
	var err error
	for range 10 {
		if err = d.prepareOnce(ctx); err == nil || !again(err) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

func (d *DB) prepareOnce(ctx context.Context) error {
	return d.within(ctx, pgx.TxOptions{}, func(ctx context.Context, tx pgx.Tx) error {
		for _, statement := range schema {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, `INSERT INTO domicile_owner (one, region, cluster, format) VALUES (1, $1, $2, $3) ON CONFLICT (one) DO NOTHING`,
			string(d.o.Region), d.o.Cluster, schemaFormat); err != nil {
			return err
		}
		var region, cluster string
		var format int
		if err := tx.QueryRow(ctx, `SELECT region, cluster, format FROM domicile_owner WHERE one = 1`).Scan(&region, &cluster, &format); err != nil {
			return err
		}
		if region != string(d.o.Region) || cluster != d.o.Cluster {
			return fmt.Errorf("it belongs to region %s of cluster %s, and this node is of region %s of cluster %s: a database is of one region for good", region, cluster, d.o.Region, d.o.Cluster)
		}
		if format != schemaFormat {
			return fmt.Errorf("its shelves have format %d, this build reads %d: start the version that wrote them", format, schemaFormat)
		}
		return nil
	})
}

// within runs f in one transaction and says of the outcome what is known.
func (d *DB) within(ctx context.Context, o pgx.TxOptions, f func(context.Context, pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, d.o.Timeout)
	defer cancel()
	tx, err := d.pool.BeginTx(ctx, o)
	if err != nil {
		return away(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing after a commit
	if err := f(ctx, tx); err != nil {
		return err
	}
	if err = tx.Commit(ctx); err == nil || database.Undone(err) {
		return err
	}
	return &policy.Error{Reason: policy.OutcomeUnknown, Cause: plain(err), Message: "the region's database did not say whether it committed; ask again"}
}

// again reports whether a transaction is to be run once more from the start: it
// collided with another, and nothing of it is there.
func again(err error) bool {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || errors.Is(err, &policy.Error{Reason: policy.OutcomeUnknown}) {
		return false
	}
	switch refused.Code {
	case "40001", "40P01", "23505", "42P07", "42710", "XX000": // serialization, deadlock; two that make a table, or its type, at once
		return true
	}
	return false
}

// away is the error of a database that does not answer.
func away(err error) error {
	var domain *policy.Error
	if err == nil || errors.As(err, &domain) {
		return err
	}
	return &policy.Error{Reason: policy.NotReady, Cause: plain(err), Message: "the region's database does not answer; try again in a moment"}
}

// plain takes an error of connecting apart: pgx's names the user and the database.
func plain(err error) error {
	var connecting *pgconn.ConnectError
	if errors.As(err, &connecting) {
		return fmt.Errorf("connect: %w", errors.Unwrap(connecting))
	}
	return err
}

// Healthy is why the database cannot be used, else nil. It asks at most once a second.
func (d *DB) Healthy() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); now.Sub(d.asked) >= healthEvery {
		ctx, cancel := context.WithTimeout(context.Background(), healthAnswer)
		defer cancel()
		d.sick = away(d.pool.Ping(ctx))
		d.asked = time.Now()
	}
	return d.sick
}

// Close ends the connections.
func (d *DB) Close() { d.pool.Close() }

// String keeps the connection string out of logs.
func (d *DB) String() string { return fmt.Sprintf("database of %s", d.o.Region) }

// GoString is String.
func (d *DB) GoString() string { return d.String() }
