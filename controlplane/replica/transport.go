package replica

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/domicile-io/domicile/internal/lobby"
	"github.com/domicile-io/domicile/internal/mtls"
)

// Raft's own transport authenticates nobody. This stream layer lets in, and
// dials, only holders of a certificate of our authority with role cp and our
// cluster id: "any certificate of our CA" would let a data-plane node vote.

const (
	handshakeTimeout = 5 * time.Second
	rpcTimeout       = 10 * time.Second
	connectionPool   = 3

	// maxWaiting bounds connections that have not shown a voter's certificate yet.
	// Members are few, and each opens connectionPool connections and two more.
	maxWaiting  = 64
	refusalsLog = 10 * time.Second // at most one line each
)

type streamLayer struct {
	net.Listener // whose connections have shaken hands: Raft keeps 256 KiB for each
	client       *tls.Config
	own          advertised
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
	told := &refusals{log: o.Logger}
	guarded := lobby.New(l, lobby.Options{TLS: o.TLS.Server(voters), Waiting: maxWaiting, Patience: handshakeTimeout, Refused: told.note,
		Admit: func(c *tls.Conn) error {
			who, err := mtls.OfConnection(c.ConnectionState())
			if err != nil || o.Admit == nil {
				return err
			}
			return o.Admit(who)
		}})
	return &streamLayer{Listener: guarded, client: o.TLS.Client(voters), own: advertised(o.Advertise)}, nil
}

// Addr is the advertised address.
func (s *streamLayer) Addr() net.Addr { return s.own }

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

// refusals notes who was not let in, now and then: a member with a wrong
// certificate must be found, and a flood must not fill the log.
type refusals struct {
	log   *slog.Logger
	mu    sync.Mutex
	last  time.Time
	since int // refused without a line
}

func (r *refusals) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since++
	if r.log == nil || time.Since(r.last) < refusalsLog {
		return
	}
	r.log.Warn("connections to the Raft port were refused", "last", err, "count", r.since)
	r.last, r.since = time.Now(), 0
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
