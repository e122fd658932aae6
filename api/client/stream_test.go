package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/api/client"
	ingestv1 "github.com/domicile-io/domicile/api/ingest/v1"
	"github.com/domicile-io/domicile/policy"
)

// ingestNode is the other end of a stream: gRPC's own server, which does with each
// batch what a test says. test/system runs the client against real nodes.
type ingestNode struct {
	ingestv1.UnimplementedIngestServiceServer
	address string
	roots   *x509.CertPool

	mu   sync.Mutex
	got  []uint64 // sequences, as they came
	keys []string
	take func(n int, m *ingestv1.StreamRequest) (acknowledge bool, end error) // n: how many came before, over all connections
}

func startIngestNode(t *testing.T, take func(n int, m *ingestv1.StreamRequest) (bool, error)) *ingestNode {
	t.Helper()
	certified := httptest.NewUnstartedServer(nil) // for its certificate, which is good for 127.0.0.1
	certified.StartTLS()
	t.Cleanup(certified.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &ingestNode{address: l.Addr().String(), roots: x509.NewCertPool(), take: take}
	n.roots.AddCert(certified.Certificate())
	s := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&certified.TLS.Certificates[0])))
	ingestv1.RegisterIngestServiceServer(s, n)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return n
}

func (n *ingestNode) Stream(g grpc.BidiStreamingServer[ingestv1.StreamRequest, ingestv1.StreamResponse]) error {
	md, _ := metadata.FromIncomingContext(g.Context())
	n.mu.Lock()
	n.keys = append(n.keys, md.Get("authorization")...)
	n.mu.Unlock()
	for {
		m, err := g.Recv()
		if err != nil {
			return nil // the client has no more
		}
		n.mu.Lock()
		before := len(n.got)
		n.got = append(n.got, m.GetSequence())
		acknowledge, end := n.take(before, m)
		n.mu.Unlock()
		if acknowledge {
			if err := g.Send(&ingestv1.StreamResponse{Sequence: m.GetSequence()}); err != nil {
				return err
			}
		}
		if end != nil {
			return api.GRPCStatus(end).Err()
		}
	}
}

func (n *ingestNode) options(nodes ...*ingestNode) client.StreamOptions {
	o := client.StreamOptions{Addresses: []string{n.address}, Key: "sk_ie1_test", TLS: &tls.Config{RootCAs: n.roots.Clone(), MinVersion: tls.VersionTLS13}}
	for _, other := range nodes {
		o.Addresses = append(o.Addresses, other.address)
	}
	return o
}

