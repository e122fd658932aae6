package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/internal/testcluster"
)

// recordBench is one run over a region and its peers; its steps stand in order,
// each on what the earlier ones have stored.
type recordBench struct {
	c       *testcluster.Cluster
	node    string // and region
	region  *client.Region
	p       *peers
	each    time.Duration
	dir     string
	targets []*target
	limits  []limit
	numbers int // that records call

	stored int     // records in the region
	json   int64   // bytes of them, as sent
	first  growing // when little was stored
}

// limit is a target that is a number and not a ratio to a peer; less is better.
type limit struct {
	id, what    string
	value       float64
	unit        string
	floor, goal float64
}

// growing is what must not change much as data grows.
type growing struct {
	stored        int
	ingest, reads float64
}

func (b *recordBench) note(l *lines) {
	for i := range min(int(l.next.Load()), len(l.bodies)) {
		b.stored += l.each
		b.json += int64(len(l.bodies[i]))
	}
}

const bulkBatches = 120 // of batchRecords, prepared for each turn

func (b *recordBench) bulk(ctx context.Context) (err error) {
	if b.first, err = b.grown(ctx); err != nil {
		return err
	}
	copied := &target{id: "P8", what: "NDJSON over HTTPS, sealed, deduplicated, indexed / PostgreSQL COPY, plaintext, the same indexes", floor: 1.5, goal: 3, unit: "records/s", note: ""}
	put := &target{id: "P9", what: "the same / pebble in process, plaintext, the same keys", floor: 0.8, goal: 1.5, unit: "records/s"}
	for range rounds {
		l, err := prepare(bulkBatches, batchRecords)
		if err != nil {
			return err
		}
		v, ours, err := b.posted(ctx, l)
		if err != nil {
			return err
		}
		copied.oursCost, put.oursCost = append(copied.oursCost, ours), append(put.oursCost, ours)
		copied.ours, put.ours = append(copied.ours, v), append(put.ours, v)
		l.next.Store(0)
		m := meterOf()
		if v, err = b.p.put(ctx, l, b.each); err != nil {
			return fmt.Errorf("pebble: %w", err)
		}
		put.peer, put.peerCost = append(put.peer, v), append(put.peerCost, m.per(l.records()))
		if err := b.copied(ctx, l, copied); err != nil {
			return err
		}
	}
	b.targets = append(b.targets, copied, put)
	return nil
}

// posted sends new batches to the node over HTTPS, and says what that cost.
func (b *recordBench) posted(ctx context.Context, l *lines) (float64, cost, error) {
	m := meterOf(b.c.Process(b.node).PID())
	v, err := post(ctx, b.region, l, b.each)
	if err != nil {
		return 0, cost{}, fmt.Errorf("ours, over HTTPS: %w", err)
	}
	spent := m.per(l.records())
	b.note(l)
	return v, spent, nil
}

// copied gives PostgreSQL, if there is one, the same batches from their beginning.
func (b *recordBench) copied(ctx context.Context, l *lines, t *target) error {
	if b.p.pg == nil {
		return nil
	}
	l.next.Store(0)
	m := meterOf(b.p.pg.server.Process.Pid)
	v, err := b.p.copyIn(ctx, l, b.each)
	if err != nil {
		return fmt.Errorf("PostgreSQL: %w", err)
	}
	t.peer, t.peerCost = append(t.peer, v), append(t.peerCost, m.per(l.records()))
	return nil
}

// folder is where the node keeps records.
func (b *recordBench) folder() (string, error) {
	config, err := b.c.Env.RegionConfig(b.node)
	return filepath.Join(config.DataDir, "records"), err
}

// size compares what the node's whole record folder takes with what was sent: as the
// last write leaves it, with the engine's logs, and once the store has rested.
func (b *recordBench) size(ctx context.Context) error {
	folder, err := b.folder()
	if err != nil {
		return err
	}
	took, err := folderSize(folder)
	if err != nil {
		return err
	}
	rested, err := restedSize(ctx, folder)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("bytes on disk per byte of JSON, log and indexes included; %d records of %d bytes in batches of %d", b.stored, b.json/int64(b.stored), batchRecords)
	for _, x := range []struct {
		when string
		size int64
	}{{"right after the last write", took}, {"at rest", rested}} {
		b.limits = append(b.limits, limit{"P11", what + ", " + x.when, float64(x.size) / float64(b.json), "×", 0.35, 0.16})
	}
	return nil
}

