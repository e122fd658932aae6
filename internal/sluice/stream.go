package sluice

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/tap"

	"github.com/domicile-io/domicile/internal/lobby"
)

// Stream is what the connection below knows of one stream. Its methods may be
// called concurrently, and after its end.
type Stream struct {
	c  *conn
	id uint32

	// Under c.mu.
	open    bool
	unasked int64 // bytes of its body that came before it was open
	arrived int64 // bytes of its body that came
	taken   int64 // of them, those that its handler has taken
	crumbs  int64 // frames of its body since the handler last took something
}

// afterEnd is how many bytes of a stream that was open may still come when it has
// ended: its window, and a message of the largest size that gRPC has asked for.
const afterEnd = 2 << 20

type streamKey struct{}

// Tap is the server's tap handle (grpc.InTapHandle).
func Tap(ctx context.Context, _ *tap.Info) (context.Context, error) {
	p, _ := peer.FromContext(ctx)
	if p == nil {
		return ctx, nil
	}
	info, ok := p.AuthInfo.(authInfo)
	if !ok {
		return ctx, nil
	}
	s := info.conn.begin()
	context.AfterFunc(ctx, s.end)
	return context.WithValue(ctx, streamKey{}, s), nil
}

// Of is the stream of a handler's context; nil when its server has no sluice.
func Of(ctx context.Context) *Stream {
	s, _ := ctx.Value(streamKey{}).(*Stream)
	return s
}

// begin makes the stream whose headers came last.
func (c *conn) begin() *Stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &Stream{c: c, id: c.current}
	c.streams[s.id] = s
	return s
}

func (s *Stream) end() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	delete(s.c.streams, s.id)
	if s.open {
		s.c.late += afterEnd
	}
}

// Open lets the client send its body. An error means that the connection is gone.
func (s *Stream) Open() error {
	s.c.mu.Lock()
	if s.open {
		s.c.mu.Unlock()
		return nil
	}
	s.open = true
	s.arrived = s.unasked
	s.c.mu.Unlock()
	return s.c.say(widen(s.id, Window))
}

// Unasked is how many bytes of the body came before the stream was open.
func (s *Stream) Unasked() int64 {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.unasked
}

// Took tells that the handler has taken n bytes of the body, gRPC's prefix of each
// message (5 bytes) included.
func (s *Stream) Took(n int) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.taken += int64(n)
	s.crumbs = 0
}

// Pending is how many bytes of the body have come that the handler has not taken.
func (s *Stream) Pending() int64 {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.arrived - s.taken
}

// TLS is the connection that the stream is on, for whoever attributes its bytes.
func (s *Stream) TLS() *tls.Conn {
	t, _ := s.c.Conn.(*tls.Conn)
	return t
}

// Cut ends the connection, with every stream that is on it.
func (s *Stream) Cut() error { return s.c.Close() }

// Credentials are those of a gRPC server behind a lobby whose streams wait; the
// server needs [Tap] too, and windows of its own left at 64 KiB.
func Credentials() credentials.TransportCredentials {
	return sluiced{lobby.Credentials()}
}

type sluiced struct {
	credentials.TransportCredentials
}

// authInfo is how Tap finds the connection.
type authInfo struct {
	credentials.TLSInfo
	conn *conn
}

// ServerHandshake implements credentials.TransportCredentials.
func (s sluiced) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, info, err := s.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	told, ok := info.(credentials.TLSInfo)
	if !ok {
		return nil, nil, errors.New("sluice: a connection without TLS")
	}
	gated := newConn(c, time.Now)
	return gated, authInfo{told, gated}, nil
}

// Clone implements credentials.TransportCredentials.
func (s sluiced) Clone() credentials.TransportCredentials {
	return sluiced{s.TransportCredentials.Clone()}
}
