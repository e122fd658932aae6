package dataplane

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/selftest"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// The rhythm of a node's self-tests (03 section 10): at the start and hourly, and
// sooner while one has not passed, so that what was put right is soon known.
const (
	selfTestEvery  = time.Hour
	selfTestJitter = 5 * time.Minute // at most, so that a region's nodes are not in step
	selfTestAgain  = 15 * time.Second
)

// canaryTaken: a data listener did not refuse what belongs to another region.
const canaryTaken = "CANARY_NOT_REFUSED"

// refuser asks one of the node's listeners.
type refuser interface {
	Listener() selftest.Listener
	Refuses(ctx context.Context, elsewhere policy.RegionID) error
}

// canaries sends the node's own listeners what belongs elsewhere.
type canaries struct {
	probes  []refuser
	regions func() []policy.RegionID // others than this one, by the bundle
	find    func(holds bool)
	log     *slog.Logger
	tests   *prometheus.CounterVec
	failed  *prometheus.GaugeVec
	failing map[selftest.Listener]bool // by the latest test that could be made; one goroutine's
	alone   bool                       // it was said that there is no other region
}

func newCanaries(c canaries) *canaries {
	c.failing = map[selftest.Listener]bool{}
	c.tests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "domicile_selftest_total",
		Help: "Self-tests of the node's data listeners with what belongs to another region: refused, taken (or anything but refused), unasked. Each that is refused stands in domicile_refused_requests_total, too."}, []string{"listener", "result"})
	c.failed = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "domicile_selftest_failed",
		Help: "1 while a data listener does not refuse what belongs to another region, by the latest self-test."}, []string{"listener"})
	for _, p := range c.probes {
		c.failed.WithLabelValues(string(p.Listener())).Set(0)
		for _, result := range []string{"refused", "taken", "unasked"} {
			c.tests.WithLabelValues(string(p.Listener()), result)
		}
	}
	return &c
}

// startSelfTests asks buckets where they are, and the node's own listeners whether they
// refuse, at the start and hourly. It must run when the listeners serve, and end before
// they do.
func (n *Node) startSelfTests() error {
	c, err := n.openCanaries()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			next := selfTestEvery + rand.N(selfTestJitter)
			if err := n.feed.Wait(ctx, 1); err == nil { // there are no tenants before the first bundle
				for _, b := range n.buckets {
					_ = b.verify(ctx) // it tells
				}
				if !c.round(ctx) {
					next = selfTestAgain
				}
			}
			wait(ctx, next)
		}
	}()
	n.onClose("self-tests", func(context.Context) error { cancel(); <-ended; return nil })
	return nil
}

func (n *Node) openCanaries() (*canaries, error) {
	config := n.material.Client(mtls.Peer{Roles: []mtls.Role{mtls.DataPlane}, Region: n.region()})
	config.GetClientCertificate = nil // tenants show none
	var probes []refuser
	for of, l := range map[selftest.Listener]net.Listener{selftest.REST: n.tenants, selftest.Stream: n.ingest} {
		if l == nil {
			continue
		}
		p, err := selftest.New(of, selftest.Options{Door: n.door, Region: n.region(), Address: l.Addr(), Host: n.cfg.Hosts[0], TLS: config})
		if err != nil {
			return nil, err
		}
		probes = append(probes, p)
	}
	c := newCanaries(canaries{probes: probes, regions: n.otherRegions, find: func(holds bool) { n.found.set(canaryTaken, holds) }, log: n.log})
	n.registry.MustRegister(c.tests, c.failed)
	return c, nil
}

// otherRegions are those of the bundle's topology, this one excepted.
func (n *Node) otherRegions() (out []policy.RegionID) {
	if v := n.feed.Current(); v != nil {
		for _, r := range v.Topology.Regions() {
			if r.ID != n.region() {
				out = append(out, r.ID)
			}
		}
	}
	return out
}

// round sends each listener one canary of a region that is drawn, and reports whether
// nothing is left to be asked again soon. What could not be asked changes no finding.
func (c *canaries) round(ctx context.Context) bool {
	others := c.regions()
	if len(others) == 0 {
		if !c.alone {
			c.log.Warn("the self-test of misdirected requests is not made: the policy knows no other region, so nothing can belong elsewhere; it is looked at again hourly")
		}
		c.alone = true
		return true
	}
	c.alone = false
	passed := true
	for _, p := range c.probes {
		err := p.Refuses(ctx, others[rand.IntN(len(others))])
		if ctx.Err() != nil {
			return true // the node stops: nothing is found of it
		}
		passed = c.tell(p.Listener(), err) && passed
	}
	c.find(len(c.failing) > 0)
	return passed
}

// tell counts one answer, and says in the log what was not a refusal, or is one again.
func (c *canaries) tell(of selftest.Listener, err error) bool {
	count := func(result string) { c.tests.WithLabelValues(string(of), result).Inc() }
	switch {
	case err == nil:
		count("refused")
		if c.failing[of] {
			c.log.Info("a data listener refuses what belongs to another region again", "listener", string(of))
		}
		delete(c.failing, of)
		c.failed.WithLabelValues(string(of)).Set(0)
	case errors.Is(err, selftest.ErrUnasked):
		count("unasked")
		c.log.Warn("the self-test of misdirected requests could not be made; it is made again", "listener", string(of), "cause", err)
	default:
		count("taken")
		c.failing[of] = true
		c.failed.WithLabelValues(string(of)).Set(1)
		c.log.Error("a data listener does not refuse what belongs to another region; it is asked again", "listener", string(of), "problem", err.Error())
	}
	return err == nil
}