// A store rests when it was not written to for some seconds (docs/adr/0088).
const (
	restLooks = 500 * time.Millisecond
	restSame  = 10               // looks at which a folder that rests has the same size
	restMost  = 10 * time.Minute // tables of many records may still be merged
)

// restedSize waits until a folder stays as large as it is.
func restedSize(ctx context.Context, folder string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, restMost)
	defer cancel()
	size, same := int64(-1), 0
	for same < restSame {
		now, err := folderSize(folder)
		if err != nil {
			return 0, err
		}
		if now == size {
			same++
		} else {
			size, same = now, 0
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("%s does not come to rest: %w", folder, ctx.Err())
		case <-time.After(restLooks):
		}
	}
	return size, nil
}

func (b *recordBench) single(ctx context.Context) error {
	one := &target{id: "P10", what: "single-record POST, 64 connections / PostgreSQL INSERT, 64 connections", floor: 1.5, goal: 3, unit: "records/s"}
	for range rounds {
		a, err := prepareAsks(ctx, b.region, preparedSingles, singleWriters)
		if err != nil {
			return fmt.Errorf("ours: %w", err)
		}
		m := meterOf(b.c.Process(b.node).PID())
		v, done, err := a.singles(ctx, b.each)
		cost := m.per(done)
		if err = errors.Join(err, a.close()); err != nil {
			return fmt.Errorf("ours: %w", err)
		}
		one.ours, one.oursCost = append(one.ours, v), append(one.oursCost, cost)
		if b.p.pg == nil {
			continue
		}
		l, err := prepare(preparedSingles, 1)
		if err != nil {
			return err
		}
		m = meterOf(b.p.pg.server.Process.Pid)
		if v, err = b.p.insert(ctx, l, b.each); err != nil {
			return fmt.Errorf("PostgreSQL: %w", err)
		}
		one.peer, one.peerCost = append(one.peer, v), append(one.peerCost, m.per(l.records()))
	}
	b.targets = append(b.targets, one)
	return nil
}

type counting struct{ lines int }

var newline = []byte{'\n'}

func (c *counting) Write(p []byte) (int, error) {
	c.lines += bytes.Count(p, newline) // at the cost of next to nothing, for us and for the peer
	return len(p), nil
}

// scan reads all of a tenant by time, as files.
func (b *recordBench) scan(ctx context.Context) error {
	t := &target{id: "P12", what: "everything of a tenant by time: GET /v1/calls:export / COPY (SELECT … ORDER BY listed) TO STDOUT", floor: 2, goal: 4, unit: "records/s"}
	for range rounds {
		start, used := time.Now(), meterOf(b.c.Process(b.node).PID())
		file, err := b.region.ExportCalls(ctx, "ndjson", client.Filter{})
		if err != nil {
			return err
		}
		var n counting
		_, err = io.Copy(&n, bufio.NewReaderSize(file, 1<<20))
		_ = file.Close()
		if err != nil {
			return err
		}
		t.ours, t.oursCost = append(t.ours, rate(n.lines, time.Since(start))), append(t.oursCost, used.per(n.lines))
		if b.p.pg == nil {
			continue
		}
		start, used = time.Now(), meterOf(b.p.pg.server.Process.Pid)
		conn, err := b.p.pg.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		var m counting
		_, err = conn.Conn().PgConn().CopyTo(ctx, &m, `COPY (SELECT native_id, listed, from_number, to_number, status, billsec, payload FROM calls WHERE tenant = '`+benchTenant+`' ORDER BY listed) TO STDOUT`)
		conn.Release()
		if err != nil {
			return err
		}
		t.peer, t.peerCost = append(t.peer, rate(m.lines, time.Since(start))), append(t.peerCost, used.per(m.lines))
	}
	b.targets = append(b.targets, t)
	return nil
}

