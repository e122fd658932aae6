package server

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/internal/lobby"
	"github.com/domicile-io/domicile/policy"
)

// spoken is a tenant's TLS connection on which net/http never speaks for
// itself: what it refuses before a handler is asked (a head that is too long or
// malformed) leaves as a problem document like every other refusal.
type spoken struct{ *tls.Conn }

// spokenListener makes connections of TLS; their handshake is done when they are
// accepted.
type spokenListener struct{ net.Listener }

func newSpoken(l net.Listener, config *tls.Config) spokenListener {
	config = config.Clone()
	config.NextProtos = []string{"http/1.1"}
	return spokenListener{lobby.New(l, lobby.Options{TLS: config, Open: maxConnections, Patience: headerTimeout,
		Below: func(c net.Conn) net.Conn { return &wire{Conn: c} }, Plain: unspoken(http.StatusBadRequest, "this port speaks TLS; use https")})}
}

func (l spokenListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c, ok := conn.(*tls.Conn)
	if !ok {
		return nil, errors.Join(errors.New("a connection without TLS was accepted"), conn.Close())
	}
	return spoken{c}, nil
}

// ownWords end the head of an answer that net/http makes without a handler. Every
// answer of a handler has an X-Request-Id there.
var ownWords = []byte("\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")

// tlsRecord is how much crypto/tls gives away at a time.
const tlsRecord = 16 << 10

func (c spoken) Write(b []byte) (int, error) {
	if !bytes.HasPrefix(b, []byte("HTTP/1.1 ")) {
		if len(b) > tlsRecord {
			return wireOf(c.NetConn()).together(func() (int, error) { return c.Conn.Write(b) })
		}
		return c.Conn.Write(b)
	}
	line := b[:max(bytes.IndexByte(b, '\r'), 0)]
	if !bytes.HasPrefix(b[len(line):], ownWords) {
		return c.Conn.Write(b)
	}
	status, message := http.StatusBadRequest, "the request's head is malformed; send HTTP/1.1 with one Host, and one of Content-Length and chunked"
	if bytes.HasPrefix(line, []byte("HTTP/1.1 431")) {
		status, message = http.StatusRequestHeaderFieldsTooLarge, "the request's head is larger than "+strconv.Itoa(maxHeader)+" bytes"
	}
	if _, err := c.Conn.Write(unspoken(status, message)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// unspoken is a whole answer to what never became a request.
func unspoken(status int, message string) []byte {
	reason := policy.InvalidArgument
	if status == http.StatusRequestHeaderFieldsTooLarge {
		reason = policy.PayloadTooLarge // with the status that HTTP has for heads
	}
	p := api.ProblemOf(policy.Errorf(reason, "%s", message), newRequestID())
	p.Status = status
	body, _ := json.Marshal(p) // a Problem has only strings and numbers
	a := newAnswer()
	a.status = status
	a.header.Set("Content-Type", "application/problem+json")
	a.header.Set("X-Request-Id", p.RequestID)
	_, _ = a.body.Write(append(body, '\n'))
	return a.bytes()
}
