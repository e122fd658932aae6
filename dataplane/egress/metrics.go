package egress

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/policy"
)

// The metrics count since the process started; their labels are the closed list
// of egress classes (invariant 9). Destinations and tenants stand only in the ledger.
var (
	bytesDesc   = prometheus.NewDesc("domicile_egress_bytes_total", "Bytes at connections, by egress class and direction (out, in).", []string{"class", "direction"}, nil)
	openedDesc  = prometheus.NewDesc("domicile_egress_connections_total", "Connections dialed or accepted, by egress class.", []string{"class"}, nil)
	failedDesc  = prometheus.NewDesc("domicile_egress_dials_failed_total", "Dials that did not lead to a connection, by egress class.", []string{"class"}, nil)
	refusedDesc = prometheus.NewDesc("domicile_egress_refused_total", "Dials refused before the first packet, by egress class.", []string{"class"}, nil)
	upDesc      = prometheus.NewDesc("domicile_egress_ledger_up", "1 while the egress ledger can be written.", nil, nil)
)

// collector shows a door to Prometheus.
type collector struct{ d *Door }

func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{bytesDesc, openedDesc, failedDesc, refusedDesc, upDesc} {
		ch <- d
	}
}

func (c collector) Collect(ch chan<- prometheus.Metric) {
	sums := c.d.ledger.classes()
	c.d.mu.RLock()
	refused := c.d.refused
	c.d.mu.RUnlock()
	for _, class := range policy.EgressClasses() {
		count := func(d *prometheus.Desc, v int64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), append([]string{class.String()}, labels...)...)
		}
		s := sums[class]
		count(bytesDesc, s.out, "out")
		count(bytesDesc, s.in, "in")
		count(openedDesc, s.opened-s.failed)
		count(failedDesc, s.failed)
		count(refusedDesc, refused[class])
	}
	up := 1.0
	if c.d.Healthy() != nil {
		up = 0
	}
	ch <- prometheus.MustNewConstMetric(upDesc, prometheus.GaugeValue, up)
}

// classes sums this process's counters by class. A tenant's share of an
// accepted connection is not a connection more.
func (l *ledger) classes() map[policy.EgressClass]sum {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[policy.EgressClass]sum{}
	for k, c := range l.counters {
		s := out[k.class]
		s.add(sum{failed: c.failed.Load(), out: c.out.Load(), in: c.in.Load()})
		if accepted := k.destination == tenantSide || k.destination == acceptedSide; !accepted || k.tenant == "" {
			s.opened += c.opened.Load()
		}
		out[k.class] = s
	}
	return out
}
