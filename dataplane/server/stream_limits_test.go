package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	ingestv1 "github.com/domicile-io/domicile/api/ingest/v1"
	"github.com/domicile-io/domicile/dataplane/admission"
	"github.com/domicile-io/domicile/policy"
)

// Streams have one method, so that their permission matrix has one row: whoever may
// write records by POST /v1/calls:batch may do so by a stream, and nobody else.
func TestTheStreamIsForWhoMayWrite(t *testing.T) {
	r := start(t)
	for _, role := range []policy.KeyRole{policy.RoleIngest, policy.RoleReader, policy.RoleAdmin} {
		k := key("ie1", "a", role)
		status, _, raw := r.ask("POST", "/v1/calls:batch", k, strings.NewReader(lines(1)))
		st := r.stream(k)
		if status == 200 {
			r.acked(st, 1, lines(1))
			continue
		}
		if status != 403 {
			t.Errorf("%s: calls:batch answers %d %s", role, status, raw)
		}
		_ = st.Send(&ingestv1.StreamRequest{Sequence: 1, Records: []byte(lines(1))})
		r.refusedStream(st, policy.PermissionDenied)
	}
}

// Whoever balances load asks by gRPC's own protocol, without credentials and under
// whatever name it has; it is told no more than /readyz says.
func TestTheStreamsPortSaysWhetherItServes(t *testing.T) {
	r := start(t)
	down := errors.New("the record store is away")
	var why atomic.Pointer[error]
	r.server.o.Ready = func() error {
		if e := why.Load(); e != nil {
			return *e
		}
		return nil
	}
	cc, err := grpc.NewClient(r.ingest, grpc.WithAuthority("10.0.0.9"), grpc.WithTransportCredentials(dialAs(&tls.Config{RootCAs: r.roots}, "127.0.0.1")))
	must(t, err)
	defer cc.Close()
	ask := func() healthpb.HealthCheckResponse_ServingStatus {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		got, err := healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{Service: strings.Repeat("x", 1000)})
		must(t, err)
		return got.GetStatus()
	}
	if got := ask(); got != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("a node that is ready says %v", got)
	}
	why.Store(&down)
	if got := ask(); got != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("a node that is not ready says %v", got)
	}
	if n := r.counter("domicile_ingest_unasked_bytes_total"); n != 0 {
		t.Errorf("%v bytes of questions were taken", n)
	}
	if up := r.counter("domicile_ingest_port_up"); up != 1 {
		t.Errorf("the port is up: %v", up)
	}
}

// The next stream of a node that is full is refused; when one has ended there is room.
func TestANodeTakesSoManyStreams(t *testing.T) {
	r := start(t)
	st := r.stream(writer)
	r.acked(st, 1, lines(1))
	r.server.streaming.Add(maxStreams - 1) // as many others
	e := r.refusedStream(r.stream(writer), policy.Overloaded)
	if e.Metadata["cause"] != "places" {
		t.Errorf("the cause is %q", e.Metadata["cause"])
	}
	must(t, st.CloseSend())
	for { // to its end, after which the node has let it go
		if _, err := st.Recv(); err != nil {
			break
		}
	}
	r.until("a stream is let in", func() bool { return r.server.streaming.Load() == maxStreams-1 })
	r.acked(r.stream(writer), 1, lines(1))
}

// A stream counts as one of its tenant's requests in flight.
func TestATenantsStreamsCountAgainstItsQuota(t *testing.T) {
	r := start(t)
	const most = 3
	r.server.admits = admission.New(admission.Options{Limits: admission.Limits{Tenant: admission.Quota{Concurrent: most}}})
	for range most {
		st := r.stream(writer)
		r.acked(st, 1, lines(1))
	}
	if e := r.refusedStream(r.stream(writer), policy.Overloaded); e.Metadata["cause"] != string(admission.Concurrent) {
		t.Errorf("the cause is %q", e.Metadata["cause"])
	}
	other := r.stream(key("ie1", "b", policy.RoleIngest))
	r.acked(other, 1, lines(1))
}

