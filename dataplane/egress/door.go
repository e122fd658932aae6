// Package egress is a data plane's only way out: the one dialer, and the ledger
// of every byte that crosses a connection.
//
// Nothing else in dataplane may dial; internal/archtest checks it. A connection
// needs a [Route], which says why bytes leave (the closed list of egress
// classes), to which region and boundary, and on what basis. Destinations are
// declared beforehand with [Door.Allow]; anything else is EGRESS_DENIED before
// the first packet.
//
// Bytes are counted at the connection, below TLS, so that the ledger says what
// a capture of the wire says (invariant 5). Accepted connections are counted
// through [Door.Listener] and attributed to a tenant once it is known.
package egress

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/domicile-io/domicile/policy"
)

// Options of a door.
type Options struct {
	Region   policy.RegionID // whose door it is
	Boundary policy.Boundary // of Region; "" while unknown
	Dir      string          // folder of the ledger, made 0700 when absent; owned by one process

	Clock   func() time.Time      // nil: time.Now
	Flush   time.Duration         // how often byte counts are made durable; 0: 1 s
	Logger  *slog.Logger          // nil: slog.Default()
	Metrics prometheus.Registerer // nil: none
}

// Route says why a connection is opened and where it leads.
type Route struct {
	Class    policy.EgressClass
	Region   policy.RegionID // of the destination; "" outside every region (control plane)
	Boundary policy.Boundary // of the destination
	Basis    string          // transfer basis; "" within the region
	Tenant   policy.TenantID // "" when the connection serves several
}

// Dial opens one counted connection; it fits http.Transport.DialContext.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// Entry is the sum of one kind of traffic.
type Entry struct {
	Class       policy.EgressClass
	Destination string // host:port as declared, "resolver" for name look-ups, or "tenant" for accepted connections
	Region      policy.RegionID
	Boundary    policy.Boundary
	Basis       string
	Tenant      policy.TenantID // "" unattributed
	Connections int64           // opened; of accepted ones the row without tenant counts all, a tenant's row those it authenticated on
	Failed      int64           // dials that did not lead to a connection
	BytesOut    int64           // written to the connection, TLS included
	BytesIn     int64           // read from it
	LastTime    time.Time       // UTC, of the latest change
}

var (
	_ func(*Door, policy.EgressClass, ...string) error                                      = (*Door).Allow
	_ func(*Door, Route) Dial                                                               = (*Door).Dialer
	_ func(*Door, Route, string, *tls.Config, ...grpc.DialOption) (*grpc.ClientConn, error) = (*Door).GRPC
	_ func(*Door, net.Listener, policy.EgressClass) net.Listener                            = (*Door).Listener
)
