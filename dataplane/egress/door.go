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
//
// What a crash can lose: a dialed connection is in the ledger, durably, before
// its first packet; byte counts and accepted connections are made durable every
// Options.Flush, so at most that much of them. While the ledger cannot be
// written nothing new is dialed; accepted connections go on, because a region
// keeps taking its own tenants' records (04 §3, "audit cannot be written").
package egress

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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

	// Retry runs a write, and again when it makes room for one that found none; nil
	// runs it once.
	Retry func(write func() error) error
}

// Route says why a connection is opened and where it leads.
type Route struct {
	Class    policy.EgressClass
	Region   policy.RegionID // of the destination; "" outside every region (control plane)
	Boundary policy.Boundary // of the destination
	Basis    string          // transfer basis; "" within the region
	Tenant   policy.TenantID // "" when the connection serves several
}

// Entry is the sum of one kind of traffic.
type Entry struct {
	Class       policy.EgressClass
	Destination string // host:port as declared, "resolver" for name look-ups; for accepted connections "tenant", or "accepted" for other classes than CUSTOMER_API
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

const maxDestinations = 4096 // declared destinations of one door

// Door is the only way out of one data-plane node. It is safe for concurrent use.
type Door struct {
	o      Options
	ledger *ledger
	close  sync.Once

	mu      sync.RWMutex
	allowed map[destination]bool
	refused [maxClasses]int64
}

// maxClasses bounds an egress class as an index.
const maxClasses = 64

type destination struct {
	class policy.EgressClass
	addr  string
}

// New opens the door and its ledger in o.Dir. Close ends it. A damaged ledger
// is set aside beside the new one and reported, never dropped.
func New(o Options) (*Door, error) {
	if o.Region == "" || o.Dir == "" {
		return nil, fmt.Errorf("open the egress door: region and folder must be given")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Flush <= 0 {
		o.Flush = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	l, err := openLedger(o)
	if err != nil {
		return nil, err
	}
	d := &Door{o: o, ledger: l, allowed: map[destination]bool{}}
	if o.Metrics != nil {
		if err := o.Metrics.Register(collector{d}); err != nil {
			return nil, errors.Join(fmt.Errorf("register the egress door's metrics: %w", err), l.close())
		}
	}
	return d, nil
}

// Allow declares destinations of a class (host:port). It may be called again to
// add more. CUSTOMER_API is for accepted connections and cannot be declared.
func (d *Door) Allow(class policy.EgressClass, addrs ...string) error {
	if class == policy.CustomerAPI {
		return fmt.Errorf("allow destinations: class %s is for accepted connections only", class)
	}
	if _, err := class.MarshalText(); err != nil {
		return fmt.Errorf("allow destinations: egress class: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range addrs {
		if _, _, err := net.SplitHostPort(a); err != nil && !strings.HasPrefix(a, "/") {
			return fmt.Errorf("allow destination %q of class %s: %w; give host:port", a, class, err)
		}
		if len(d.allowed) >= maxDestinations {
			return fmt.Errorf("allow destination %q of class %s: there are %d already, the most that a node may have", a, class, maxDestinations)
		}
		d.allowed[destination{class, normal(a)}] = true
	}
	return nil
}

// normal makes two spellings of one destination equal.
func normal(addr string) string {
	if strings.HasPrefix(addr, "/") { // a socket's path
		return addr
	}
	return strings.ToLower(addr)
}

// Entries sums the ledger of all time, ordered by class, destination, region, tenant.
func (d *Door) Entries() []Entry { return d.ledger.entries("") }

// Day gives the entries of one UTC day, YYYY-MM-DD. Days older than 35 days are
// kept as months, YYYY-MM.
func (d *Door) Day(day string) []Entry { return d.ledger.entries(day) }

// Healthy reports why the ledger cannot be written, else nil.
func (d *Door) Healthy() error { return d.ledger.healthy() }

// Close makes the last counts durable. Open connections stay usable but are no
// longer counted durably, so close them first.
func (d *Door) Close() error {
	var err error
	d.close.Do(func() {
		if d.o.Metrics != nil {
			d.o.Metrics.Unregister(collector{d})
		}
		err = d.ledger.close()
	})
	return err
}
