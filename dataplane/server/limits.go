package server

import (
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// Limits of the listener. Everything that can be queued or held has one.
const (
	maxHeader      = 16 << 10 // bytes of one request's head
	headerSlop     = 4 << 10  // what net/http adds to MaxHeaderBytes
	headerTimeout  = 5 * time.Second
	idleTimeout    = 60 * time.Second
	maxJSON        = 1 << 20 // bytes of one JSON body
	maxBatchBody   = 4 << 30 // bytes of one batch, decoded
	maxConnections = 4096
	maxInFlight    = 512 // requests, all tenants
	maxPerTenant   = 128 // of these, one tenant's
	maxStreams     = 128 // bodies that are stored while they arrive; each holds two chunks
	maxTenantFlows = 64  // of these, one tenant's

	// A body must arrive at minBodyRate on average after bodyGrace, so that a slow
	// client holds a place for a bounded time. An answer must be taken within
	// answerGrace of each write.
	bodyGrace   = 30 * time.Second
	minBodyRate = 4 << 10 // bytes a second
	answerGrace = 30 * time.Second
)

// gauge bounds the requests in flight, in total and for each tenant.
type gauge struct {
	mu        sync.Mutex
	total     int
	byTenant  map[policy.TenantID]int
	maxTotal  int
	maxTenant int
}

func newGauge(total, perTenant int) *gauge {
	return &gauge{byTenant: map[policy.TenantID]int{}, maxTotal: total, maxTenant: perTenant}
}

// enter takes a place for the tenant, or says that there is none.
func (g *gauge) enter(t policy.TenantID) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.total >= g.maxTotal || g.byTenant[t] >= g.maxTenant {
		return policy.Errorf(policy.Overloaded, "too many requests are in flight; wait as Retry-After says and send it again")
	}
	g.total++
	g.byTenant[t]++
	return nil
}

func (g *gauge) leave(t policy.TenantID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.total--
	if g.byTenant[t]--; g.byTenant[t] == 0 {
		delete(g.byTenant, t)
	}
}

func (g *gauge) inFlight() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.total
}

// pacedBody is a request body that must keep arriving.
type pacedBody struct {
	io.ReadCloser
	rc    *http.ResponseController
	start time.Time
	read  int64
	set   time.Time // the deadline that was set last
	began *bool     // set by the first read
}

func (x *exchange) paced() *pacedBody {
	return &pacedBody{ReadCloser: x.r.Body, rc: http.NewResponseController(x.w), start: time.Now(), began: &x.began}
}

func (p *pacedBody) Read(b []byte) (int, error) {
	due := p.due(time.Now())
	if due.Sub(p.set) > time.Second {
		p.set = due
		_ = p.rc.SetReadDeadline(due)
	}
	*p.began = true
	n, err := p.ReadCloser.Read(b)
	p.read += int64(n)
	return n, err
}

// due is until when the next bytes must have come.
func (p *pacedBody) due(now time.Time) time.Time {
	due := p.start.Add(bodyGrace + time.Duration(p.read/minBodyRate)*time.Second)
	if latest := now.Add(bodyGrace); due.After(latest) {
		return latest // credit for earlier speed does not let a client stall for ever
	}
	return due
}

// pacedWriter is an answer that must keep being taken.
type pacedWriter struct {
	w   io.Writer
	rc  *http.ResponseController
	set time.Time
}

func (p *pacedWriter) Write(b []byte) (int, error) {
	if due := time.Now().Add(answerGrace); due.Sub(p.set) > time.Second {
		p.set = due
		_ = p.rc.SetWriteDeadline(due)
	}
	return p.w.Write(b)
}
