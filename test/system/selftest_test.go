package system

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/internal/testcluster"
)

// A healthy node refuses its own canaries, on both ports; they are counted as what they
// are, and lock nobody out. A node whose port takes what belongs elsewhere says so to the
// control plane, where it is a violation until the port refuses again.
func TestINV08_ANodeThatTakesMisdirectedRequestsIsFound(t *testing.T) {
	c := start(t, testcluster.Options{Regions: []string{"us1"}})
	until(t, 30*time.Second, "us1 has tested itself", func() error {
		text := metrics(t, c, "us1")
		for _, want := range []string{`domicile_selftest_total{listener="rest",result="refused"} 1`, `domicile_selftest_total{listener="stream",result="refused"} 1`,
			`domicile_selftest_failed{listener="rest"} 0`, `domicile_selftest_failed{listener="stream"} 0`, `domicile_refused_requests_total{reason="WRONG_REGION"} 2`,
			`domicile_refused_requests_total{reason="UNAUTHENTICATED"} 0`, `domicile_guesses_refused_total{by="address"} 0`} {
			if !strings.Contains(text, want+"\n") {
				return fmt.Errorf("no %s", want)
			}
		}
		return nil
	})

	config, err := c.Env.RegionConfig("ie1")
	check(t, err)
	front := newPorch(t, config)
	node, err := dataplane.Open(t.Context(), config, dataplane.Options{Logger: slog.New(slog.DiscardHandler), Listener: front.behind})
	check(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := node.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	violation := func(state string) func() error {
		return func() error {
			list, err := c.Control("cp1").Violations(t.Context(), state)
			if err != nil {
				return err
			}
			for _, v := range list {
				if v.GetCause() == "CANARY_NOT_REFUSED" && v.GetCategory() == "LOCATION" && (state == "resolved" || len(v.GetCommands()) > 1) {
					return nil
				}
			}
			return fmt.Errorf("of %d violations that are %s none is of the canary", len(list), state)
		}
	}
	until(t, 60*time.Second, "the violation is open", violation("open"))
	if text := metrics(t, c, "ie1"); !strings.Contains(text, `domicile_selftest_failed{listener="rest"} 1`+"\n") || !strings.Contains(text, `domicile_selftest_failed{listener="stream"} 0`+"\n") {
		t.Error("the metrics do not say which port it is")
	}
	front.honest.Store(true)
	until(t, 2*time.Minute, "the violation is resolved", violation("resolved"))
}

// porch stands before a node's port, under the node's own certificate: until it is
// honest it reads and takes everything.
type porch struct {
	honest atomic.Bool
	behind net.Listener // the node's, which says that it is at the porch's address
}

// elsewhere is a listener that says it has another address.
type elsewhere struct {
	net.Listener
	at net.Addr
}

func (e elsewhere) Addr() net.Addr { return e.at }

func newPorch(t *testing.T, config dataplane.Config) *porch {
	t.Helper()
	material, err := mtls.Load(config.TLS)
	check(t, err)
	at, err := net.Listen("tcp", config.ListenAddress)
	check(t, err)
	node, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	f := &porch{behind: elsewhere{node, at.Addr()}}
	takes := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, 1)
		w.WriteHeader(http.StatusCreated)
	})}
	taken := make(chan net.Conn)
	go func() { _ = takes.Serve(handed{at, taken}) }()
	t.Cleanup(func() { _ = takes.Close() })
	go func() {
		defer close(taken)
		for {
			conn, err := at.Accept()
			if err != nil {
				return
			}
			if f.honest.Load() {
				go splice(conn, node.Addr().String())
			} else {
				taken <- tls.Server(conn, material.PublicServer())
			}
		}
	}()
	t.Cleanup(func() { _ = at.Close() })
	return f
}

// handed gives connections that somebody else has accepted.
type handed struct {
	net.Listener
	conns <-chan net.Conn
}

func (h handed) Accept() (net.Conn, error) {
	if conn := <-h.conns; conn != nil {
		return conn, nil
	}
	return nil, net.ErrClosed
}

func splice(conn net.Conn, to string) {
	defer conn.Close()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	go func() { _, _ = io.Copy(out, conn) }()
	_, _ = io.Copy(conn, out)
}
