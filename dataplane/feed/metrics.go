package feed

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/policy"
)

var (
	revisionDesc  = prometheus.NewDesc("domicile_bundle_revision", "Revision of the current policy bundle; 0 before the first.", nil, nil)
	ageDesc       = prometheus.NewDesc("domicile_bundle_age_seconds", "Time since the control plane last confirmed the bundle; -1 unknown.", nil, nil)
	connectedDesc = prometheus.NewDesc("domicile_bundle_connected", "1 while the control stream is open.", nil, nil)
	suspectDesc   = prometheus.NewDesc("domicile_clock_suspect", "1 after the wall clock jumped, until it is confirmed again.", nil, nil)
	levelDesc     = prometheus.NewDesc("domicile_node_attestation", "1 for the level that this node has verified of itself, 0 for the others.", []string{"level"}, nil)
	unsignedDesc  = prometheus.NewDesc("domicile_bundle_unsigned_api_keys", "API keys that this node refuses because their tenant signs its keys and has not signed these.", nil, nil)
	nacksDesc     = prometheus.NewDesc("domicile_bundle_nacks_total", "Pushes that this node refused, by reason.", []string{"reason"}, nil)
)

type collector struct{ f *Feed }

func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{revisionDesc, ageDesc, connectedDesc, suspectDesc, levelDesc, unsignedDesc, nacksDesc} {
		ch <- d
	}
}

func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.f.Status()
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	flag := map[bool]float64{true: 1}
	gauge(revisionDesc, float64(s.Revision))
	gauge(ageDesc, max(-1, s.Age.Seconds()))
	gauge(connectedDesc, flag[s.Connected])
	gauge(suspectDesc, flag[s.ClockSuspect])
	gauge(unsignedDesc, float64(c.f.Current().Unsigned()))
	for _, l := range []policy.Attestation{policy.Declared, policy.OperatorSigned, policy.CloudSigned} {
		ch <- prometheus.MustNewConstMetric(levelDesc, prometheus.GaugeValue, flag[c.f.Attestation() == l], l.String())
	}
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	for _, reason := range []string{badSignature, belowFloor, badRow, badHash, noStorage, gap} {
		ch <- prometheus.MustNewConstMetric(nacksDesc, prometheus.CounterValue, float64(c.f.nacks[reason]), reason)
	}
}
