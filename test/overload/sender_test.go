package overload

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	day       = "2026-03-16"
	batchSize = 500 // records
)

// sender is one tenant's program. It sends batches whether or not they are
// answered, and again what was refused, as a program does that loses nothing.
type sender struct {
	slug, url, key string
	http           *http.Client
	made           atomic.Int64

	mu    sync.Mutex
	stock []*batch // made before the clock runs, and what was refused

	acknowledged atomic.Int64 // records, ever
	unsure       atomic.Int64 // records whose answer did not come
}

// batch is a body of records that were never sent before.
type batch struct{ body []byte }

func (s *sender) batch(a *answers) *batch {
	s.mu.Lock()
	if n := len(s.stock) - 1; n >= 0 {
		b := s.stock[n]
		s.stock = s.stock[:n]
		s.mu.Unlock()
		return b
	}
	s.mu.Unlock()
	a.late.Add(1)
	return s.make()
}

func (s *sender) keep(b *batch) {
	s.mu.Lock()
	s.stock = append(s.stock, b)
	s.mu.Unlock()
}

// prepare makes batches before the clock runs: one costs a sender milliseconds of
// its processor, and whoever makes them while it measures measures itself.
func (s *sender) prepare(n int) {
	for range min(n, mostPrepared) - len(s.stock) {
		s.keep(s.make())
	}
}

// mostPrepared is more than a node on one core takes in of one tenant in one load.
const mostPrepared = 1500

func (s *sender) make() *batch {
	n := s.made.Add(1)
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	for i := range batchSize {
		at := (n*batchSize + int64(i)) % 86_400
		fmt.Fprintf(z, `{"native_id":"%s-%d-%d","from":"+35319%06d","to":"+35386%07d","direction":"outbound","status":"completed","start_time":"%sT%02d:%02d:%02dZ","duration_ms":%d,"billsec_ms":%d,"sip_code":200}`+"\n",
			s.slug, n, i, (n*7+int64(i))%1_000_000, (n*13+int64(i)*31)%10_000_000, day, at/3600, at/60%60, at%60, 1000+i*37, 900+i*37)
	}
	_ = z.Close()
	return &batch{out.Bytes()}
}

// answers are what became of one load.
type answers struct {
	mu      sync.Mutex
	sent    int
	ok      []time.Duration
	refused []time.Duration
	other   map[string]int
	held    int          // not sent: too many waited already
	dialled atomic.Int64 // connections that were made
	late    atomic.Int64 // batches that were made while the clock ran
	took    time.Duration
}

func (a *answers) share() float64 {
	return float64(len(a.ok)) / float64(max(1, len(a.ok)+len(a.refused)+len(a.other)))
}

// goodput is records acknowledged in a second.
func (a *answers) goodput() float64 { return float64(len(a.ok)*batchSize) / a.took.Seconds() }

func percentile(d []time.Duration, p float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	d = slices.Sorted(slices.Values(d))
	return d[min(len(d)-1, int(p*float64(len(d))))]
}

// send sends one batch and notes what became of it.
func (s *sender) send(a *answers) {
	b := s.batch(a)
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{ConnectStart: func(string, string) { a.dialled.Add(1) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(b.body))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Content-Encoding", "gzip")
	began := time.Now()
	resp, err := s.http.Do(req)
	took := time.Since(began)
	status, retry := 0, ""
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		status, retry = resp.StatusCode, resp.Header.Get("Retry-After")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err != nil:
		s.unsure.Add(batchSize)
		for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
			err = inner
		}
		a.other[err.Error()]++
	case status == http.StatusOK:
		s.acknowledged.Add(batchSize)
		a.ok = append(a.ok, took)
	case status == http.StatusTooManyRequests && retry != "":
		s.keep(b)
		a.refused = append(a.refused, took)
	default:
		s.unsure.Add(batchSize)
		a.other[fmt.Sprintf("status %d, Retry-After %q", status, retry)]++
	}
}

// closed sends from some workers, each waiting for its answer.
func (s *sender) closed(workers int, d time.Duration) *answers {
	a := &answers{other: map[string]int{}}
	s.prepare(mostPrepared)
	began := time.Now()
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for time.Since(began) < d {
				s.send(a)
			}
		})
	}
	all.Wait()
	a.took = time.Since(began)
	a.sent = len(a.ok) + len(a.refused)
	return a
}

// mostWaiting bounds what one sender has in flight: a program has a bound too.
const mostWaiting = 1500

// open sends rate batches a second at random moments, answered or not.
func (s *sender) open(t *testing.T, rate float64, d time.Duration) *answers {
	t.Helper()
	a := &answers{other: map[string]int{}}
	name := fnv.New64a() // so that two senders of one rate do not send at the same moments
	_, _ = io.WriteString(name, s.slug)
	rnd := rand.New(rand.NewPCG(name.Sum64(), uint64(rate*1000)))
	s.prepare(int(1.1*rate*d.Seconds()) + 50)
	began := time.Now()
	var all sync.WaitGroup
	var waiting atomic.Int64
	for next := time.Duration(0); next < d; next += time.Duration(rnd.ExpFloat64() / rate * float64(time.Second)) {
		if early := next - time.Since(began); early > 0 {
			time.Sleep(early)
		}
		if waiting.Load() >= mostWaiting {
			a.held++
			continue
		}
		a.sent++
		waiting.Add(1)
		all.Go(func() {
			defer waiting.Add(-1)
			s.send(a)
		})
	}
	a.took = time.Since(began)
	all.Wait()
	return a
}
