package server

import (
	"context"
	"errors"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/domicile-io/domicile/api"
	ingestv1 "github.com/domicile-io/domicile/api/ingest/v1"
	"github.com/domicile-io/domicile/dataplane/admission"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/internal/sluice"
	"github.com/domicile-io/domicile/policy"
)

// streamPattern is the stream's name in metrics, traces and logs.
const streamPattern = "gRPC " + ingestv1.IngestService_Stream_FullMethodName

// Limits of streamed ingest.
const (
	maxStreams       = 256              // of the node, admitted at once
	maxConnStreams   = 16               // of one connection
	maxStreamConns   = 1024             // connections of the port
	maxBatch         = 1 << 20          // bytes of one batch's records
	maxBatchRecords  = 10_000           // records of one batch
	maxMessage       = maxBatch + 64    // a batch with its number
	maxAhead         = maxBatch         // bytes of batches that are parsed and wait
	batchPatience    = time.Minute      // for the rest of a batch that has begun
	streamCheck      = 5 * time.Second  // how often a silent stream is looked after
	streamIdle       = 64 << 10         // what it holds of memory meanwhile: its window
	streamWeight     = 64 << 10         // of the lane, while it is worked on
	streamKeepalive  = 30 * time.Second // silence of a connection before it is asked whether it lives
	streamPingsApart = 10 * time.Second // how often a client may ask
)

// stream is one call of IngestService/Stream, of an authenticated tenant.
type stream struct {
	delivery
	g          grpc.ServerStream
	sluice     *sluice.Stream
	id         string // request id
	remote     string
	credential gate.Credential

	busy      atomic.Int64 // batches that were taken and are not acknowledged
	awaiting  atomic.Bool  // the receiver waits for the client
	sequence  uint64       // of the latest batch that was taken; the receiver's
	began     bool         // a batch was taken; the receiver's
	since     time.Time    // when a batch was first seen unfinished
	unmoved   int64        // messages taken then
	messages  atomic.Int64 // that were taken
	poisoned  int          // records in quarantine
	admitted  bool
	receivers chan error
}

type ingestService struct {
	ingestv1.UnimplementedIngestServiceServer
	s *Server
}

// Stream implements the service; see the proto for the contract.
func (i ingestService) Stream(g grpc.BidiStreamingServer[ingestv1.StreamRequest, ingestv1.StreamResponse]) error {
	return i.s.streamed(g)
}

func (s *Server) streamed(g grpc.ServerStream) (failed error) {
	x := &stream{delivery: delivery{s: s}, g: g, sluice: sluice.Of(g.Context()), id: newRequestID(), receivers: make(chan error, 1)}
	_ = g.SetHeader(metadata.Pairs("x-request-id", x.id))
	defer func() {
		if p := recover(); p != nil {
			s.metrics.panics.Inc()
			s.log.Error("request panicked", "request_id", x.id, "route", streamPattern, "panic", panicWords(p), "stack", string(debug.Stack()))
			failed = errors.New("panic")
		}
		failed = x.finish(failed)
	}()
	if err := x.admit(); err != nil {
		return err
	}
	defer s.streaming.Add(-1)
	defer x.place.Leave()
	x.admitted = true
	s.metrics.streams.Inc()
	defer s.metrics.streams.Dec()
	if err := x.sluice.Open(); err != nil {
		return err
	}
	if err := g.SendHeader(nil); err != nil { // the client learns that it is let in
		return err
	}
	return x.run()
}

// admit decides from the stream's headers alone, in the order of every other
// request; nothing of its body is here.
func (x *stream) admit() error {
	s, ctx := x.s, x.g.Context()
	if x.sluice == nil || x.sluice.TLS() == nil {
		return errors.New("a stream came past the sluice")
	}
	conn := x.sluice.TLS()
	x.remote = conn.RemoteAddr().String()
	md, _ := metadata.FromIncomingContext(ctx)
	if a := md.Get("authorization"); len(a) == 1 {
		x.credential = gate.FromHeader(a[0])
	}
	host := md.Get(":authority")
	if len(host) != 1 || !s.hosts.serve(host[0], conn.ConnectionState().ServerName) {
		_, err := s.authenticate(x.credential, x.remote)
		return s.misdirected(err)
	}
	if err := x.may(true); err != nil {
		return err
	}
	egress.Attribute(conn, x.who.Tenant)
	if token := md.Get("x-policy-token"); len(token) > 0 {
		if err := s.fresh(ctx, token[0]); err != nil {
			return err
		}
	}
	if _, err := x.permit(policy.Ingest, policy.CallRecord); err != nil {
		return err
	}
	return x.enter(ctx)
}

// enter takes a place for as long as the stream lives.
func (x *stream) enter(ctx context.Context) (err error) {
	if x.s.streaming.Add(1) > maxStreams {
		x.s.streaming.Add(-1)
		return policy.Errorf(policy.Overloaded, "this node has %d streams open, the most that it takes; close some, or use another node", maxStreams).
			With("cause", string(admission.Places))
	}
	x.place, err = x.s.admits.Enter(ctx, admission.Ask{Tenant: x.who.Tenant, Lane: admission.Ingest, Weight: streamWeight, Memory: flowHolds, Idle: streamIdle})
	if err != nil {
		x.s.streaming.Add(-1)
		x.s.overloaded(x.who.Tenant, x.id, err)
	}
	return err
}

// may says whether the tenant that shows the stream's credential may bring records
// now: it may have moved, been suspended or have lost the key since the last batch.
func (x *stream) may(first bool) (err error) {
	if first {
		x.who, err = x.s.authenticate(x.credential, x.remote)
	} else {
		x.who, err = x.s.o.Gate.Authenticate(x.credential)
	}
	if err != nil {
		return err
	}
	if err := x.who.May(gate.WriteRecords); err != nil {
		return err
	}
	return x.s.o.Gate.Offers(policy.Voice)
}

// finish counts the end of a stream and makes the status that its client gets.
func (x *stream) finish(err error) error {
	if x.sluice != nil {
		if n := x.sluice.Unasked(); n > 0 {
			x.s.metrics.unasked.Add(float64(n))
		}
	}
	if err == nil {
		x.s.metrics.streamsEnded.WithLabelValues("OK").Inc()
		return nil
	}
	if x.g.Context().Err() != nil && x.admitted {
		x.s.metrics.streamsEnded.WithLabelValues("GONE").Inc()
		return err
	}
	e := api.AsError(err)
	if x.admitted {
		x.s.metrics.streamsEnded.WithLabelValues(string(e.Reason)).Inc()
	} else {
		read := int64(0)
		if x.sluice != nil {
			read = x.sluice.Unasked()
		}
		x.s.metrics.refused(e.Reason, read)
	}
	if api.MappingOf(e.Reason).HTTP >= 500 && e.Reason != policy.NotReady {
		x.s.log.Warn("stream failed", "request_id", x.id, "route", streamPattern, "tenant", string(x.who.Tenant), "reason", string(e.Reason), "cause", causeOf(e))
	}
	told := *e // the original may be shared
	told.Metadata = map[string]string{"request_id": x.id}
	for k, v := range e.Metadata {
		told.Metadata[k] = v
	}
	if at := x.s.o.IngestAddresses[e.Metadata["home_region"]]; e.Reason == policy.WrongRegion && at != "" {
		told.Metadata["ingest_address"] = at // base_url takes no streams
	}
	return api.GRPCStatus(&told).Err()
}

// ServeIngest answers streams of records on l until Shutdown; then it returns nil.
// It closes l.
func (s *Server) ServeIngest(l net.Listener) error {
	return s.serveRPC(l)
}
