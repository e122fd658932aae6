package sluice_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/domicile-io/domicile/api/ingest/v1"
	"github.com/domicile-io/domicile/internal/lobby"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/internal/sluice"
	"github.com/domicile-io/domicile/policy"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// service answers each batch by its number, once let is closed or at once.
type service struct {
	ingestv1.UnimplementedIngestServiceServer
	open   func(*sluice.Stream) error
	opened chan *sluice.Stream
	seen   chan int64 // bytes that came unasked, when a stream ends
}

func (s *service) Stream(g grpc.BidiStreamingServer[ingestv1.StreamRequest, ingestv1.StreamResponse]) error {
	st := sluice.Of(g.Context())
	defer func() { s.seen <- st.Unasked() }()
	s.opened <- st
	if err := s.open(st); err != nil {
		return err
	}
	for {
		m, err := g.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		st.Took(5 + proto.Size(m))
		if err := g.Send(&ingestv1.StreamResponse{Sequence: m.GetSequence()}); err != nil {
			return err
		}
	}
}

// site is a gRPC server behind a sluice.
type site struct {
	*service
	addr string
	tls  *tls.Config
}

func start(t *testing.T, open func(*sluice.Stream) error) *site {
	t.Helper()
	dir := t.TempDir()
	ca, err := mtls.OpenAuthority(filepath.Join(dir, "ca"))
	must(t, err)
	files, err := ca.Issue(filepath.Join(dir, "node"), mtls.Identity{Cluster: "CL" + strings.Repeat("0", 32), Region: "ie1", Role: mtls.DataPlane,
		Node: policy.NodeID("ND" + strings.Repeat("1", 32))}, "127.0.0.1")
	must(t, err)
	material, err := mtls.Load(files)
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	config := material.PublicServer()
	config.NextProtos = []string{lobby.HTTP2}
	s := &site{service: &service{open: open, opened: make(chan *sluice.Stream, 100), seen: make(chan int64, 100)}, addr: l.Addr().String(),
		tls: &tls.Config{RootCAs: material.Roots(), NextProtos: []string{"h2"}}}
	server := grpc.NewServer(grpc.Creds(sluice.Credentials()), grpc.InTapHandle(sluice.Tap), grpc.StaticStreamWindowSize(sluice.Window), grpc.ReadBufferSize(0),
		grpc.MaxConcurrentStreams(16))
	ingestv1.RegisterIngestServiceServer(server, s.service)
	done := make(chan error, 1)
	go func() { done <- server.Serve(lobby.New(l, lobby.Options{TLS: config})) }()
	t.Cleanup(func() { server.Stop(); must(t, <-done) })
	return s
}

func (s *site) client(t *testing.T) ingestv1.IngestServiceClient {
	cc, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(credentials.NewTLS(s.tls)))
	must(t, err)
	t.Cleanup(func() { _ = cc.Close() })
	return ingestv1.NewIngestServiceClient(cc)
}

// Several streams of one connection, opened in the reverse of their order, each gets
// what is its own, message after message and larger than any window.
func TestStreamsWaitAndThenFlow(t *testing.T) {
	asked := make(chan func(), 100)
	s := start(t, func(st *sluice.Stream) error {
		done := make(chan struct{})
		asked <- func() { close(done) }
		<-done
		return st.Open()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c := s.client(t)
	var streams []grpc.BidiStreamingClient[ingestv1.StreamRequest, ingestv1.StreamResponse]
	var let []func()
	for range 4 {
		st, err := c.Stream(ctx)
		must(t, err)
		streams = append(streams, st)
		let = append(let, <-asked)
	}
	for i := len(let) - 1; i >= 0; i-- {
		let[i]()
	}
	sizes := []int{0, 1, 70_000, 900_000, 10}
	for n, st := range streams {
		for i, size := range sizes {
			must(t, st.Send(&ingestv1.StreamRequest{Sequence: uint64(10*n + i), Records: make([]byte, size)}))
			out, err := st.Recv()
			must(t, err)
			if out.GetSequence() != uint64(10*n+i) {
				t.Fatalf("stream %d: answer %d to message %d", n, out.GetSequence(), i)
			}
		}
		must(t, st.CloseSend())
		if _, err := st.Recv(); !errors.Is(err, io.EOF) {
			t.Fatalf("stream %d: %v", n, err)
		}
		if unasked := <-s.seen; unasked != 0 {
			t.Errorf("stream %d: %d bytes came before it was open", n, unasked)
		}
	}
}

func TestINV08_NothingComesBeforeItIsAskedFor(t *testing.T) {
	s := start(t, func(*sluice.Stream) error { return status.Error(codes.PermissionDenied, "no") })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c := s.client(t)
	for range 20 { // on one connection
		st, err := c.Stream(ctx)
		must(t, err)
		_ = st.Send(&ingestv1.StreamRequest{Records: make([]byte, 1<<20)})
		if _, err := st.Recv(); status.Code(err) != codes.PermissionDenied {
			t.Fatal(err)
		}
		if unasked := <-s.seen; unasked != 0 {
			t.Fatalf("%d bytes of a refused body were taken", unasked)
		}
	}
}

// raw speaks HTTP/2 by hand, after an own idea of windows.
func (s *site) raw(t *testing.T) (*tls.Conn, *http2.Framer) {
	t.Helper()
	conn, err := tls.Dial("tcp", s.addr, s.tls)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = io.WriteString(conn, http2.ClientPreface)
	must(t, err)
	f := http2.NewFramer(conn, conn)
	must(t, f.WriteSettings())
	return conn, f
}

func headers(t *testing.T, f *http2.Framer, stream uint32) {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", "x"}, {":path", ingestv1.IngestService_Stream_FullMethodName},
		{"content-type", "application/grpc"}, {"te", "trailers"}} {
		must(t, e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}))
	}
	must(t, f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: b.Bytes(), EndHeaders: true}))
}

