package server

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/intake"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

const (
	// chunkRecords and chunkBytes bound what is parsed ahead of an append; one
	// append is one fsync. Two chunks exist at once for each stream: one is being
	// stored while the next is parsed.
	chunkRecords = 1024
	chunkBytes   = 1 << 20
	// smallBody is a body that is parsed before it is stored and not meanwhile,
	// because a second goroutine and a chunk of full size would cost more than
	// they gain.
	smallBody = 128 << 10
	// maxQuarantined bounds what one request can put into quarantine: each payload
	// there has a key of its own, and two bytes of a body can be one.
	maxQuarantined = 10_000
	// appendTimeout bounds the wait for durability.
	appendTimeout = 30 * time.Second
)

// chunk is what one append takes.
type chunk struct {
	records []record.Record
	bad     []store.Quarantined
	bytes   int
}

func (c *chunk) full() bool {
	return len(c.records)+len(c.bad) >= chunkRecords || c.bytes >= chunkBytes
}
func (c *chunk) empty() bool { return len(c.records) == 0 && len(c.bad) == 0 }

// chunks are reused, because one is half a megabyte; they are cleared first, so
// that nobody's records lie about.
var chunks = sync.Pool{New: func() any { return &chunk{records: make([]record.Record, 0, chunkRecords)} }}

func (c *chunk) release() {
	clear(c.records)
	c.records, c.bad, c.bytes = c.records[:0], nil, 0
	chunks.Put(c)
}

// tally counts what became of the items of one request.
type tally struct {
	stored, versions, duplicates, quarantined int
	receipts                                  []string
}

func (t *tally) add(a store.Appended) {
	if n := len(t.receipts); a.Receipt != "" && (n == 0 || t.receipts[n-1] != a.Receipt) {
		t.receipts = append(t.receipts, a.Receipt)
	}
	switch a.State {
	case store.Duplicate:
		t.duplicates++
	case store.NewVersion:
		t.versions++
	default:
		t.stored++
	}
}

func (t *tally) form() data.Counts {
	return data.Counts{Accepted: t.stored + t.versions, Duplicates: t.duplicates, Quarantined: t.quarantined, Receipts: t.receipts}
}

func (t *tally) note(e *policy.Error) *policy.Error {
	return e.With("accepted", strconv.Itoa(t.stored+t.versions)).
		With("duplicates", strconv.Itoa(t.duplicates)).With("quarantined", strconv.Itoa(t.quarantined))
}

// origin is where the items of a request come from.
type origin struct {
	source   record.SourceKind
	instance string
	path     string
}

// parser yields the items of a body in order.
type parser func(yield func(intake.Item) error) error

// ingest stores what parse yields, chunk by chunk and in order, and quarantines
// what could not be parsed. What was parsed before the body broke off is
// stored; the error then carries the counts.
func (x *exchange) ingest(from origin, parse parser) (tally, error) {
	var t tally
	var err error
	if n := x.r.ContentLength; n >= 0 && n <= smallBody {
		err = x.ingestSmall(from, parse, &t)
	} else {
		err = x.ingestStream(from, parse, &t)
	}
	x.s.metrics.took(from.source, t)
	if err == nil {
		return t, nil
	}
	told := *api.AsError(err) // the original may be shared
	told.Metadata = maps.Clone(told.Metadata)
	return t, t.note(&told)
}

func (x *exchange) ingestSmall(from origin, parse parser, t *tally) error {
	c := &chunk{}
	var failed error
	put := func() error {
		if c.empty() {
			return nil
		}
		if failed = x.commit(from, c, t); failed != nil {
			return failed
		}
		c = &chunk{}
		return nil
	}
	parseErr := parse(func(it intake.Item) error {
		c.take(from, it)
		if c.full() {
			return put()
		}
		return nil
	})
	if failed == nil {
		failed = put() // what came before the body broke off is whole
	}
	if failed != nil {
		return failed
	}
	if parseErr != nil {
		return brokenOff(parseErr)
	}
	return nil
}

// ingestStream parses in a goroutine of its own while the chunk before is
// being stored.
func (x *exchange) ingestStream(from origin, parse parser, t *tally) error {
	ctx, cancel := context.WithCancel(x.r.Context())
	defer cancel()
	ready := make(chan *chunk)
	parsed := make(chan error, 1)
	go func() {
		defer close(ready)
		parsed <- parseInto(ctx, from, parse, ready)
	}()
	for c := range ready {
		if err := x.commit(from, c, t); err != nil {
			cancel()
			_ = http.NewResponseController(x.w).SetReadDeadline(time.Now()) // the parser may be waiting for the client
			for range ready {                                               // it owns the body until it has ended
			}
			return err
		}
		c.release()
	}
	return <-parsed
}

func parseInto(ctx context.Context, from origin, parse parser, ready chan<- *chunk) (err error) {
	defer func() {
		if p := recover(); p != nil { // in the handler's goroutine net/http would have caught it
			err = &policy.Error{Reason: policy.Internal, Message: "the request failed inside; quote the request id to the operator", Cause: errors.New("parser: " + panicWords(p))}
		}
	}()
	c, _ := chunks.Get().(*chunk)
	send := func() error {
		select {
		case ready <- c:
			c, _ = chunks.Get().(*chunk)
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err = parse(func(it intake.Item) error {
		c.take(from, it)
		if c.full() {
			return send()
		}
		return nil
	})
	if !c.empty() && ctx.Err() == nil {
		if sendErr := send(); sendErr != nil {
			return sendErr
		}
	}
	if err != nil {
		return brokenOff(err)
	}
	return nil
}

// yieldEvery is after how many items a parser lets others have its processor: the
// scheduler would wait for 10 ms, and whoever is to be refused waits with it.
const yieldEvery = 16

func (c *chunk) take(from origin, it intake.Item) {
	if (len(c.records)+len(c.bad))%yieldEvery == yieldEvery-1 {
		runtime.Gosched()
	}
	if it.Err == nil {
		c.records = append(c.records, it.Record)
		c.bytes += len(it.Record.Native)
		return
	}
	c.bad = append(c.bad, store.Quarantined{Source: from.source, Instance: from.instance, Path: from.path,
		ContentType: it.ContentType, Problem: problemWords(it.Err), Payload: it.Raw})
	c.bytes += len(it.Raw)
}

// problemWords keeps to intake's closed vocabulary.
func problemWords(err error) string {
	var p intake.Problem
	if errors.As(err, &p) {
		return string(p)
	}
	return string(intake.ProblemContent)
}

// commit makes one chunk durable and counts it. An error means that none of it
// may be acknowledged.
func (x *exchange) commit(from origin, c *chunk, t *tally) error {
	ctx, cancel := x.detached(appendTimeout)
	defer cancel()
	got, err := x.delivery().keep(ctx, from.source, c)
	if err != nil {
		return err
	}
	for _, a := range got {
		t.add(a)
	}
	t.quarantined += len(c.bad)
	if t.quarantined >= maxQuarantined {
		return tooManyBad(t.quarantined, "request")
	}
	return nil
}

// tooManyBad is the refusal of what is not a mistake in a few records.
func tooManyBad(n int, of string) error {
	return policy.Errorf(policy.InvalidArgument, "%d records of this %s could not be parsed and are in quarantine; the rest of it was not read. Is it the form that this path takes?", n, of)
}
