package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"github.com/domicile-io/domicile/internal/kernel"
)

const (
	lockFile        = "lock"
	opsReadTimeout  = 5 * time.Second
	opsWriteTimeout = 30 * time.Second
	maxOps          = 64 // connections of the operators' port
)

// bind takes the node's ports before anything is opened, so that a port in use
// is found at once. Listeners that were given are used as they are.
func (n *Node) bind(opts Options) error {
	for _, want := range []struct {
		setting, address string
		given            net.Listener
		to               *net.Listener
	}{
		{"listen_address", n.cfg.ListenAddress, opts.Listener, &n.tenants},
		{"ingest_address", n.cfg.IngestAddress, opts.IngestListener, &n.ingest},
		{"peer_address", n.cfg.PeerAddress, opts.PeerListener, &n.peers},
		{"ops_address", n.cfg.OpsAddress, opts.OpsListener, &n.ops},
	} {
		if want.given != nil {
			*want.to = want.given
			continue
		}
		if want.address == "" {
			continue
		}
		l, err := net.Listen("tcp", want.address)
		if err != nil {
			return fmt.Errorf("listen on %s %s: %w", want.setting, want.address, err)
		}
		*want.to = l
		n.onClose("listener", func(context.Context) error { return closeListener(l) })
	}
	return nil
}

// closeListener closes what its server may have closed already.
func closeListener(l net.Listener) error {
	if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// lock makes sure that one process owns the data folder: two would both believe
// that they write the next record.
func (n *Node) lock(Options) error {
	if err := os.MkdirAll(n.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("make data_dir: %w", err)
	}
	path := filepath.Join(n.cfg.DataDir, lockFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	if err := kernel.Lock(f); err != nil {
		return errors.Join(fmt.Errorf("data_dir %s belongs to another running node; stop it or use another folder: %w", n.cfg.DataDir, err), f.Close())
	}
	n.onClose("lock", func(context.Context) error { return f.Close() })
	if err := os.RemoveAll(filepath.Join(n.cfg.DataDir, keyRestoreDir)); err != nil { // keys, wrapped, that a killed restore has left
		return fmt.Errorf("clear away what a restore of keys has left: %w", err)
	}
	return nil
}

// openOps serves operators: metrics, health, and why the node is not ready. It
// is plain HTTP and must never be on the tenants' network.
func (n *Node) openOps(Options) error {
	if n.ops == nil {
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.registry, promhttp.HandlerOpts{Registry: n.registry, MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := n.Ready(); err != nil {
			http.Error(w, "not ready: "+strings.ReplaceAll(err.Error(), "\n", "; "), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	})
	srv := &http.Server{Handler: mux, ReadTimeout: opsReadTimeout, WriteTimeout: opsWriteTimeout, MaxHeaderBytes: 16 << 10}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(netutil.LimitListener(n.ops, maxOps)) }()
	n.onClose("operators' listener", func(ctx context.Context) error {
		err := srv.Shutdown(ctx)
		if served := <-done; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	})
	return nil
}