// sent is how many bytes of a body go out before the connection is cut.
func sent(f *http2.Framer, stream uint32, piece, most int) int {
	n := 0
	for n < most {
		if f.WriteData(stream, false, make([]byte, piece)) != nil {
			break
		}
		n += piece
	}
	return n
}

func ended(f *http2.Framer) bool {
	for {
		_, err := f.ReadFrame()
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return false
		}
		var stream http2.StreamError
		if err != nil && !errors.As(err, &stream) {
			return true
		}
	}
}

// A client may have sent one window before it reads the greeting, on whatever
// stream, and it loses nothing by that; no more.
func TestINV08_WhoDoesNotWaitIsCutOff(t *testing.T) {
	hold := make(chan struct{})
	s := start(t, func(st *sluice.Stream) error { <-hold; return st.Open() })
	defer close(hold)

	_, f := s.raw(t)
	headers(t, f, 1)
	<-s.opened
	if n := sent(f, 1, 16<<10, 64<<20); n >= 64<<20 {
		t.Error("64 MiB were taken unasked")
	}
	if !ended(f) {
		t.Error("the connection of a client that sends unasked stays")
	}

	_, f = s.raw(t) // a little on each of many
	for i := range uint32(16) {
		headers(t, f, 2*i+1)
		<-s.opened
	}
	for i := range uint32(16) {
		sent(f, 2*i+1, 8<<10, 8<<10)
	}
	if !ended(f) {
		t.Error("a window for each of many streams was taken unasked")
	}
}

func TestAnEarlyWindowIsNotLost(t *testing.T) {
	hold := make(chan struct{})
	s := start(t, func(st *sluice.Stream) error { <-hold; return st.Open() })
	_, f := s.raw(t)
	headers(t, f, 1)
	st := <-s.opened
	body, err := proto.Marshal(&ingestv1.StreamRequest{Sequence: 9, Records: make([]byte, 65000)})
	must(t, err)
	message := append([]byte{0, 0, 0, byte(len(body) >> 8), byte(len(body))}, body...)
	for rest := message; len(rest) > 0; {
		n := min(len(rest), 16<<10)
		must(t, f.WriteData(1, false, rest[:n]))
		rest = rest[n:]
	}
	for deadline := time.Now().Add(10 * time.Second); st.Unasked() < int64(len(message)) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	close(hold)
	for {
		frame, err := f.ReadFrame()
		must(t, err)
		if d, ok := frame.(*http2.DataFrame); ok {
			var out ingestv1.StreamResponse
			must(t, proto.Unmarshal(d.Data()[5:], &out))
			if out.GetSequence() != 9 {
				t.Errorf("answered as %d", out.GetSequence())
			}
			return
		}
	}
}

func TestINV41_CrumbsAndEmptyFramesEndTheirConnection(t *testing.T) {
	s := start(t, func(st *sluice.Stream) error { return st.Open() })
	next := uint32(1)
	for name, flood := range map[string]func(*http2.Framer) error{
		"a body in single bytes": func(f *http2.Framer) error { return f.WriteData(1, false, []byte{0}) },
		"padded single bytes":    func(f *http2.Framer) error { return f.WriteDataPadded(1, false, []byte{0}, make([]byte, 200)) },
		"empty frames":           func(f *http2.Framer) error { return f.WriteData(1, false, nil) },
		"windows":                func(f *http2.Framer) error { return f.WriteWindowUpdate(1, 1) },
		"priorities":             func(f *http2.Framer) error { return f.WritePriority(1, http2.PriorityParam{}) },
		"settings":               func(f *http2.Framer) error { return f.WriteSettings() },
		"resets":                 func(f *http2.Framer) error { next += 2; return f.WriteRSTStream(next-2, http2.ErrCodeCancel) },
	} {
		t.Run(name, func(t *testing.T) {
			_, f := s.raw(t)
			next = 1
			headers(t, f, 1)
			<-s.opened
			cut := make(chan bool, 1)
			go func() { cut <- ended(f) }()
			if strings.Contains(name, "bytes") { // of a message of 1 MiB, which never ends
				must(t, f.WriteData(1, false, []byte{0, 0, 16, 0, 0}))
			}
			n := 0
			for ; n < 300_000 && flood(f) == nil; n++ {
			}
			if n == 300_000 {
				t.Errorf("%d frames were taken", n)
			}
			if !<-cut {
				t.Error("the connection stays")
			}
			<-s.seen
		})
	}
}
