package egress

import (
	"net"
	"sync/atomic"

	"github.com/domicile-io/domicile/policy"
)

// The destinations of accepted connections in the ledger.
const (
	tenantSide   = "tenant"   // CUSTOMER_API
	acceptedSide = "accepted" // other classes: peers of other regions
)

// conn counts the bytes of one connection. It embeds the interface, not the TCP
// connection, so that no fast path (sendfile, splice) can go around the count.
type conn struct {
	net.Conn
	ledger *ledger
	to     atomic.Pointer[counter]
}

func newConn(raw net.Conn, l *ledger, c *counter) *conn {
	n := &conn{Conn: raw, ledger: l}
	n.to.Store(c)
	return n
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.to.Load().in.Add(int64(n))
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.to.Load().out.Add(int64(n))
	return n, err
}

// CloseWrite half-closes, as a TLS connection and the 421 path need it.
func (c *conn) CloseWrite() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return c.Conn.Close()
}

// attribute counts from now on to another tenant.
func (c *conn) attribute(t policy.TenantID) {
	from := c.to.Load()
	if from.key.tenant == t {
		return
	}
	k := from.key
	k.tenant = t
	next := c.ledger.counter(k)
	if c.to.CompareAndSwap(from, next) && t != "" {
		next.opened.Add(1)
	}
}

// Listener counts what l accepts, under class; see [Attribute]. Until then
// bytes belong to no tenant.
func (d *Door) Listener(l net.Listener, class policy.EgressClass) net.Listener {
	from := acceptedSide
	if class == policy.CustomerAPI {
		from = tenantSide
	}
	return &listener{Listener: l, ledger: d.ledger,
		key: key{class: class, destination: from, region: d.o.Region, boundary: d.o.Boundary}}
}

type listener struct {
	net.Listener
	ledger *ledger
	key    key
}

func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := l.ledger.counter(l.key)
	c.opened.Add(1)
	return newConn(raw, l.ledger, c), nil
}

// Attribute counts the bytes that c carries from now on to tenant; call it when
// a request has been authenticated. On a kept-alive connection the head of the
// next request still counts to the previous tenant, because it is read before
// anybody knows whose it is. c is what the listener accepted, or anything
// around it that has NetConn (tls.Conn); Attribute reports whether such a
// connection was found.
func Attribute(c net.Conn, tenant policy.TenantID) bool {
	for c != nil {
		if n, ok := c.(*conn); ok {
			n.attribute(tenant)
			return true
		}
		w, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return false
		}
		c = w.NetConn()
	}
	return false
}
