package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/jackc/pgx/v5"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/internal/testcluster"
)

// peers are what a region's record store is measured beside: PostgreSQL in a
// process of its own, and pebble, plaintext, in this one.
type peers struct {
	pg     *postgres // nil: absent
	pebble *pebble.DB
	dir    string
}

func openPeers(ctx context.Context, dir string) (*peers, error) {
	p := &peers{dir: dir}
	pg, err := startPostgres(ctx, filepath.Join(dir, "postgres"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: PostgreSQL is absent:", err)
	} else {
		p.pg = pg
	}
	p.pebble, err = pebble.Open(filepath.Join(dir, "pebble"), &pebble.Options{MemTableSize: 64 << 20, MemTableStopWritesThreshold: 4, Logger: quiet{}})
	return p, err
}

type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

func (p *peers) close() {
	if p.pg != nil {
		_ = p.pg.close()
	}
	_ = p.pebble.Close()
}

const benchTenant = "00010203-0405-0607-0809-0a0b0c0d0e0f"

// rowOf is a line as PostgreSQL's table takes it, ready before the clock starts.
func rowOf(raw []byte) ([]any, error) {
	var c data.NewCall
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, err
	}
	return []any{benchTenant, c.NativeID, *c.StartTime, c.From, c.To, c.Status, 90, string(raw)}, nil
}

var columns = []string{"tenant", "native_id", "listed", "from_number", "to_number", "status", "billsec", "payload"}

// lines are batches of records, each given once to whoever asks.
type lines struct {
	bodies [][]byte
	rows   [][][]any // of peers; none if there are none
	each   int       // records of a batch
	next   atomic.Int64
}

func prepare(batches, each int) (*lines, error) {
	l := &lines{each: each}
	for range batches {
		var body []byte
		var rows [][]any
		for range each {
			at := len(body)
			body = line(body, serial.Add(1))
			row, err := rowOf(body[at:])
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		}
		l.bodies, l.rows = append(l.bodies, body), append(l.rows, rows)
	}
	return l, nil
}

func (l *lines) take() (int, bool) {
	i := int(l.next.Add(1)) - 1
	return i, i < len(l.bodies)
}

// records counts what was taken.
func (l *lines) records() int {
	return l.each * min(int(l.next.Load()), len(l.bodies))
}

// copyIn sends every batch by COPY, each its own transaction, as we sync each.
func (p *peers) copyIn(ctx context.Context, l *lines, length time.Duration) (float64, error) {
	var done atomic.Int64
	took, err := load(ctx, batchWriters, length, func(ctx context.Context) (bool, error) {
		i, ok := l.take()
		if !ok {
			return false, nil
		}
		n, err := p.pg.pool.CopyFrom(ctx, pgx.Identifier{"calls"}, columns, pgx.CopyFromRows(l.rows[i]))
		done.Add(n)
		return true, err
	})
	return rate(int(done.Load()), took), err
}

func (p *peers) insert(ctx context.Context, l *lines, length time.Duration) (float64, error) {
	var done atomic.Int64
	took, err := load(ctx, singleWriters, length, func(ctx context.Context) (bool, error) {
		i, ok := l.take()
		if !ok {
			return false, nil
		}
		_, err := p.pg.pool.Exec(ctx, `INSERT INTO calls (tenant,native_id,listed,from_number,to_number,status,billsec,payload) VALUES ($1,$2,$3,$4,$5,$6,$7,$8) ON CONFLICT DO NOTHING`, l.rows[i][0]...)
		done.Add(1)
		return true, err
	})
	return rate(int(done.Load()), took), err
}

// put writes the same rows and index keys to pebble, looked up before, plaintext,
// synced per batch, without any network.
func (p *peers) put(ctx context.Context, l *lines, length time.Duration) (float64, error) {
	var done atomic.Int64
	took, err := load(ctx, batchWriters, length, func(context.Context) (bool, error) {
		i, ok := l.take()
		if !ok {
			return false, nil
		}
		b := p.pebble.NewBatch()
		for _, r := range l.rows[i] {
			key := []byte("k" + benchTenant + r[1].(string))
			if _, closer, err := p.pebble.Get(key); err == nil {
				_ = closer.Close()
				continue
			} else if !errors.Is(err, pebble.ErrNotFound) {
				return false, err
			}
			at := r[2].(time.Time).Format(time.RFC3339Nano)
			for _, k := range []string{"t" + benchTenant + at + r[1].(string), "p" + benchTenant + r[3].(string) + at + r[1].(string), "p" + benchTenant + r[4].(string) + at + r[1].(string)} {
				if err := b.Set([]byte(k), nil, nil); err != nil {
					return false, err
				}
			}
			if err := b.Set(key, []byte(r[7].(string)), nil); err != nil {
				return false, err
			}
		}
		done.Add(int64(len(l.rows[i])))
		return true, b.Commit(pebble.Sync)
	})
	return rate(int(done.Load()), took), err
}

func post(ctx context.Context, region *client.Region, l *lines, length time.Duration) (float64, error) {
	var done atomic.Int64
	took, err := load(ctx, batchWriters, length, func(ctx context.Context) (bool, error) {
		i, ok := l.take()
		if !ok {
			return false, nil
		}
		counts, err := region.Batch(ctx, client.Upload{Body: bytes.NewReader(l.bodies[i])})
		if err == nil && counts.Accepted != l.each {
			err = fmt.Errorf("%+v of %d accepted", counts, l.each)
		}
		done.Add(int64(counts.Accepted))
		return true, err
	})
	return rate(int(done.Load()), took), err
}

// records measures a region's record store beside its peers, in turns, and with many
// records alone, if so many are asked for.
func records(ctx context.Context, dir, bin string, length time.Duration, many int) ([]*target, []limit, error) {
	c, err := testcluster.Open(ctx, testcluster.Options{Dir: filepath.Join(dir, "region"), Bin: bin})
	if err != nil {
		return nil, nil, err
	}
	defer c.Close()
	b := &recordBench{c: c, node: "ie1", each: length / rounds, dir: dir, numbers: callees}
	if err := b.beside(ctx, many == 0); err != nil || many == 0 {
		return b.targets, b.limits, err
	}
	more, err := loaded(ctx, c, b.each, many)
	return b.targets, append(b.limits, more...), err
}

// beside measures what has peers; and with the records that this leaves, if alone, what
// has none.
func (b *recordBench) beside(ctx context.Context, alone bool) (err error) {
	if b.region, err = place(ctx, b.c, "bench-ie", b.node, "IE"); err != nil {
		return err
	}
	p, err := openPeers(ctx, b.dir)
	if err != nil {
		return err
	}
	defer p.close()
	b.p = p
	steps := []func(context.Context) error{b.refused, b.bulk, b.size, b.single, b.scan, b.subject, b.growth, b.streamed, b.recovery}
	if !alone {
		steps = []func(context.Context) error{b.refused, b.bulk, b.size, b.single, b.scan, b.streamed}
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}
