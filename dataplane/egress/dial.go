package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"

	"github.com/domicile-io/domicile/policy"
)

// dialTimeout bounds one connection attempt, name look-up included.
const dialTimeout = 10 * time.Second

// maxRedial is the longest pause between attempts to reach a peer that is away. gRPC's
// own would be two minutes, for which a receiver that is back is not told whom to
// forget.
const maxRedial = 5 * time.Second

// resolver stands for the operating system's name servers in the ledger.
const resolver = "resolver"

// Dial opens one counted connection; it fits http.Transport.DialContext.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// Dialer makes the dial function of one route. A destination that was not
// declared for the class is EGRESS_DENIED; so is another region without a
// basis, and everything while the ledger cannot be written.
func (d *Door) Dialer(r Route) Dial {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if err := d.check(r, network, addr); err != nil {
			return nil, err
		}
		return d.dial(ctx, r, network, addr, normal(addr))
	}
}

// GRPC makes a client connection through the door. It connects when it is first
// used. A nil TLS configuration is refused, and so is a destination that was
// not declared.
func (d *Door) GRPC(r Route, addr string, config *tls.Config, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	if config == nil {
		return nil, fmt.Errorf("connect to %s: no TLS configuration, and nothing leaves in the clear", addr)
	}
	if err := d.check(r, "tcp", addr); err != nil {
		return nil, err
	}
	dial := d.Dialer(r)
	opts = append([]grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithNoProxy(), // a proxy would be a destination that nobody declared
		grpc.WithDisableServiceConfig(),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxRedial}, MinConnectTimeout: 2 * dialTimeout}),
	}, opts...)
	opts = append(opts, grpc.WithContextDialer(func(ctx context.Context, a string) (net.Conn, error) {
		return dial(ctx, "tcp", a)
	}))
	cc, err := grpc.NewClient("passthrough:///"+addr, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return cc, nil
}

// check refuses what was not declared. It is the whole rule of the door.
func (d *Door) check(r Route, network, addr string) error {
	d.mu.RLock()
	declared := d.allowed[destination{r.Class, normal(addr)}]
	d.mu.RUnlock()
	switch {
	case !declared:
		return d.deny(r, "destination %s is not declared for egress class %s on this node; declare it in the configuration if it should be", addr, r.Class)
	case r.Region != "" && r.Region != d.o.Region && r.Basis == "":
		return d.deny(r, "a connection from %s to region %s needs a transfer basis and has none", d.o.Region, r.Region)
	case strings.HasPrefix(network, "tcp"):
		return nil
	case network == "unix" && (r.Class == policy.LocalStore || r.Class == policy.LocalKey):
		return nil
	}
	return d.deny(r, "network %q is not allowed for egress class %s", network, r.Class)
}

func (d *Door) deny(r Route, format string, args ...any) error {
	d.mu.Lock()
	if r.Class < maxClasses {
		d.refused[r.Class]++
	}
	d.mu.Unlock()
	return policy.Errorf(policy.EgressDenied, format, args...).With("egress_class", r.Class.String())
}

// dial journals the attempt, then connects. The entry comes first: a connection
// that the ledger does not know must not exist.
func (d *Door) dial(ctx context.Context, r Route, network, addr, destination string) (net.Conn, error) {
	c := d.ledger.counter(key{class: r.Class, destination: destination, region: r.Region,
		boundary: r.Boundary, basis: r.Basis, tenant: r.Tenant})
	if err := d.ledger.open(ctx, c); err != nil {
		denied := d.deny(r, "the egress ledger cannot be written, so nothing is dialed; see the node's log and its disk")
		var e *policy.Error
		if errors.As(denied, &e) {
			e.Cause = err
		}
		return nil, denied
	}
	dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	if destination != resolver {
		dialer.Resolver = d.resolver(r)
	}
	raw, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		c.failed.Add(1)
		return nil, fmt.Errorf("dial %s for %s: %w", addr, r.Class, err)
	}
	return newConn(raw, d.ledger, c), nil
}

// resolver looks names up through the door too: a look-up is bytes that leave,
// for the same reason as the connection that needs it.
func (d *Door) resolver(r Route) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		return d.dial(ctx, r, network, addr, resolver)
	}}
}
