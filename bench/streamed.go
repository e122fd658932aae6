package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/domicile-io/domicile/api/client"
	ingestv1 "github.com/domicile-io/domicile/api/ingest/v1"
)

// streamed measures the records of P8 over gRPC streams, beside the same over HTTPS
// and COPY, in turns. No target is set for it: it shows what an acknowledgement for
// each batch of a long connection costs.
func (b *recordBench) streamed(ctx context.Context) error {
	posted := &target{id: "P8", what: "the same over gRPC streams / over HTTPS", unit: "records/s", shown: true}
	copied := &target{id: "P8", what: "the same over gRPC streams / PostgreSQL COPY", unit: "records/s", shown: true}
	for range rounds {
		l, err := prepare(bulkBatches, batchRecords)
		if err != nil {
			return err
		}
		m := meterOf(b.c.Process(b.node).PID())
		v, err := b.stream(ctx, l)
		if err != nil {
			return fmt.Errorf("streams: %w", err)
		}
		ours := m.per(l.records())
		b.note(l)
		for _, t := range []*target{posted, copied} {
			t.ours, t.oursCost = append(t.ours, v), append(t.oursCost, ours)
		}
		if l, err = prepare(bulkBatches, batchRecords); err != nil {
			return err
		}
		v, theirs, err := b.posted(ctx, l)
		if err != nil {
			return err
		}
		posted.peer, posted.peerCost = append(posted.peer, v), append(posted.peerCost, theirs)
		if err := b.copied(ctx, l, copied); err != nil {
			return err
		}
	}
	b.targets = append(b.targets, posted, copied)
	return nil
}

// stream sends batches over as many streams as post has connections, until all are
// acknowledged; what was not stored is an error.
func (b *recordBench) stream(ctx context.Context, l *lines) (float64, error) {
	trust, err := client.HTTPOptions{CAFile: b.c.Env.CAFile()}.TLS()
	if err != nil {
		return 0, err
	}
	var stored atomic.Int64
	acknowledged := func(a *ingestv1.StreamResponse) {
		for _, o := range a.GetOutcomes() {
			if o.GetState() == ingestv1.OutcomeState_OUTCOME_STATE_STORED {
				stored.Add(1)
			}
		}
	}
	start, errs := time.Now(), make([]error, batchWriters)
	var all sync.WaitGroup
	for n := range batchWriters {
		all.Go(func() {
			o := client.StreamOptions{Addresses: []string{b.c.Env.IngestAddress(b.node)}, Key: b.region.Key, TLS: trust, Acknowledged: acknowledged}
			errs[n] = stream(ctx, o, l, start, b.each)
		})
	}
	all.Wait()
	took := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	if got, want := int(stored.Load()), l.records(); got != want {
		return 0, fmt.Errorf("%d of %d records were stored", got, want)
	}
	return rate(int(stored.Load()), took), nil
}

func stream(ctx context.Context, o client.StreamOptions, l *lines, start time.Time, length time.Duration) error {
	s, err := client.OpenStream(ctx, o)
	if err != nil {
		return err
	}
	for time.Since(start) < length {
		i, ok := l.take()
		if !ok {
			break
		}
		if _, err := s.Send(ctx, l.bodies[i]); err != nil {
			return errors.Join(err, s.Close(ctx))
		}
	}
	return s.Close(ctx)
}