// A connection has so many streams; the next one waits at its client until one ends.
func TestAConnectionHasSoManyStreams(t *testing.T) {
	r := start(t)
	cc := r.dialIngest("")
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+writer), 30*time.Second)
	defer cancel()
	var open []clientStream
	for range maxConnStreams {
		st, err := ingestv1.NewIngestServiceClient(cc).Stream(ctx)
		must(t, err)
		r.acked(st, 1, lines(1))
		open = append(open, st)
	}
	next := make(chan error, 1)
	go func() {
		st, err := ingestv1.NewIngestServiceClient(cc).Stream(ctx)
		if err == nil {
			_, err = st.Header()
		}
		next <- err
	}()
	must(t, open[0].Send(&ingestv1.StreamRequest{Sequence: 2, Records: []byte(lines(1))})) // and its answer: the connection is in use
	_, err := open[0].Recv()
	must(t, err)
	if n := r.server.streaming.Load(); n != maxConnStreams {
		t.Errorf("%d streams are open", n)
	}
	must(t, open[0].CloseSend())
	must(t, <-next)
}

// A client whose batches are not acknowledged cannot make the node hold ever more: what
// it may have under way is what waits, what is being parsed, and the windows.
func TestWhatAStreamHoldsIsBounded(t *testing.T) {
	r := start(t)
	st := r.stream(writer)
	r.acked(st, 0, lines(1))
	entered, release := make(chan struct{}), make(chan struct{})
	hold := func() error { close(entered); <-release; return nil }
	letGo := sync.OnceFunc(func() { close(release) })
	defer letGo()
	r.store.before.Store(&hold)
	const size, many = 128 << 10, 64 // 8 MiB
	line := func(i int) []byte {
		return fmt.Appendf(nil, `{"native_id":"held-%d","from":"+35315550000","caller_name":"x"}`+strings.Repeat(" ", size-100), i)
	}
	must(t, st.Send(&ingestv1.StreamRequest{Sequence: 1, Records: line(1)}))
	<-entered
	r.store.before.Store(nil)
	sent := make(chan error, 1)
	go func() {
		for i := 2; i <= many; i++ {
			if err := st.Send(&ingestv1.StreamRequest{Sequence: uint64(i), Records: line(i)}); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	taken := func() (n int64) {
		for _, e := range r.door.Entries() {
			n += e.BytesIn
		}
		return n
	}
	const bound = size + maxAhead + 2*maxMessage + 2*maxBatch + 512<<10 // at work, waiting, parsed and being read, the connection's window, frames and handshakes
	r.until("the node has taken what it may", func() bool { return taken() > maxAhead })
	r.until("the stream waits for room", func() bool { return anyWaits("server.(*stream).receive", "semaphore.(*Weighted).Acquire") })
	if n := taken(); n > bound {
		t.Errorf("%d bytes were taken of a stream that waits; at most %d should be", n, bound)
	}
	letGo()
	for i := 1; i <= many; i++ {
		out, err := st.Recv()
		must(t, err)
		if out.GetSequence() != uint64(i) {
			t.Fatalf("answer %d is of batch %d", i, out.GetSequence())
		}
	}
	must(t, <-sent)
}

// anyWaits reports a goroutine that is in all of these functions at once.
func anyWaits(in ...string) bool {
	stacks := make([]byte, 8<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for _, one := range bytes.Split(stacks, []byte("\n\n")) {
		if !slices.ContainsFunc(in, func(f string) bool { return !bytes.Contains(one, []byte(f)) }) {
			return true
		}
	}
	return false
}

// until waits for what must come.
func (r *region) until(what string, is func() bool) {
	r.t.Helper()
	for limit := time.After(30 * time.Second); !is(); {
		select {
		case <-limit:
			r.t.Fatalf("%s: it did not come to that", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}
