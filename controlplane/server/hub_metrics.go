package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/policy"
)

var (
	followersDesc  = prometheus.NewDesc("domicile_distribution_nodes", "Nodes that follow this voter, by region.", []string{"region"}, nil)
	unansweredDesc = prometheus.NewDesc("domicile_distribution_unanswered_pushes", "Pushes that the region's node which is furthest behind has not answered.", []string{"region"}, nil)
	quietDesc      = prometheus.NewDesc("domicile_distribution_quiet_seconds", "The longest that a node of the region has left a push unanswered.", []string{"region"}, nil)
	rowsDesc       = prometheus.NewDesc("domicile_distribution_rows", "Rows of the region's bundle, while nodes follow.", []string{"region"}, nil)
	downloadsDesc  = prometheus.NewDesc("domicile_distribution_snapshots", "Snapshots that are being sent, of all regions.", nil, nil)
)

// hubMetrics has regions for labels, which are a closed set, and no node's name.
type hubMetrics struct{ h *hub }

// Describe implements prometheus.Collector.
func (c hubMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{followersDesc, unansweredDesc, quietDesc, rowsDesc, downloadsDesc} {
		ch <- d
	}
}

// load is what the nodes of one region are to this voter.
type load struct {
	nodes, rows int
	unanswered  uint64
	quiet       time.Duration
}

// Collect implements prometheus.Collector.
func (c hubMetrics) Collect(ch chan<- prometheus.Metric) {
	all, now := map[policy.RegionID]load{}, time.Now()
	for _, f := range c.h.all() {
		l := all[f.region]
		f.measure(&l, now)
		all[f.region] = l
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for region, l := range all {
		gauge(followersDesc, float64(l.nodes), string(region))
		gauge(unansweredDesc, float64(l.unanswered), string(region))
		gauge(quietDesc, l.quiet.Seconds(), string(region))
		gauge(rowsDesc, float64(l.rows), string(region))
	}
	gauge(downloadsDesc, float64(len(c.h.slots)))
}

// measure adds one feed to its region's load.
func (f *feed) measure(l *load, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l.nodes += len(f.sessions)
	l.rows = max(l.rows, f.state.Len())
	for s := range f.sessions {
		l.unanswered = max(l.unanswered, s.depth())
		l.quiet = max(l.quiet, s.silence(now))
	}
}

// silence is how long the node has left a push unanswered; 0 when none is.
func (s *session) silence(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answered == s.nonce {
		return 0
	}
	return now.Sub(s.progress)
}
