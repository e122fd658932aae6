package selftest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/policy"
)

// Patience is how long a listener may take to refuse. A refusal needs no store and no
// key service; a node that is too busy to give one within this time is found, too.
const Patience = 10 * time.Second

// Listener is a kind of a node's data listeners.
type Listener string

// The listeners.
const (
	REST   Listener = "rest"   // POST /v1/calls
	Stream Listener = "stream" // gRPC ingest
)

// Listeners lists every one.
var Listeners = []Listener{REST, Stream}

// ErrUnasked says that the question could not leave this node: its ledger of what
// leaves cannot be written. Nothing is known of the listener then.
var ErrUnasked = errors.New("the self-test could not ask")

// Options of a probe; all are required.
type Options struct {
	Door    *egress.Door
	Region  policy.RegionID // whose node it is
	Address net.Addr        // where the node listens
	Host    string          // a name or an address that the listener serves
	TLS     *tls.Config     // verifies that the region answers
}

// Probe asks one listener.
type Probe struct {
	o       Options
	of      Listener
	address string
	host    string // as it stands in a request
	config  *tls.Config
}

// New declares the listener's address at the door.
func New(of Listener, o Options) (*Probe, error) {
	name := strings.Trim(o.Host, "[]")
	p := &Probe{o: o, of: of, address: reachable(o.Address), host: name, config: o.TLS.Clone()}
	p.config.ServerName = name
	if strings.Contains(name, ":") {
		p.host = "[" + name + "]"
	}
	if err := o.Door.Allow(policy.Telemetry, p.address); err != nil {
		return nil, err
	}
	return p, nil
}

// Listener is what the probe asks.
func (p *Probe) Listener() Listener { return p.of }

// Refuses is nil when the listener refuses a canary of region elsewhere as the
// contract says. Any other answer, and none within [Patience], is an error that says
// what it was; ErrUnasked: nothing was asked.
func (p *Probe) Refuses(ctx context.Context, elsewhere policy.RegionID) error {
	if err := p.o.Door.Healthy(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnasked, err)
	}
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	ask := p.post
	if p.of == Stream {
		ask = p.stream
	}
	return p.judge(ask(ctx, credential(elsewhere)), elsewhere)
}

// route is how a probe leaves the process, to come back in: the region's word to
// itself about itself.
func (p *Probe) route() egress.Route {
	return egress.Route{Class: policy.Telemetry, Region: p.o.Region}
}

// reachable is where a listener at all addresses of the machine is reached on it.
func reachable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}

// credential is an Authorization header with a key of region that nobody has made.
func credential(region policy.RegionID) string {
	var id [16]byte
	var secret [32]byte
	_, _ = rand.Read(id[:]) // never fails
	_, _ = rand.Read(secret[:])
	return "Bearer " + policy.KeyString(region, policy.KeyID(string(policy.KindKey)+hex.EncodeToString(id[:])), hex.EncodeToString(secret[:]))
}