// sendAll sends so many batches and closes; acknowledged is what Acknowledged heard.
func sendAll(t *testing.T, o client.StreamOptions, many int) (s *client.Stream, acknowledged []uint64, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var mu sync.Mutex
	o.Acknowledged = func(a *ingestv1.StreamResponse) {
		mu.Lock()
		acknowledged = append(acknowledged, a.GetSequence())
		mu.Unlock()
	}
	s, err = client.OpenStream(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range many {
		if _, err = s.Send(ctx, fmt.Appendf(nil, `{"native_id":"%d"}`, i)); err != nil {
			break
		}
	}
	err = s.Close(ctx)
	mu.Lock()
	defer mu.Unlock()
	return s, acknowledged, err
}

func upTo(n uint64) (out []uint64) {
	for i := range n {
		out = append(out, i+1)
	}
	return out
}

func TestAStreamIsAcknowledgedInOrder(t *testing.T) {
	n := startIngestNode(t, func(int, *ingestv1.StreamRequest) (bool, error) { return true, nil })
	s, got, err := sendAll(t, n.options(), 100)
	if err != nil || !slices.Equal(got, upTo(100)) || s.Unacknowledged() != 0 || s.Cuts() != 0 {
		t.Errorf("%v; %d acknowledged, %d not, %d cuts", err, len(got), s.Unacknowledged(), s.Cuts())
	}
	if !slices.Equal(n.keys, []string{"Bearer sk_ie1_test"}) {
		t.Errorf("the key came as %v", n.keys)
	}
}

// What was not acknowledged when a node said "not now" is sent again, to the next one,
// and what was is not.
func TestAStreamGoesOnAtTheNextNode(t *testing.T) {
	away := policy.Errorf(policy.NotReady, "this node stops")
	first := startIngestNode(t, func(n int, _ *ingestv1.StreamRequest) (bool, error) {
		if n == 6 {
			return false, away // the seventh was taken and is not acknowledged
		}
		return true, nil
	})
	second := startIngestNode(t, func(int, *ingestv1.StreamRequest) (bool, error) { return true, nil })
	o := first.options(second)
	o.TLS.RootCAs = second.roots // httptest has one certificate for all
	s, got, err := sendAll(t, o, 20)
	if err != nil || !slices.Equal(got, upTo(20)) || s.Cuts() != 1 {
		t.Errorf("%v; acknowledged %v, %d cuts", err, got, s.Cuts())
	}
	if !slices.Equal(second.got, upTo(20)[6:]) {
		t.Errorf("the second node got %v", second.got)
	}
}

// A refusal that would be the same anywhere ends the stream with its reason.
func TestAStreamEndsWithWhatIsFinal(t *testing.T) {
	n := startIngestNode(t, func(n int, _ *ingestv1.StreamRequest) (bool, error) {
		if n == 3 {
			return false, policy.Errorf(policy.WrongRegion, "this is region ie1").With("ingest_address", "streams.us1.example.test:9443")
		}
		return true, nil
	})
	s, got, err := sendAll(t, n.options(), 10)
	var e *policy.Error
	if !errors.As(err, &e) || e.Reason != policy.WrongRegion || e.Metadata["ingest_address"] == "" {
		t.Errorf("the stream ended with %v", err)
	}
	if !slices.Equal(got, upTo(3)) || s.Unacknowledged() == 0 {
		t.Errorf("acknowledged %v, %d not", got, s.Unacknowledged())
	}
	if _, err := s.Send(context.Background(), nil); err == nil {
		t.Error("a stream that ended takes more")
	}
}

// An acknowledgement out of turn is no acknowledgement.
func TestAStreamBelievesNoOtherAcknowledgement(t *testing.T) {
	n := startIngestNode(t, func(int, *ingestv1.StreamRequest) (bool, error) { return true, nil })
	n.take = func(_ int, m *ingestv1.StreamRequest) (bool, error) { m.Sequence += 7; return true, nil }
	_, got, err := sendAll(t, n.options(), 1)
	if err == nil || len(got) != 0 {
		t.Errorf("%v; acknowledged %v", err, got)
	}
}

// Nobody listens: Patience ends the stream, and Send waits no longer either.
func TestAStreamGivesUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, got, err := sendAll(t, client.StreamOptions{Addresses: []string{nobody}, Key: "sk_ie1_test", Patience: 50 * time.Millisecond, Ahead: 1}, 3)
	if err == nil || len(got) != 0 {
		t.Errorf("%v; acknowledged %v", err, got)
	}
}

func TestAStreamIsHeldToItsLimits(t *testing.T) {
	if _, err := client.OpenStream(context.Background(), client.StreamOptions{Key: "sk_ie1_test"}); err == nil {
		t.Error("a stream without an address was opened")
	}
	n := startIngestNode(t, func(int, *ingestv1.StreamRequest) (bool, error) { return false, nil })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	o := n.options()
	o.Ahead = 100
	s, err := client.OpenStream(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Send(ctx, make([]byte, client.MaxStreamBatch+1)); !errors.Is(err, &policy.Error{Reason: policy.PayloadTooLarge}) {
		t.Errorf("a batch that is too large: %v", err)
	}
	if _, err := s.Send(ctx, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	brief, end := context.WithTimeout(ctx, 20*time.Millisecond)
	defer end()
	if _, err := s.Send(brief, []byte("x")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("more than Ahead was taken: %v", err)
	}
	closing, stop := context.WithCancel(ctx)
	stop()
	if err := s.Close(closing); !errors.Is(err, context.Canceled) || s.Unacknowledged() != 1 {
		t.Errorf("closing says %v with %d unacknowledged", err, s.Unacknowledged())
	}
}

// A stream that has failed takes nothing more, however little is unacknowledged:
// what it took would never be sent, and its sender would go on for ever.
func TestAStreamThatHasFailedTakesNothing(t *testing.T) {
	n := startIngestNode(t, func(int, *ingestv1.StreamRequest) (bool, error) {
		return false, policy.Errorf(policy.PermissionDenied, "this key may not write")
	})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := client.OpenStream(ctx, n.options())
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, err := s.Send(ctx, nil)
		if errors.Is(err, &policy.Error{Reason: policy.PermissionDenied}) {
			return
		}
		if err != nil || time.Now().After(end) {
			t.Fatalf("the node refused the stream, and Send says %v with %d batches that wait for nobody", err, s.Unacknowledged())
		}
	}
}
