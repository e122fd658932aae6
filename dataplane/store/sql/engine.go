package sql

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/domicile-io/domicile/dataplane/store/sealed"
)

// engine is a database, as sealed.Engine wants it.
type engine struct {
	timeout time.Duration
	config  *pgxpool.Config // of a pool
	reads   *pgxpool.Pool
	turns   map[sealed.TurnKind]*pgxpool.Pool

	mu    sync.Mutex
	asked time.Time
	sick  error
}

var _ sealed.Engine = (*engine)(nil)

const (
	readTries    = 3     // of a read whose connection broke, or that met another transaction
	keysAtOnce   = 8_192 // of one GetAll statement
	healthEvery  = time.Second
	healthAnswer = 2 * time.Second
)

func (e *engine) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), e.timeout)
}

// read runs one reading, anew when its connection broke: it changes nothing.
func (e *engine) read(do func(ctx context.Context) error) error {
	ctx, cancel := e.context()
	defer cancel()
	for try := 1; ; try++ {
		err := do(ctx)
		if err == nil || try == readTries || ctx.Err() != nil || refused(err) && !met(err) {
			return meaning(err)
		}
	}
}

// Get implements sealed.Engine.
func (e *engine) Get(key []byte) (value []byte, err error) {
	tenant, rest := split(key)
	statement := "SELECT value FROM " + tables[key[0]] + " WHERE tenant = $1 AND key = $2"
	err = e.read(func(ctx context.Context) error {
		err := e.reads.QueryRow(ctx, statement, whole(tenant), whole(rest)).Scan(&value)
		if errors.Is(err, pgx.ErrNoRows) {
			value, err = nil, nil
		}
		return err
	})
	return value, err
}

// whole is b, never nil: NULL is not the empty string.
func whole(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// GetAll implements sealed.Engine.
func (e *engine) GetAll(keys [][]byte) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for from := 0; from < len(keys); from += keysAtOnce {
		upto := min(from+keysAtOnce, len(keys))
		if err := e.getSome(keys[from:upto], values[from:upto]); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func (e *engine) getSome(keys, values [][]byte) error {
	rests := make([][]byte, len(keys))
	at := make(map[string]int, len(keys))
	var tenant []byte
	for i, key := range keys {
		tenant, rests[i] = split(key)
		at[string(rests[i])] = i
	}
	statement := "SELECT key, value FROM " + tables[keys[0][0]] + " WHERE tenant = $1 AND key = ANY($2)"
	return e.read(func(ctx context.Context) error {
		clear(values)
		rows, err := e.reads.Query(ctx, statement, tenant, rests)
		if err != nil {
			return err
		}
		var key, value []byte
		_, err = pgx.ForEachRow(rows, []any{&key, &value}, func() error {
			values[at[string(key)]] = value
			value = nil
			return nil
		})
		return err
	})
}

// Rows implements sealed.Engine.
func (e *engine) Rows(lower, upper []byte) (sealed.Rows, error) {
	return newRows(e.reading, lower, upper), nil
}

func (e *engine) reading(do func(ctx context.Context, q querier) error) error {
	return e.read(func(ctx context.Context) error { return do(ctx, e.reads) })
}

// NewBatch implements sealed.Engine.
func (e *engine) NewBatch() sealed.Batch { return newBatch() }

// Write implements sealed.Engine.
func (e *engine) Write(b sealed.Batch) error {
	ctx, cancel := e.context()
	defer cancel()
	for try := 1; ; try++ {
		err := pgx.BeginFunc(ctx, e.reads, func(tx pgx.Tx) error { return b.(*batch).send(ctx, tx, nil) })
		if err == nil || !met(err) || try == readTries {
			return meaning(err)
		}
	}
}

// Settle implements sealed.Engine: nobody sees what is not durable.
func (e *engine) Settle(bool) error { return nil }

// Writable implements sealed.Engine.
func (e *engine) Writable() error {
	b := newBatch()
	if err := b.Set([]byte("m/writable"), time.Now().AppendFormat(nil, time.RFC3339Nano)); err != nil {
		return err
	}
	return e.Write(b)
}

// Compact implements sealed.Engine: giving up space is the database's own work.
func (e *engine) Compact(context.Context, [][]byte) error { return nil }

// Shared implements sealed.Engine.
func (e *engine) Shared() bool { return true }

// Damaged implements sealed.Engine.
func (e *engine) Damaged(err error) bool { return damaged(err) }

// Size implements sealed.Engine; 0 where the database does not tell.
func (e *engine) Size() (size uint64) {
	ctx, cancel := e.context()
	defer cancel()
	var n int64
	if err := e.reads.QueryRow(ctx, `SELECT pg_database_size(current_database())`).Scan(&n); err != nil {
		return 0
	}
	return uint64(n)
}

// Healthy implements sealed.Engine. It asks at most once a second.
func (e *engine) Healthy() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := time.Now(); now.Sub(e.asked) >= healthEvery {
		ctx, cancel := context.WithTimeout(context.Background(), healthAnswer)
		defer cancel()
		e.sick = meaning(e.reads.Ping(ctx))
		e.asked = time.Now()
	}
	return e.sick
}

// Close implements sealed.Engine.
func (e *engine) Close() error {
	if e.reads != nil {
		e.reads.Close()
	}
	for _, pool := range e.turns {
		if pool != nil {
			pool.Close()
		}
	}
	return nil
}
