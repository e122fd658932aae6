package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/domicile-io/domicile/api/ingest/v1"
	"github.com/domicile-io/domicile/dataplane/intake"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/telemetry"
	"github.com/domicile-io/domicile/policy"
)

// taken is one batch, parsed.
type taken struct {
	sequence uint64
	chunk
	spoilt []bool // of each record in order: it is in quarantine
	size   int64  // bytes
	since  time.Time
}

// run takes batches in one goroutine and stores them in this one. Those that wait
// together are stored together.
func (x *stream) run() error {
	ctx, cancel := context.WithCancel(x.g.Context())
	defer cancel()
	ready := make(chan *taken, 64)
	room := semaphore.NewWeighted(maxAhead)
	go func() {
		defer close(ready)
		x.receivers <- x.receive(ctx, ready, room)
	}()
	tick := time.NewTicker(x.s.streamCheck)
	defer tick.Stop()
	for {
		select {
		case b, ok := <-ready:
			if !ok {
				return <-x.receivers
			}
			if err := x.store(x.gather(b, ready), room); err != nil {
				return err
			}
		case <-tick.C:
			if err := x.lookAfter(); err != nil {
				return err
			}
		case <-x.s.draining:
			return x.finishTaken(ready, room)
		}
	}
}

// finishTaken acknowledges the batches that were taken before the node stops.
func (x *stream) finishTaken(ready <-chan *taken, room *semaphore.Weighted) error {
	for {
		select {
		case b, ok := <-ready:
			if !ok {
				return <-x.receivers
			}
			if err := x.store(x.gather(b, ready), room); err != nil {
				return err
			}
		default:
			return errShutdown
		}
	}
}

