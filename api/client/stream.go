package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"github.com/domicile-io/domicile/api"
	ingestv1 "github.com/domicile-io/domicile/api/ingest/v1"
	"github.com/domicile-io/domicile/policy"
)

// MaxStreamBatch is how many bytes of records one batch of a stream may have.
const MaxStreamBatch = 1 << 20

const (
	defaultAhead    = 4 << 20
	defaultPatience = time.Minute
	firstPause      = 100 * time.Millisecond
	longestPause    = 5 * time.Second
)

// StreamOptions say where a stream of records goes. Addresses and Key are required.
type StreamOptions struct {
	Addresses  []string    // host:port of the ingest ports of the home region's nodes; after a cut the next one is tried
	Key        string      // sk_<region>_…
	TLS        *tls.Config // nil: the system's authorities
	ServerName string      // the region's name, when Addresses are not it; ""

	PolicyToken string        // of an answer of the control plane whose policy must count; ""
	Ahead       int           // bytes of batches that may be unacknowledged before Send waits; 0: 4 MiB
	Patience    time.Duration // how long to go on without an acknowledgement while nodes cannot be reached or say "not now"; 0: a minute

	// Acknowledged is told of each batch once it is durable, in order, from one
	// goroutine; nil: nobody.
	Acknowledged func(*ingestv1.StreamResponse)
}

// Stream sends call records over one long connection, and again over another one
// what was not acknowledged when that broke. A record that was stored meanwhile is
// answered as a duplicate, so that nothing is lost and nothing counts twice. Make
// it with OpenStream; its methods may be called concurrently.
type Stream struct {
	o      StreamOptions
	ends   context.CancelFunc
	done   chan struct{}
	failed error // set before done closes

	mu       sync.Mutex
	pending  []*ingestv1.StreamRequest // unacknowledged, in order
	size     int
	next     uint64
	closing  bool
	progress time.Time
	cuts     int
	changed  chan struct{} // closed at the next change
}

