// Package database says how a node may speak to a database of its region, for
// dataplane/store/sql and dataplane/shelf/sql alike: never in the clear, never to
// whoever does not prove its name, through the region's door, with sessions whose
// commits are durable when they answer; and which errors say that one was not made.
package database

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Dial opens a connection; the region's door is one.
type Dial = func(ctx context.Context, network, addr string) (net.Conn, error)

// Config is a pool's configuration for a connection string (a secret: no error
// quotes it), which breaks no rule. Each session is writable and durable; session,
// unless nil, prepares it further.
func Config(dsn string, dial Dial, session func(context.Context, *pgx.Conn) error) (*pgxpool.Config, error) {
	c, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	c.ConnConfig.DialFunc = dial
	c.ConnConfig.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil } // whoever dials looks up
	c.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		err := durable(ctx, conn)
		if err == nil && session != nil {
			err = session(ctx, conn)
		}
		return err
	}
	return c, nil
}

// Destinations are the addresses that a connection string leads to, as the door
// wants them declared; an error when it breaks a rule.
func Destinations(dsn string) (out []string, err error) {
	c, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	for _, t := range targets(c) {
		out = append(out, t.address())
	}
	return out, nil
}

// SamePlace reports whether two connection strings lead to one database.
func SamePlace(a, b string) (bool, error) {
	first, err := parse(a)
	second, err2 := parse(b)
	if err := errors.Join(err, err2); err != nil {
		return false, err
	}
	if first.ConnConfig.Database != second.ConnConfig.Database {
		return false, nil
	}
	at := map[string]bool{}
	for _, t := range targets(first) {
		at[t.address()] = true
	}
	for _, t := range targets(second) {
		if at[t.address()] {
			return true, nil
		}
	}
	return false, nil
}

// parse reads a connection string and holds it against the rules.
func parse(dsn string) (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("the database's connection string is malformed") // pgx's words may quote it
	}
	if c.ConnConfig.Host == "" || c.ConnConfig.Database == "" {
		return nil, errors.New("the database's connection string must name host and database")
	}
	for _, at := range targets(c) {
		if err := at.check(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// target is one place that a connection may go to.
type target struct {
	host string
	port uint16
	tls  *tls.Config
}

func targets(c *pgxpool.Config) []target {
	out := []target{{c.ConnConfig.Host, c.ConnConfig.Port, c.ConnConfig.TLSConfig}}
	for _, f := range c.ConnConfig.Fallbacks {
		out = append(out, target{f.Host, f.Port, f.TLSConfig})
	}
	return out
}

func (t target) unix() bool { return strings.HasPrefix(t.host, "/") }

func (t target) check() error {
	ip := net.ParseIP(t.host)
	if t.unix() || ip != nil && ip.IsLoopback() || t.tls != nil && !t.tls.InsecureSkipVerify {
		return nil
	}
	return fmt.Errorf("the database at %s would be spoken to in the clear, or without a proof of who it is: set sslmode=verify-full", t.host)
}

func (t target) address() string {
	if t.unix() {
		return t.host + "/.s.PGSQL." + strconv.Itoa(int(t.port))
	}
	return net.JoinHostPort(t.host, strconv.Itoa(int(t.port)))
}

// durable makes a session wait for every commit to be durable, and refuses a
// server that does not sync. Servers that know neither setting always sync.
func durable(ctx context.Context, conn *pgx.Conn) error {
	var fsync, commit string
	err := conn.QueryRow(ctx, `SELECT coalesce(current_setting('fsync', true), ''), coalesce(current_setting('synchronous_commit', true), '')`).Scan(&fsync, &commit)
	if err != nil {
		return err
	}
	if fsync == "off" {
		return errors.New("the database runs with fsync=off: what it acknowledges can be lost; turn it on")
	}
	if commit != "off" {
		return nil
	}
	if _, err := conn.Exec(ctx, `SET synchronous_commit TO on`); err != nil {
		return err
	}
	if err := conn.QueryRow(ctx, `SELECT current_setting('synchronous_commit')`).Scan(&commit); err != nil || commit != "on" {
		return errors.Join(err, errors.New("the database does not let a session wait for its commits to be durable (synchronous_commit)"))
	}
	return nil
}

// Undone reports that a commit was answered with an error by which nothing of the
// transaction is there. Others say no such thing: whatever stands between node and
// server answers for a server that is gone (08…, as PgBouncer does), one that ends
// may have committed (57P…), and CockroachDB has a code for not knowing (40003).
func Undone(err error) bool {
	var said *pgconn.PgError
	return errors.Is(err, pgx.ErrTxCommitRollback) || errors.As(err, &said) && strings.HasPrefix(said.Code, "40") && said.Code != "40003"
}
