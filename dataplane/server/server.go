package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2/expirable"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/domicile-io/domicile/dataplane/admission"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/intake"
	regionlog "github.com/domicile-io/domicile/dataplane/log"
	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/subject"
	"github.com/domicile-io/domicile/dataplane/telemetry"
	"github.com/domicile-io/domicile/policy"
)

// Bundle is how the server waits for a policy that a caller has just written.
// *feed.Feed is one.
type Bundle interface {
	// Wait returns when the bundle is at revision or later; POLICY_STALE when ctx ends first.
	Wait(ctx context.Context, revision uint64) error
}

// Options of a server. All but Logger, Metrics, Clock, Media, Exports, Numbers,
// Subjects, Log, Admission and UploadMemory are required.
type Options struct {
	Region         policy.RegionID
	Hosts          []string // names and IP addresses that this listener serves
	DefaultCountry string   // alpha-2 of the region

	TLS    *tls.Config
	Gate   *gate.Gate
	Bundle Bundle
	Store  store.Store
	Ledger func() []egress.Entry // what left the region
	Ready  func() error          // why the node does not serve, else nil

	Media *media.Library // recordings and transcripts; nil: they answer NOT_YET

	// Exports answers the routes of exports and received rows; those it does not
	// have answer NOT_YET.
	Exports Exports

	// Numbers reads telephone numbers and remembers the last ones; nil: the server
	// makes its own. Whoever gives it makes it forget.
	Numbers *intake.Numbers

	// Subjects answers the routes about persons; nil: they answer NOT_YET.
	Subjects *subject.Service

	// IngestAddresses is where regions take streams of records, host:port: a stream
	// that came to the wrong one is told. nil: nobody knows.
	IngestAddresses map[string]string

	Admission    admission.Limits // the zero value has the defaults
	UploadMemory int64            // bytes that the store of recordings holds for each one on its way; 0: 1 MiB

	// Log is the region's log; nil: its routes answer NOT_YET.
	Log *regionlog.Log

	Traces  *telemetry.Tracer     // nil: nothing is traced
	Logger  *slog.Logger          // nil: slog.Default()
	Metrics prometheus.Registerer // nil: none
	Clock   func() time.Time      // nil: time.Now
}

// Server is the tenants' listener of one node. Make it with New; it is safe for
// concurrent use.
type Server struct {
	o       Options
	log     *slog.Logger
	now     func() time.Time
	hosts   hosts
	mux     *http.ServeMux
	http    *http.Server
	metrics *metrics
	admits  *admission.Admission
	feeds   *lru.LRU[feedKey, feedSettings]
	numbers *intake.Numbers
	refused *lru.LRU[refusedFor, struct{}] // whose refusals were logged a moment ago
	trials  trials

	rpc         *grpc.Server  // streamed ingest
	streaming   atomic.Int64  // streams that were admitted
	streamCheck time.Duration // how often each is looked after; tests do it more often
	draining    chan struct{} // closed when streams are to end

	stillEvery, scanFor time.Duration // tests make them short

	lingering chan struct{} // one place for each refused connection that is held
	stopping  chan struct{}
	stop      sync.Once
	end       sync.Once
}

const (
	feedCacheSize = 4096
	feedCacheFor  = 5 * time.Second // other nodes of the region see changed settings this late
	numbersCached = 64 << 10
	writeTimeout  = time.Minute // of an answer that is not streamed
)

// New makes a server; Serve runs it.
func New(o Options) (*Server, error) {
	switch {
	case o.TLS == nil || o.Gate == nil || o.Bundle == nil || o.Store == nil || o.Ledger == nil || o.Ready == nil:
		return nil, errors.New("server: TLS, Gate, Bundle, Store, Ledger and Ready are required")
	case len(o.Hosts) == 0:
		return nil, errors.New("server: no hosts are declared, so that every request would be refused")
	}
	s := &Server{o: o, log: o.Logger, now: o.Clock, hosts: newHosts(o.Hosts),
		feeds:   lru.NewLRU[feedKey, feedSettings](feedCacheSize, nil, feedCacheFor),
		numbers: intake.NewNumbers(numbersCached),
		refused: lru.NewLRU[refusedFor, struct{}](feedCacheSize, nil, time.Minute),

		stillEvery: stillEvery, scanFor: scanFor, streamCheck: streamCheck,
		lingering: make(chan struct{}, lingerMax), stopping: make(chan struct{}), draining: make(chan struct{})}
	if o.Numbers != nil {
		s.numbers = o.Numbers
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.metrics = newMetrics(o.Metrics)
	s.admits = admission.New(admission.Options{Limits: o.Admission, Metrics: o.Metrics})
	var err error
	if s.trials, err = newTrials(); err != nil {
		return nil, err
	}
	if s.mux, err = newMux(); err != nil {
		return nil, err
	}
	s.http, s.rpc = s.newHTTP(), s.newRPC()
	return s, nil
}

func (s *Server) newHTTP() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // HTTP/2 would take a window of a body that is to be refused
	return &http.Server{
		Handler: http.HandlerFunc(s.serve), Protocols: protocols,
		MaxHeaderBytes: maxHeader - headerSlop, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		WriteTimeout:                 writeTimeout,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(io.Discard, "", 0), // it would print clients' addresses
		ConnContext:                  withConn,
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateIdle {
				wireOf(c).endOfRequest()
			}
		},
	}
}

// Serve answers requests on l until Shutdown; then it returns nil. It closes l.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(newSpoken(l, s.o.TLS))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve tenants: %w", err)
}

// Waiting is how many requests wait for their turn.
func (s *Server) Waiting() int { return s.admits.Waiting() }

// Shutdown stops accepting, waits for the requests in flight until ctx is
// done, and then cuts those that are left.
func (s *Server) Shutdown(ctx context.Context) error {
	streams := s.endStreams(ctx)
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("wait for requests in flight: %w", err), s.http.Close())
	}
	s.stop.Do(func() {
		close(s.stopping)
		s.drain()
	})
	return errors.Join(err, <-streams)
}