// OpenStream begins a stream. It connects when there is something to send; Close
// ends it. ctx bounds its whole life.
func OpenStream(ctx context.Context, o StreamOptions) (*Stream, error) {
	if len(o.Addresses) == 0 || o.Key == "" {
		return nil, policy.Errorf(policy.InvalidArgument, "a stream needs the address of a node's ingest port and a key")
	}
	o.Ahead, o.Patience = cmp.Or(o.Ahead, defaultAhead), cmp.Or(o.Patience, defaultPatience)
	if o.TLS == nil {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &Stream{o: o, ends: cancel, done: make(chan struct{}), next: 1, progress: time.Now(), changed: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.failed = s.run(ctx)
	}()
	return s, nil
}

// Send takes one batch: NDJSON of data.NewCall, at most MaxStreamBatch bytes, which
// the caller does not change afterwards. It waits while too much is unacknowledged.
// That it returns nil does not mean that anything is stored: see Acknowledged and
// Close.
func (s *Stream) Send(ctx context.Context, records []byte) (sequence uint64, err error) {
	if len(records) > MaxStreamBatch {
		return 0, policy.Errorf(policy.PayloadTooLarge, "a batch has at most %d bytes of records; send smaller ones", MaxStreamBatch)
	}
	for {
		s.mu.Lock()
		if s.closing {
			s.mu.Unlock()
			return 0, policy.Errorf(policy.InvalidArgument, "the stream is closed")
		}
		if s.over() {
			s.mu.Unlock()
			return 0, s.ended()
		}
		if len(s.pending) == 0 || s.size+len(records) <= s.o.Ahead {
			if len(s.pending) == 0 {
				s.progress = time.Now() // it was idle until now
			}
			sequence = s.next
			s.next++
			s.pending = append(s.pending, &ingestv1.StreamRequest{Sequence: sequence, Records: records})
			s.size += len(records)
			s.change()
			s.mu.Unlock()
			return sequence, nil
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-s.done:
			return 0, s.ended()
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// Close waits until everything is acknowledged, or ctx ends; nil means that every
// batch is durable.
func (s *Stream) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	s.change()
	s.mu.Unlock()
	defer s.ends()
	select {
	case <-s.done:
		return s.failed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Unacknowledged is how many batches were taken by Send and not acknowledged yet.
func (s *Stream) Unacknowledged() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.pending) }

// Cuts is how often a connection broke, or a node said "not now".
func (s *Stream) Cuts() int { s.mu.Lock(); defer s.mu.Unlock(); return s.cuts }

// over reports whether nobody sends any more.
func (s *Stream) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

func (s *Stream) ended() error {
	if s.failed != nil {
		return s.failed
	}
	return policy.Errorf(policy.InvalidArgument, "the stream is closed")
}

// change wakes whoever waits. The caller holds mu.
func (s *Stream) change() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// run connects again and again until everything is acknowledged, or it is no use.
func (s *Stream) run(ctx context.Context) error {
	pause := firstPause
	for at := 0; ; at++ {
		if ready, err := s.wanted(ctx); !ready {
			return err
		}
		before := s.acknowledged()
		err := s.attempt(ctx, s.o.Addresses[at%len(s.o.Addresses)])
		if err == nil {
			return nil
		}
		s.mu.Lock()
		s.cuts++
		late := len(s.pending) > 0 && time.Since(s.progress) > s.o.Patience
		s.mu.Unlock()
		var e *policy.Error
		if ctx.Err() != nil || !errors.As(err, &e) || !notNow(e) || late {
			return err
		}
		if s.acknowledged() > before {
			pause = firstPause
		}
		select {
		case <-time.After(max(pause, retryAfter(e))):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause = min(2*pause, longestPause)
	}
}

// retryAfter is how long a node asks to be left alone, as far as it is believed.
func retryAfter(e *policy.Error) time.Duration {
	seconds, err := strconv.ParseUint(e.Metadata[api.RetryAfterKey], 10, 32)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, longestPause)
}

// notNow reports whether the same batches may do elsewhere or later.
func notNow(e *policy.Error) bool {
	switch e.Reason {
	case policy.NotReady, policy.OutcomeUnknown, policy.PolicyStale, policy.TenantFenced, policy.Overloaded:
		return true
	}
	return false
}

// wanted waits until there is something to send; false: the stream ends.
func (s *Stream) wanted(ctx context.Context) (bool, error) {
	for {
		s.mu.Lock()
		some, closing, changed := len(s.pending) > 0, s.closing, s.changed
		s.mu.Unlock()
		if some || closing {
			return some, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

func (s *Stream) acknowledged() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next - uint64(len(s.pending))
}

// attempt is one connection: nil when the stream has ended and everything is
// acknowledged.
func (s *Stream) attempt(ctx context.Context, address string) error {
	config := s.o.TLS.Clone()
	config.ServerName = cmp.Or(s.o.ServerName, config.ServerName)
	cc, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(config)), grpc.WithDisableServiceConfig(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}))
	if err != nil {
		return policy.Errorf(policy.InvalidArgument, "the address %s cannot be used: give host:port", address)
	}
	defer cc.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	head := metadata.Pairs("authorization", "Bearer "+s.o.Key)
	if s.o.PolicyToken != "" {
		head.Set("x-policy-token", s.o.PolicyToken)
	}
	st, err := ingestv1.NewIngestServiceClient(cc).Stream(metadata.NewOutgoingContext(ctx, head))
	if err != nil {
		return api.FromGRPC(err)
	}
	received := make(chan error, 1)
	go func() {
		err := s.receive(st)
		cancel() // whoever sends has no use any more
		received <- err
	}()
	s.send(ctx, st)
	if err := <-received; err != nil {
		return err
	}
	if s.Unacknowledged() > 0 {
		return policy.Errorf(policy.NotReady, "the node ended the stream before everything was acknowledged")
	}
	return nil
}

// send sends what is unacknowledged and then what comes, until the stream closes or ends.
func (s *Stream) send(ctx context.Context, st grpc.BidiStreamingClient[ingestv1.StreamRequest, ingestv1.StreamResponse]) {
	from := uint64(0) // the first: whatever is pending
	for {
		s.mu.Lock()
		at := slices.IndexFunc(s.pending, func(m *ingestv1.StreamRequest) bool { return m.GetSequence() >= from })
		var m *ingestv1.StreamRequest
		if at >= 0 {
			m = s.pending[at]
		}
		closing, changed := s.closing, s.changed
		s.mu.Unlock()
		switch {
		case m != nil:
			if st.Send(m) != nil {
				return // the receiver knows why
			}
			from = m.GetSequence() + 1
		case closing:
			_ = st.CloseSend()
			return
		default:
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}

// receive takes acknowledgements until the node ends the stream.
func (s *Stream) receive(st grpc.BidiStreamingClient[ingestv1.StreamRequest, ingestv1.StreamResponse]) error {
	for {
		out, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return api.FromGRPC(err)
		}
		s.mu.Lock()
		if len(s.pending) == 0 || s.pending[0].GetSequence() != out.GetSequence() {
			s.mu.Unlock()
			return policy.Errorf(policy.Internal, "the node acknowledged batch %d, which is not the next one", out.GetSequence())
		}
		s.size -= len(s.pending[0].GetRecords())
		s.pending = s.pending[1:]
		s.progress = time.Now()
		s.change()
		s.mu.Unlock()
		if s.o.Acknowledged != nil {
			s.o.Acknowledged(out)
		}
	}
}