// receive takes batches until the client has no more, and parses them.
func (x *stream) receive(ctx context.Context, ready chan<- *taken, room *semaphore.Weighted) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &policy.Error{Reason: policy.Internal, Message: "the request failed inside; quote the request id to the operator", Cause: errors.New("stream: " + panicWords(p))}
		}
	}()
	for {
		m, err := x.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		x.busy.Add(1)
		x.place.Spend(ctx, 0, int64(m.weight))
		b, err := x.parse(ctx, m)
		if err != nil {
			return err
		}
		if err := room.Acquire(ctx, b.size); err != nil {
			return err
		}
		select {
		case ready <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// next waits for a batch. A stream that says nothing holds no turn and next to no
// memory.
func (x *stream) next() (*received, error) {
	m := &received{}
	var err error
	x.awaiting.Store(true)
	x.place.Rest(func() { err = x.g.RecvMsg(m) }, func() bool { return x.busy.Load() == 0 })
	x.awaiting.Store(false)
	if err != nil {
		return nil, unreadable(err)
	}
	x.messages.Add(1)
	x.sluice.Took(5 + m.weight)
	switch {
	case x.sluice.Pending() < 0: // it grew on its way
		return nil, compressed()
	case len(m.GetRecords()) > maxBatch:
		return nil, policy.Errorf(policy.PayloadTooLarge, "a batch has at most %d bytes of records; send smaller ones", maxBatch)
	case x.began && m.GetSequence() != x.sequence+1:
		return nil, invalid([]policy.FieldError{{Field: "sequence", Message: "is not one more than that of the batch before"}})
	}
	x.began, x.sequence = true, m.GetSequence()
	return m, nil
}

// unreadable says what is wrong with a message that gRPC could not read.
func unreadable(err error) error {
	switch status.Code(err) {
	case codes.ResourceExhausted:
		return policy.Errorf(policy.PayloadTooLarge, "a batch has at most %d bytes of records; send smaller ones", maxBatch)
	case codes.Unimplemented:
		return compressed()
	case codes.Internal, codes.Unknown:
		if !errors.Is(err, io.EOF) {
			return &policy.Error{Reason: policy.InvalidArgument, Cause: err, Message: "what came is not a whole StreamRequest; see the proto"}
		}
	}
	return err // the end, or the client is gone
}

func compressed() error {
	return policy.Errorf(policy.UnsupportedMediaType, "batches are not compressed; send them without grpc-encoding")
}

// parse reads a batch as /v1/calls:batch reads a body. A batch that breaks off is
// refused as a whole.
func (x *stream) parse(ctx context.Context, m *received) (*taken, error) {
	b := &taken{sequence: m.GetSequence(), size: int64(max(len(m.GetRecords()), 1)), since: time.Now()}
	from := origin{source: record.Native, instance: nativeInstance}
	err := intake.NDJSON(ctx, x.s.nativeSettings(), bytes.NewReader(m.GetRecords()), func(it intake.Item) error {
		if len(b.spoilt) == maxBatchRecords {
			return policy.Errorf(policy.PayloadTooLarge, "a batch has at most %d records; send smaller ones", maxBatchRecords)
		}
		b.take(from, it)
		b.spoilt = append(b.spoilt, it.Err != nil)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// gather adds what waits behind a batch, as far as one append takes it.
func (x *stream) gather(first *taken, ready <-chan *taken) []*taken {
	group, records, size := []*taken{first}, len(first.spoilt), first.size
	for records < chunkRecords && size < chunkBytes {
		select {
		case b, ok := <-ready:
			if !ok {
				return group
			}
			group, records, size = append(group, b), records+len(b.spoilt), size+b.size
		default:
			return group
		}
	}
	return group
}

// store makes batches durable and acknowledges each.
func (x *stream) store(group []*taken, room *semaphore.Weighted) error {
	if err := x.may(false); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.g.Context()), appendTimeout)
	defer cancel()
	ctx, span := x.s.o.Traces.Start(ctx, telemetry.Request)
	span.Route(streamPattern)
	got, err := x.keepAll(ctx, group)
	span.EndWith(err)
	if err != nil {
		return err
	}
	x.s.metrics.streamAppends.Inc()
	for _, b := range group {
		out, t := b.answer(got[:len(b.records)])
		got = got[len(b.records):]
		x.s.metrics.took(record.Native, t)
		if err := x.acknowledge(out); err != nil {
			return err
		}
		x.s.metrics.batches.Inc()
		x.s.metrics.batchSeconds.Observe(time.Since(b.since).Seconds())
		room.Release(b.size)
		x.busy.Add(-1)
		if x.poisoned += t.quarantined; x.poisoned >= maxQuarantined {
			return tooManyBad(x.poisoned, "stream")
		}
	}
	return nil
}

// keepAll makes the records of several batches durable, in order and in pieces of
// one append. A batch whose append failed in part is not acknowledged; sent again,
// what was stored of it is a duplicate.
func (x *stream) keepAll(ctx context.Context, group []*taken) ([]store.Appended, error) {
	all := &group[0].chunk
	if len(group) > 1 {
		all = &chunk{}
		for _, b := range group {
			all.records = append(all.records, b.records...)
			all.bad = append(all.bad, b.bad...)
		}
	}
	out := make([]store.Appended, 0, len(all.records))
	for records, bad := all.records, all.bad; len(records)+len(bad) > 0; {
		n := min(len(records), chunkRecords)
		m := min(len(bad), chunkRecords-n)
		got, err := x.keep(ctx, record.Native, &chunk{records: records[:n], bad: bad[:m]})
		if err != nil {
			return nil, err
		}
		out, records, bad = append(out, got...), records[n:], bad[m:]
	}
	return out, nil
}

// answer says what became of each record of a batch.
func (b *taken) answer(got []store.Appended) (*ingestv1.StreamResponse, tally) {
	out := &ingestv1.StreamResponse{Sequence: b.sequence, Outcomes: make([]*ingestv1.Outcome, 0, len(b.spoilt))}
	var t tally
	var stored, bad int
	for _, isBad := range b.spoilt {
		if isBad {
			out.Outcomes = append(out.Outcomes, &ingestv1.Outcome{State: ingestv1.OutcomeState_OUTCOME_STATE_QUARANTINED, Problem: b.bad[bad].Problem})
			bad++
			continue
		}
		a := got[stored]
		stored++
		t.add(a)
		out.Outcomes = append(out.Outcomes, &ingestv1.Outcome{State: outcomeStates[a.State], Call: a.ID})
	}
	t.quarantined = bad
	out.Receipts = t.receipts
	return out, t
}

var outcomeStates = map[store.State]ingestv1.OutcomeState{
	store.Stored: ingestv1.OutcomeState_OUTCOME_STATE_STORED, store.Duplicate: ingestv1.OutcomeState_OUTCOME_STATE_DUPLICATE,
	store.NewVersion: ingestv1.OutcomeState_OUTCOME_STATE_NEW_VERSION}

// acknowledge sends an answer. A client that does not take it loses the connection:
// gRPC gives a handler no other way out.
func (x *stream) acknowledge(out *ingestv1.StreamResponse) error {
	t := time.AfterFunc(answerGrace, func() { _ = x.sluice.Cut() })
	defer t.Stop()
	var err error
	x.place.ForClient(func() { err = x.g.SendMsg(out) })
	return err
}

// lookAfter is asked every few seconds: a tenant that moved, or whose key ended, is
// told although it sends nothing, and a batch that has begun must come to its end.
func (x *stream) lookAfter() error {
	if err := x.may(false); err != nil {
		return err
	}
	now := x.s.now()
	if n := x.messages.Load(); !x.awaiting.Load() || x.sluice.Pending() == 0 || n != x.unmoved || x.since.IsZero() {
		x.unmoved, x.since = n, now
		return nil
	}
	if now.Sub(x.since) > batchPatience {
		return policy.Errorf(policy.InvalidArgument, "a batch has not come to its end within %v; send smaller ones, or over a faster line", batchPatience)
	}
	return nil
}

var grpcNotFound = status.Error(codes.Unimplemented, fmt.Sprintf("this port has one method, %s", ingestv1.IngestService_Stream_FullMethodName))
