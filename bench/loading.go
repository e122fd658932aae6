package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/internal/testcluster"
)

// What -records asks for is loaded into a region of its own, which has nothing else:
// peers keep the little that they are compared on, and a tenth is a tenth.
const (
	loadedRegion = "au1"
	callsEach    = 50 // of a number, however many records there are
	loadMost     = 4 * time.Hour
	leastRecords = 100_000 // of -records
)

// loaded measures what 05-performance names for many records (P11, P12's subject, P17
// and P18) on a region that holds so many. No record is kept in memory.
func loaded(ctx context.Context, c *testcluster.Cluster, each time.Duration, records int) ([]limit, error) {
	region, err := place(ctx, c, "loaded", loadedRegion, "AU")
	if err != nil {
		return nil, err
	}
	b := &recordBench{c: c, node: loadedRegion, region: region, each: each, numbers: max(callees, records/callsEach)}
	first := func(ctx context.Context) (err error) {
		if err = b.load(ctx, records/10); err != nil {
			return err
		}
		b.first, err = b.grownTo(ctx, records)
		return err
	}
	all := func(ctx context.Context) error { return b.load(ctx, records) }
	last := func(ctx context.Context) error {
		now, err := b.grownTo(ctx, records)
		if err == nil {
			b.lost(now)
		}
		return err
	}
	for _, step := range []func(context.Context) error{first, all, b.size, b.subject, last, b.recovery} {
		if err := step(ctx); err != nil {
			return b.limits, fmt.Errorf("with %d records: %w", b.stored, err)
		}
	}
	return b.limits, nil
}

// batch is a body of new records.
func (b *recordBench) batch() []byte {
	body := make([]byte, 0, batchRecords*900)
	for range batchRecords {
		body = lineTo(body, serial.Add(1), b.numbers)
	}
	return body
}

// load posts batches until the region holds so many records, and tells on stderr how
// far it is. Bodies are made while it loads, so its rate is no measure of the node's.
func (b *recordBench) load(ctx context.Context, records int) error {
	var taken, done, sent atomic.Int64
	from := b.stored
	batches := int64((records - from + batchRecords - 1) / batchRecords)
	told := b.progress(from, records, &done)
	_, err := load(ctx, batchWriters, loadMost, func(ctx context.Context) (bool, error) {
		if taken.Add(1) > batches {
			return false, nil
		}
		body := b.batch()
		counts, err := b.region.Batch(ctx, client.Upload{Body: bytes.NewReader(body)})
		if err == nil && counts.Accepted != batchRecords {
			err = fmt.Errorf("%+v of %d accepted", counts, batchRecords)
		}
		done.Add(int64(counts.Accepted))
		sent.Add(int64(len(body)))
		return true, err
	})
	told()
	b.stored, b.json = from+int(done.Load()), b.json+sent.Load()
	if err == nil && b.stored < records {
		err = fmt.Errorf("%d of %d records were loaded within %v", b.stored, records, loadMost)
	}
	return err
}

// progress writes a line over itself once a second, until what it returns is called.
func (b *recordBench) progress(from, records int, done *atomic.Int64) (end func()) {
	start, stop, ended := time.Now(), make(chan struct{}), make(chan struct{})
	tell := func() {
		n := int(done.Load())
		fmt.Fprintf(os.Stderr, "\rbench: loading %d of %d records, %.0f %%, %.0f/s  ", from+n, records, 100*float64(from+n)/float64(max(records, 1)), rate(n, time.Since(start)))
	}
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				tell()
			case <-stop:
				tell()
				fmt.Fprintln(os.Stderr)
				return
			}
		}
	}()
	return func() { close(stop); <-ended }
}

// Batches of a turn of ingest: a second's work with ten million records, a fiftieth of
// all with fewer.
func turnBatches(records int) int { return min(bulkBatches, max(20, records/50/batchRecords)) }

// grownTo measures ingest and point reads of a store at rest, medians of some turns;
// the records that it adds are not in the number that it gives.
func (b *recordBench) grownTo(ctx context.Context, records int) (growing, error) {
	g := growing{stored: b.stored}
	folder, err := b.folder()
	if err != nil {
		return g, err
	}
	if _, err := restedSize(ctx, folder); err != nil {
		return g, err
	}
	ids, err := b.spread(ctx)
	if err != nil {
		return g, err
	}
	var ingest, reads []float64
	for range rounds {
		l := &lines{each: batchRecords}
		for range turnBatches(records) {
			l.bodies = append(l.bodies, b.batch())
		}
		v, err := post(ctx, b.region, l, b.each)
		if err != nil {
			return g, err
		}
		b.note(l)
		ingest = append(ingest, v)
		if v, err = b.pointReads(ctx, ids); err != nil {
			return g, err
		}
		reads = append(reads, v)
	}
	slices.Sort(ingest)
	slices.Sort(reads)
	g.ingest, g.reads = ingest[rounds/2], reads[rounds/2]
	return g, nil
}

// spread finds calls of all times that are stored, so that point reads are not only of
// what came last and is in every cache.
func (b *recordBench) spread(ctx context.Context) (ids []string, err error) {
	const looks, calls = 500, 2
	last := serial.Load()
	for i := range int64(looks) {
		n := last - int64(b.stored)*(looks-i)/looks
		page, err := b.region.Calls(ctx, client.Filter{Start: startOf(n), End: startOf(n + 10*batchRecords), PageSize: calls})
		if err != nil {
			return nil, err
		}
		for _, c := range page.Calls {
			ids = append(ids, c.ID)
		}
	}
	if len(ids) < looks {
		return nil, fmt.Errorf("%d calls were listed of %d stored", len(ids), b.stored)
	}
	return ids, nil
}