// subject finds every call of one number.
func (b *recordBench) subject(ctx context.Context) error {
	var took []float64
	calls := 0
	for i := range 51 {
		start := time.Now()
		page, err := b.region.SearchCalls(ctx, data.Search{Number: callee(int64(i*(b.numbers/103)), int64(b.numbers)), PageSize: 1000})
		if err != nil {
			return err
		}
		calls += len(page.Calls)
		took = append(took, float64(time.Since(start).Microseconds())/1000)
	}
	slices.Sort(took)
	b.limits = append(b.limits, limit{"P12", fmt.Sprintf("one number's calls (%d of them) out of %d, median of 51", calls/51, b.stored), took[25], "ms", 50, 10})
	return nil
}

// grown measures ingest and point reads on what is there now.
func (b *recordBench) grown(ctx context.Context) (g growing, err error) {
	l, err := prepare(20, batchRecords)
	if err != nil {
		return g, err
	}
	if g.ingest, err = post(ctx, b.region, l, b.each); err != nil {
		return g, err
	}
	b.note(l)
	g.stored = b.stored
	var ids []string
	page, err := b.region.Calls(ctx, client.Filter{PageSize: 1000})
	for _, c := range page.Calls {
		ids = append(ids, c.ID)
	}
	if err != nil {
		return g, err
	}
	g.reads, err = b.pointReads(ctx, ids)
	return g, err
}

// pointReads reads calls one by one, for half a turn.
func (b *recordBench) pointReads(ctx context.Context, ids []string) (float64, error) {
	n, start := 0, time.Now()
	for ; time.Since(start) < b.each/2; n++ {
		if _, err := b.region.Call(ctx, ids[n*37%len(ids)]); err != nil {
			return 0, err
		}
	}
	return rate(n, time.Since(start)), nil
}

func (b *recordBench) growth(ctx context.Context) error {
	now, err := b.grown(ctx)
	if err == nil {
		b.lost(now)
	}
	return err
}

// lost notes what data that have grown take from what they did.
func (b *recordBench) lost(now growing) {
	change := func(before, after float64) float64 { return max(0, 1-after/before) * 100 }
	of := fmt.Sprintf(" lost from %d to %d records", b.first.stored, now.stored)
	b.limits = append(b.limits, limit{"P18", "ingest rate" + of, change(b.first.ingest, now.ingest), "%", 20, 5},
		limit{"P18", "point reads" + of, change(b.first.reads, now.reads), "%", 20, 5})
}

// recovery kills the region's process and waits until it serves again.
func (b *recordBench) recovery(ctx context.Context) error {
	node := b.c.Process(b.node)
	if err := node.Kill(); err != nil {
		return err
	}
	start := time.Now()
	if err := node.Start(); err != nil {
		return err
	}
	if err := node.WaitReady(ctx); err != nil {
		return err
	}
	b.limits = append(b.limits, limit{"P17", fmt.Sprintf("from kill -9 to serving again, %d records", b.stored), time.Since(start).Seconds(), "s", 10, 2})
	file, err := b.region.ExportCalls(ctx, "ndjson", client.Filter{})
	if err != nil {
		return err
	}
	defer file.Close()
	var n counting
	if _, err := io.Copy(&n, file); err != nil {
		return err
	}
	if n.lines < b.stored {
		return fmt.Errorf("%d of %d acknowledged records are there after the kill", n.lines, b.stored)
	}
	return nil
}

func printLimits(w io.Writer, all []limit) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(w, "\n| # | what | measured | unit | floor | goal | verdict |\n|---|---|---:|---|---:|---:|---|\n")
	for _, l := range all {
		verdict := "BELOW THE FLOOR"
		switch {
		case l.value <= l.goal:
			verdict = "goal reached"
		case l.value <= l.floor:
			verdict = "above the floor"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s |\n", l.id, l.what, figure(l.value), l.unit, figure(l.floor), figure(l.goal), verdict)
	}
}
