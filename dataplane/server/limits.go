package server

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/domicile-io/domicile/dataplane/admission"
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

	// A body must arrive at minBodyRate on average after bodyGrace, so that a slow
	// client holds a place for a bounded time. An answer must be taken within
	// answerGrace of each write.
	bodyGrace   = 30 * time.Second
	minBodyRate = 4 << 10 // bytes a second
	answerGrace = 30 * time.Second
)

// pacedBody is a request body that must keep arriving. Who waits for it has no
// turn, and what it brings is charged to the tenant.
type pacedBody struct {
	io.ReadCloser
	place *admission.Place
	ctx   context.Context
	rc    *http.ResponseController
	start time.Time
	read  int64
	set   time.Time // the deadline that was set last
	began *bool     // set by the first read
}

func (x *exchange) paced() *pacedBody {
	return &pacedBody{ReadCloser: x.r.Body, place: x.place, ctx: x.r.Context(), rc: http.NewResponseController(x.w), start: time.Now(), began: &x.began}
}

func (p *pacedBody) Read(b []byte) (int, error) {
	due := p.due(time.Now())
	if due.Sub(p.set) > time.Second {
		p.set = due
		_ = p.rc.SetReadDeadline(due)
	}
	*p.began = true
	var n int
	var err error
	p.place.ForClient(func() { n, err = p.ReadCloser.Read(b) })
	p.read += int64(n)
	p.start = p.start.Add(p.place.Spend(p.ctx, 0, int64(n))) // the pause is not the client's
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

// pacedWriter is an answer that must keep being taken. Who waits for that has no turn.
type pacedWriter struct {
	w     io.Writer
	place *admission.Place
	rc    *http.ResponseController
	set   time.Time
}

func (p *pacedWriter) Write(b []byte) (int, error) {
	if due := time.Now().Add(answerGrace); due.Sub(p.set) > time.Second {
		p.set = due
		_ = p.rc.SetWriteDeadline(due)
	}
	var n int
	var err error
	p.place.ForClient(func() { n, err = p.w.Write(b) })
	return n, err
}
