package sql

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/domicile-io/domicile/dataplane/database"
	"github.com/domicile-io/domicile/dataplane/store/sealed"
)

// turn is a transaction that has a tenant's row of domicile_turns locked.
type turn struct {
	e        *engine
	kind     sealed.TurnKind
	tenant   [16]byte
	tx       pgx.Tx
	standing sealed.Standing

	stop func() // ends the beating of a long turn; nil: it has none. Never set again, as beat runs beside.

	mu   sync.Mutex // the connection is one's at a time
	done bool
}

// beat is how often whoever has a long turn shows the database that it lives.
const beat = abandoned / 4

// Begin implements sealed.Engine.
func (e *engine) Begin(tenant [16]byte, kind sealed.TurnKind) (sealed.Turn, error) {
	for try := 1; ; try++ {
		t, err := e.begin(tenant, kind)
		if err == nil {
			return t, nil
		}
		// Nothing is changed by it, and a pooled connection may have died long ago.
		if try == readTries || errors.Is(err, context.DeadlineExceeded) || refused(err) && !met(err) {
			return nil, meaning(err)
		}
	}
}

func (e *engine) begin(tenant [16]byte, kind sealed.TurnKind) (_ *turn, err error) {
	ctx, cancel := e.context()
	defer cancel()
	tx, err := e.turns[kind].Begin(ctx)
	if err != nil {
		return nil, err
	}
	t := &turn{e: e, kind: kind, tenant: tenant, tx: tx}
	if err = t.lock(ctx); errors.Is(err, pgx.ErrNoRows) {
		_, err = tx.Exec(ctx, "INSERT INTO "+turnsTable+" (tenant, kind, last, shape, writer) VALUES ($1, $2, 0, 0, '') ON CONFLICT (tenant, kind) DO NOTHING", tenant[:], int16(kind))
		if err == nil {
			err = t.lock(ctx)
		}
	}
	if err != nil {
		t.End()
		return nil, err
	}
	if kind == sealed.RewriteTurn {
		stop := make(chan struct{})
		t.stop = sync.OnceFunc(func() { close(stop) })
		go t.beat(stop)
	}
	return t, nil
}

func (t *turn) lock(ctx context.Context) error {
	return scan(&t.standing, t.tx.QueryRow(ctx, "SELECT last, shape, writer FROM "+turnsTable+" WHERE tenant = $1 AND kind = $2 FOR UPDATE", t.tenant[:], int16(t.kind)))
}

// Look implements sealed.Engine.
func (e *engine) Look(tenant [16]byte) (st sealed.Standing, err error) {
	err = e.read(func(ctx context.Context) error {
		st = sealed.Standing{}
		err := scan(&st, e.reads.QueryRow(ctx, "SELECT last, shape, writer FROM "+turnsTable+" WHERE tenant = $1 AND kind = $2", tenant[:], int16(sealed.WriteTurn)))
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return st, err
}

func scan(st *sealed.Standing, row pgx.Row) error {
	var shape int64
	var writer []byte
	if err := row.Scan(&st.Last, &shape, &writer); err != nil {
		return err
	}
	st.Shape = uint64(shape)
	copy(st.Writer[:], writer)
	return nil
}

// beat keeps the database from taking a long turn for an abandoned one, until stop
// is closed.
func (t *turn) beat(stop <-chan struct{}) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			t.mu.Lock()
			if !t.done {
				ctx, cancel := t.e.context()
				_, _ = t.tx.Exec(ctx, "SELECT 1") // if it fails, the next commit finds another shape
				cancel()
			}
			t.mu.Unlock()
		}
	}
}

// Standing implements sealed.Turn.
func (t *turn) Standing() sealed.Standing { return t.standing }

// Commit implements sealed.Turn.
func (t *turn) Commit(b sealed.Batch, next sealed.Standing) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return errors.New("a turn is committed twice")
	}
	ctx, cancel := t.e.context()
	defer cancel()
	err := b.(*batch).send(ctx, t.tx, func(out *pgx.Batch) {
		if next != t.standing {
			out.Queue("UPDATE "+turnsTable+" SET last = $3, shape = $4, writer = $5 WHERE tenant = $1 AND kind = $2",
				t.tenant[:], int16(t.kind), next.Last, int64(next.Shape), next.Writer[:])
		}
	})
	if err != nil {
		return meaning(err) // End rolls back; a connection that broke is rolled back by the server
	}
	t.done = true
	err = t.tx.Commit(ctx)
	switch {
	case err == nil:
		return nil
	case database.Undone(err):
		return meaning(err)
	}
	return unknown(err)
}

// End implements sealed.Turn.
func (t *turn) End() {
	if t.stop != nil {
		t.stop()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return
	}
	t.done = true
	ctx, cancel := t.e.context()
	defer cancel()
	_ = t.tx.Rollback(ctx) // when it fails, the connection is closed, which rolls back too
}
