package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
)

// ops is the plain-HTTP listener of an operations network: metrics and health,
// nothing of any tenant, no profiles.
type ops struct {
	http    *http.Server
	address net.Addr
}

// maxOps bounds the connections of the operations port.
const maxOps = 64

func openOps(address string, metrics prometheus.Gatherer, ready func() error, fatal func(error)) (*ops, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("ops_address: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	})
	o := &ops{address: l.Addr(), http: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second,
		WriteTimeout: 15 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}}
	go func() {
		if err := o.http.Serve(netutil.LimitListener(l, maxOps)); err != nil && !errors.Is(err, http.ErrServerClosed) {
			fatal(fmt.Errorf("serve operations: %w", err))
		}
	}()
	return o, nil
}

func (o *ops) close(ctx context.Context) error { return o.http.Shutdown(ctx) }
