package sql

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/domicile-io/domicile/dataplane/database"
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
	c, err := database.Config(o.DSN, o.Dial, session)
	if err != nil {
		return nil, err
	}
	c.MinConns, c.MinIdleConns = 0, 0
	e := &engine{timeout: o.Timeout, config: c, turns: map[sealed.TurnKind]*pgxpool.Pool{}}
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

// session lets the server end a turn whose node is gone, and fixes what a
// transaction sees.
func session(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SET idle_in_transaction_session_timeout TO `+strconv.FormatInt(abandoned.Milliseconds(), 10))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED`)
	return err
}
