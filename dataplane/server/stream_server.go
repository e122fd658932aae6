package server

import (
	"context"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"

	ingestv1 "github.com/domicile-io/domicile/api/ingest/v1"
	"github.com/domicile-io/domicile/internal/lobby"
	"github.com/domicile-io/domicile/internal/sluice"
	"github.com/domicile-io/domicile/policy"
)

// newRPC makes the server of streams. Its windows are 64 KiB for a stream, which
// the sluice opens, and two batches for a connection.
func (s *Server) newRPC() *grpc.Server {
	server := grpc.NewServer(grpc.Creds(sluice.Credentials()), grpc.InTapHandle(sluice.Tap),
		grpc.ForceServerCodecV2(weighing{encoding.GetCodecV2(proto.Name)}),
		grpc.StaticStreamWindowSize(sluice.Window), grpc.StaticConnWindowSize(2*maxBatch), grpc.ReadBufferSize(0),
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxHeaderListSize(maxHeader), grpc.MaxConcurrentStreams(maxConnStreams), grpc.ConnectionTimeout(headerTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idleTimeout, Time: streamKeepalive, Timeout: streamKeepalive / 2}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: streamPingsApart, PermitWithoutStream: true}),
		grpc.UnknownServiceHandler(func(_ any, g grpc.ServerStream) error { return unknownMethod(s, g) }))
	ingestv1.RegisterIngestServiceServer(server, ingestService{s: s})
	return server
}

// unknownMethod answers whether the node serves, to whoever balances load by gRPC's
// own protocol, and refuses everything else. Like /readyz it tells nobody why; the
// question's body stays unread.
func unknownMethod(s *Server, g grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(g)
	if method != healthpb.Health_Check_FullMethodName {
		return grpcNotFound
	}
	status := healthpb.HealthCheckResponse_SERVING
	if s.o.Ready() != nil || s.ending() {
		status = healthpb.HealthCheckResponse_NOT_SERVING
	}
	return g.SendMsg(&healthpb.HealthCheckResponse{Status: status})
}

func (s *Server) ending() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}

// received is a batch as it came, and what it weighed.
type received struct {
	ingestv1.StreamRequest
	weight int
}

// weighing is gRPC's codec that tells how many bytes a message had.
type weighing struct{ encoding.CodecV2 }

// Unmarshal implements encoding.CodecV2.
func (w weighing) Unmarshal(data mem.BufferSlice, v any) error {
	if m, ok := v.(*received); ok {
		m.weight = data.Len()
		v = &m.StreamRequest
	}
	return w.CodecV2.Unmarshal(data, v)
}

func (s *Server) serveRPC(l net.Listener) error {
	config := s.o.TLS.Clone()
	config.NextProtos = []string{lobby.HTTP2}
	if s.o.Metrics != nil {
		s.o.Metrics.MustRegister(s.metrics.portUp)
	}
	s.metrics.portUp.Set(1)
	defer s.metrics.portUp.Set(0)
	err := s.rpc.Serve(lobby.New(l, lobby.Options{TLS: config, Open: maxStreamConns, Patience: headerTimeout}))
	if err == nil || errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return fmt.Errorf("serve streams: %w", err)
}

// endStreams tells clients to go elsewhere (GOAWAY), lets each stream acknowledge
// what it has taken, and ends those that have not done so when ctx is.
func (s *Server) endStreams(ctx context.Context) <-chan error {
	s.end.Do(func() { close(s.draining) })
	done := make(chan error, 1)
	go func() {
		err := lobby.End(ctx, s.rpc)
		if err != nil {
			err = fmt.Errorf("wait for streams: %w", err)
		}
		done <- err
	}()
	return done
}

// errShutdown ends the streams of a node that stops.
var errShutdown = policy.Errorf(policy.NotReady, "this node stops; what was acknowledged is stored: send the rest again, on another node or on this one later")
