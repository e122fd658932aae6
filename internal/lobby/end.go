package lobby

import (
	"context"

	"google.golang.org/grpc"
)

// End ends a gRPC server: it lets end what is under way, and cuts off what has not
// when ctx is, with ctx's error. A peer that went away in the middle of a call would
// else keep the server from ending for as long as its connection is believed to live.
func End(ctx context.Context, s *grpc.Server) error {
	graceful := make(chan struct{})
	go func() { s.GracefulStop(); close(graceful) }()
	select {
	case <-graceful:
		return nil
	case <-ctx.Done():
		s.Stop()
		<-graceful
		return ctx.Err()
	}
}
