package server

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/policy"
)

const (
	// lingerFor is how long a refused connection is kept open, unread, so that
	// the answer is not lost to a reset; lingerMax bounds how many are kept at
	// once, the rest are closed at once.
	lingerFor = 500 * time.Millisecond
	lingerMax = 1024
	// keepBody is how long a declared body may be so that the connection of a
	// request that came too early is kept: reading it costs less than shaking hands
	// anew. It must have come within keepFor.
	keepBody = 256 << 10
	keepFor  = 5 * time.Second
	// refuseWrite bounds the writing of a refusal to a client that does not read.
	refuseWrite = 2 * time.Second
)

// refuseUnread answers a request with err, without reading another byte of its
// body. A request that has no body is answered in the ordinary way and keeps its
// connection; any other loses it, but a small one of a tenant that came too early.
func (x *exchange) refuseUnread(err error) {
	s, w, r, requestID := x.s, x.w, x.r, x.id
	if r.Body == nil || r.Body == http.NoBody {
		writeProblem(w, r, err, requestID)
		s.metrics.refused(api.AsError(err).Reason, 0)
		return
	}
	if e := api.AsError(err); e.Reason == policy.Overloaded && x.who.Tenant != "" && r.ContentLength > 0 && r.ContentLength <= keepBody && r.Header.Get("Expect") == "" {
		s.refuseAndKeep(w, r, e, requestID)
		return
	}
	conn, _, hijackErr := http.NewResponseController(w).Hijack()
	if hijackErr != nil { // cannot happen over HTTP/1.1; close rather than read
		w.Header().Set("Connection", "close")
		writeProblem(w, r, err, requestID)
		return
	}
	wire := wireOf(conn)
	wire.seal()
	s.metrics.refused(api.AsError(err).Reason, wire.sinceMark()) // final: nothing more is read
	answer := newAnswer()
	if allow := w.Header().Get("Allow"); allow != "" {
		answer.Header().Set("Allow", allow)
	}
	writeProblem(answer, r, err, requestID)
	_ = conn.SetWriteDeadline(time.Now().Add(refuseWrite))
	_, writeErr := conn.Write(answer.bytes())
	s.linger(conn, writeErr)
}

// refuseAndKeep answers a request of a tenant that is at home here, and only then
// drops its small body, so that the connection can be used again: under overload a
// node must not pay with handshakes for what it refuses.
func (s *Server) refuseAndKeep(w http.ResponseWriter, r *http.Request, e *policy.Error, requestID string) {
	rc := http.NewResponseController(w)
	_ = rc.EnableFullDuplex() // else net/http reads the body before it answers
	_ = rc.SetWriteDeadline(time.Now().Add(refuseWrite))
	writeProblem(w, r, e, requestID)
	_ = rc.Flush()
	s.metrics.refused(e.Reason, wireOf(connIn(r.Context())).sinceMark())
	_ = rc.SetReadDeadline(time.Now().Add(keepFor))
	_, _ = io.Copy(io.Discard, r.Body) // a body that does not come costs the connection
}

// linger ends our half of the connection and closes it a little later; the
// bytes that still arrive stay with the kernel.
func (s *Server) linger(conn net.Conn, writeErr error) {
	if writeErr != nil {
		_ = wireOf(conn).Close()
		return
	}
	if t, ok := conn.(spoken); ok {
		_ = t.CloseWrite() // the end of the answer, authenticated
	}
	wire := wireOf(conn)
	select {
	case s.lingering <- struct{}{}:
	default:
		_ = wire.Close()
		return
	}
	_ = wire.CloseWrite()
	go func() {
		defer func() { <-s.lingering }()
		t := time.NewTimer(lingerFor)
		defer t.Stop()
		select {
		case <-t.C:
		case <-s.stopping:
		}
		_ = wire.Close()
	}()
}

// drain waits until no refused connection is held; one that is refused later is
// closed at once.
func (s *Server) drain() {
	for range cap(s.lingering) {
		s.lingering <- struct{}{}
	}
}

// answer is a response that is written by hand to a connection that net/http
// no longer owns.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newAnswer() *answer { return &answer{header: http.Header{}, status: http.StatusOK} }

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

func (a *answer) bytes() []byte {
	var out bytes.Buffer
	out.WriteString("HTTP/1.1 " + strconv.Itoa(a.status) + " " + http.StatusText(a.status) + "\r\n")
	a.header.Set("Connection", "close")
	a.header.Set("Content-Length", strconv.Itoa(a.body.Len()))
	a.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	_ = a.header.Write(&out) // a bytes.Buffer does not fail
	out.WriteString("\r\n")
	out.Write(a.body.Bytes())
	return out.Bytes()
}
