package sql

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/domicile-io/domicile/dataplane/store/sealed"
)

// abandoned is how long a connection may hold a turn and be silent before the
// database ends it: the node behind it is gone.
const abandoned = 60 * time.Second

// Of all connections, a quarter each is for commits and for turns that last over
// many of them, an eighth for items, and the rest for reads; at least one each.
const (
	forWrites   = 4
	forRewrites = 4
	forItems    = 8

	minConnections = 4
)

// connect makes the pools. A turn waits for others of its kind, and whoever has
// one reads: so reads and each kind of turn have a pool of their own, and none
// can wait for a connection that waits for it.
func connect(ctx context.Context, o *Options) (_ *engine, err error) {
	c, err := settings(o.DSN)
	if err != nil {
		return nil, err
	}
	c.ConnConfig.DialFunc = o.Dial
	c.ConnConfig.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil } // whoever dials looks up
	c.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	c.AfterConnect = durable
	c.MinConns, c.MinIdleConns = 0, 0
	e := &engine{timeout: o.Timeout, turns: map[sealed.TurnKind]*pgxpool.Pool{}}
	defer func() {
		if err != nil {
			_ = e.Close()
		}
	}()
	left := o.Connections
	pool := func(size int) (*pgxpool.Pool, error) {
		own := c.Copy()
		own.MaxConns = int32(max(size, 1))
		left -= int(own.MaxConns)
		return pgxpool.NewWithConfig(ctx, own)
	}
	for kind, share := range map[sealed.TurnKind]int{sealed.WriteTurn: forWrites, sealed.RewriteTurn: forRewrites, sealed.ItemTurn: forItems} {
		if e.turns[kind], err = pool(o.Connections / share); err != nil {
			return nil, plain(err)
		}
	}
	if e.reads, err = pool(left); err != nil {
		return nil, plain(err)
	}
	return e, nil
}

// settings reads a DSN and holds it against the rules: nothing leaves this
// machine in the clear, and whoever answers proves its name.
func settings(dsn string) (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("the database's connection string is malformed") // pgx's words may quote it
	}
	if c.ConnConfig.Host == "" || c.ConnConfig.Database == "" {
		return nil, errors.New("the database's connection string must name host and database")
	}
	check := func(host string, proven bool) error {
		ip := net.ParseIP(host)
		if proven || strings.HasPrefix(host, "/") || ip != nil && ip.IsLoopback() {
			return nil
		}
		return fmt.Errorf("the database at %s would be spoken to in the clear, or without a proof of who it is: set sslmode=verify-full", host)
	}
	errs := []error{check(c.ConnConfig.Host, c.ConnConfig.TLSConfig != nil && !c.ConnConfig.TLSConfig.InsecureSkipVerify)}
	for _, f := range c.ConnConfig.Fallbacks {
		errs = append(errs, check(f.Host, f.TLSConfig != nil && !f.TLSConfig.InsecureSkipVerify))
	}
	return c, errors.Join(errs...)
}

// durable makes a session wait for every commit to be durable, refuses a server
// that does not sync, and lets the server end a turn whose node is gone. Servers
// that know none of these settings always sync.
func durable(ctx context.Context, conn *pgx.Conn) error {
	var fsync, commit string
	err := conn.QueryRow(ctx, `SELECT coalesce(current_setting('fsync', true), ''), coalesce(current_setting('synchronous_commit', true), '')`).Scan(&fsync, &commit)
	if err != nil {
		return err
	}
	if fsync == "off" {
		return errors.New("the database runs with fsync=off: what it acknowledges can be lost; turn it on")
	}
	if commit == "off" {
		if _, err := conn.Exec(ctx, `SET synchronous_commit TO on`); err != nil {
			return err
		}
		if err := conn.QueryRow(ctx, `SELECT current_setting('synchronous_commit')`).Scan(&commit); err != nil || commit != "on" {
			return errors.Join(err, errors.New("the database does not let a session wait for its commits to be durable (synchronous_commit)"))
		}
	}
	_, err = conn.Exec(ctx, `SET idle_in_transaction_session_timeout TO `+strconv.FormatInt(abandoned.Milliseconds(), 10))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED`)
	return err
}
