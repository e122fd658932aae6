package testcluster

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/domicile-io/domicile/internal/mtls"
)

// Tap stands between two parts of the system and keeps what they say, in plain:
// it shows each side the other side's certificate, which only a test that holds
// both keys can do. gRPC connections only (it speaks HTTP/2).
type Tap struct {
	listener net.Listener
	accept   *tls.Config
	dial     *tls.Config
	target   string

	mu    sync.Mutex
	heard [2]bytes.Buffer // by direction, so that neither cuts the other in two
	conns map[net.Conn]bool
	ended bool
	all   sync.WaitGroup
}

// NewTap listens on loopback as the holder of as, and passes everything on to
// target as the holder of from.
func NewTap(target string, as, from mtls.Files) (*Tap, error) {
	server, err := mtls.Load(as)
	if err != nil {
		return nil, err
	}
	client, err := mtls.Load(from)
	if err != nil {
		return nil, err
	}
	t := &Tap{target: target, conns: map[net.Conn]bool{},
		accept: server.Server(mtls.Peer{Roles: []mtls.Role{client.Identity.Role}, Region: client.Identity.Region}),
		dial:   client.Client(mtls.Peer{Roles: []mtls.Role{server.Identity.Role}})}
	t.accept.NextProtos, t.dial.NextProtos = []string{"h2"}, []string{"h2"}
	if t.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	t.all.Go(t.serve)
	return t, nil
}

// Address is where to point the side that dials.
func (t *Tap) Address() string { return t.listener.Addr().String() }

// Heard is a copy of everything that was said so far, both ways.
func (t *Tap) Heard() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append(bytes.Clone(t.heard[0].Bytes()), t.heard[1].Bytes()...)
}

func (t *Tap) serve() {
	for {
		near, err := t.listener.Accept()
		if err != nil {
			return
		}
		t.all.Go(func() { t.join(near) })
	}
}

func (t *Tap) join(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", t.target)
	if err != nil {
		return
	}
	defer far.Close()
	if !t.keep(near, far) {
		return
	}
	defer t.forget(near, far)
	a, b := tls.Server(near, t.accept), tls.Client(far, t.dial)
	if a.Handshake() != nil || b.Handshake() != nil {
		return
	}
	var both sync.WaitGroup
	for i, way := range [][2]*tls.Conn{{a, b}, {b, a}} {
		both.Go(func() {
			_, _ = io.Copy(io.MultiWriter(way[1], ear{t, i}), way[0])
			_ = errors.Join(near.Close(), far.Close())
		})
	}
	both.Wait()
}

// ear keeps what is said in one direction.
type ear struct {
	t         *Tap
	direction int
}

func (e ear) Write(b []byte) (int, error) {
	e.t.mu.Lock()
	defer e.t.mu.Unlock()
	return e.t.heard[e.direction].Write(b)
}

func (t *Tap) keep(conns ...net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range conns {
		t.conns[c] = true
	}
	return !t.ended
}

func (t *Tap) forget(conns ...net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range conns {
		delete(t.conns, c)
	}
}

// Close ends every connection and waits for them.
func (t *Tap) Close() error {
	err := t.listener.Close()
	t.mu.Lock()
	t.ended = true
	for c := range t.conns {
		_ = c.Close()
	}
	t.mu.Unlock()
	t.all.Wait()
	return err
}
