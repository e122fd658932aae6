package egress

import (
	"context"
	"crypto/tls"
	"net"

	"google.golang.org/grpc"

	"github.com/domicile-io/domicile/policy"
)

// Door is the only way out of one data-plane node. It is safe for concurrent use.
type Door struct{ o Options }

var errNotReady = policy.Errorf(policy.NotReady, "the egress door is not there yet")

// New opens the door and its ledger in o.Dir. Close ends it.
func New(o Options) (*Door, error) { return &Door{o: o}, nil }

// Allow declares destinations of a class (host:port). It may be called again to
// add more. CUSTOMER_API is for accepted connections and cannot be dialed.
func (d *Door) Allow(class policy.EgressClass, addrs ...string) error { return nil }

// Dialer makes the dial function of one route. A destination that was not
// declared for the class is EGRESS_DENIED; so is everything while the ledger
// cannot be written.
func (d *Door) Dialer(r Route) Dial {
	return func(context.Context, string, string) (net.Conn, error) { return nil, errNotReady }
}

// GRPC makes a client connection through the door. A nil tls config is refused.
func (d *Door) GRPC(r Route, addr string, config *tls.Config, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	return nil, errNotReady
}

// Listener counts what l accepts. See [Attribute].
func (d *Door) Listener(l net.Listener, class policy.EgressClass) net.Listener { return l }

// Attribute counts the bytes that c carries from now on to tenant. c is what
// the listener accepted, or anything around it that has NetConn (tls.Conn); it
// reports whether such a connection was found.
func Attribute(c net.Conn, tenant policy.TenantID) bool { return false }

// Entries sums the ledger of all days, ordered by class, destination, tenant.
func (d *Door) Entries() []Entry { return nil }

// Healthy reports why the ledger cannot be written, else nil.
func (d *Door) Healthy() error { return nil }

// Close makes the last counts durable. Open connections stay usable but are no
// longer counted durably, so close them first.
func (d *Door) Close() error { return nil }
