package replica

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/domicile-io/domicile/internal/mtls"
)

// Raft's own transport authenticates nobody. This stream layer lets in, and
// dials, only holders of a certificate of our authority with role cp and our
// cluster id: "any certificate of our CA" would let a data-plane node vote.

const (
	handshakeTimeout = 5 * time.Second
	rpcTimeout       = 10 * time.Second
	connectionPool   = 3
)

type streamLayer struct {
	net.Listener
	server, client *tls.Config
	own            advertised
	admit          func(mtls.Identity) error
}

// advertised is our address as our peers know it, whatever we listen on.
type advertised string

func (a advertised) Network() string { return "tcp" }
func (a advertised) String() string  { return string(a) }

func newStreamLayer(o *Options) (*streamLayer, error) {
	l := o.Listener
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", o.RaftAddress); err != nil {
			return nil, fmt.Errorf("listen for voters: %w", err)
		}
	}
	voters := mtls.Peer{Roles: []mtls.Role{mtls.ControlPlane}}
	return &streamLayer{Listener: l, server: o.TLS.Server(voters), client: o.TLS.Client(voters), own: advertised(o.Advertise), admit: o.Admit}, nil
}

// Addr is the advertised address.
func (s *streamLayer) Addr() net.Addr { return s.own }

// Accept gives a connection whose handshake has yet to happen, at its first
// use, so that a slow peer holds up nobody else.
func (s *streamLayer) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &inbound{Conn: tls.Server(c, s.server), admit: s.admit}, nil
}

// Dial implements raft.StreamLayer.
func (s *streamLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: timeout}, Config: s.client}
	ctx, cancel := context.WithTimeout(context.Background(), min(timeout, handshakeTimeout))
	defer cancel()
	c, err := d.DialContext(ctx, "tcp", string(address))
	if err != nil {
		return nil, fmt.Errorf("dial voter at %s: %w", address, err)
	}
	return c, nil
}

// inbound bounds the time of the handshake; Raft itself reads without a deadline.
type inbound struct {
	*tls.Conn
	admit func(mtls.Identity) error
	once  sync.Once
	err   error
}

func (c *inbound) Read(b []byte) (int, error) {
	c.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
		defer cancel()
		if c.err = c.welcome(ctx); c.err != nil {
			c.err = errors.Join(fmt.Errorf("voter's handshake: %w", c.err), c.Conn.Close())
		}
	})
	if c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(b)
}

// welcome shakes hands, and asks whether the holder may come in.
func (c *inbound) welcome(ctx context.Context) error {
	if err := c.Conn.HandshakeContext(ctx); err != nil {
		return err
	}
	who, err := mtls.OfConnection(c.Conn.ConnectionState())
	if err != nil {
		return err
	}
	return c.admit(who)
}

// addresses finds members by name, so that a member may move to another address
// without a change of Raft's configuration. For an error Raft takes the address
// of that configuration.
type addresses struct{ o *Options }

// ServerAddr implements raft.ServerAddressProvider.
func (a addresses) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if address, ok := a.o.Address(string(id)); ok {
		return raft.ServerAddress(address), nil
	}
	return "", fmt.Errorf("member %q is not known yet", id)
}
