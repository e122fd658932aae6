package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// nodeMetrics counts nodes and violations of the local state when it is asked.
// Labels are closed lists (invariant 9).
type nodeMetrics struct{ store *store.Store }

var (
	nodesDesc      = prometheus.NewDesc("domicile_control_nodes", "Nodes that were ever seen, by state and the level that was proved last.", []string{"state", "level"}, nil)
	violationsDesc = prometheus.NewDesc("domicile_control_violations", "Violations that are kept, by state and category.", []string{"state", "category"}, nil)
)

// Describe implements prometheus.Collector.
func (nodeMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- nodesDesc
	ch <- violationsDesc
}

// Collect implements prometheus.Collector. What cannot be read is left out.
func (m nodeMetrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, n int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	if nodes, err := m.store.Nodes(); err == nil {
		count := map[[2]string]int{}
		for _, n := range nodes {
			count[[2]string{string(n.State), levelNow(n).String()}]++
		}
		for _, state := range []store.NodeState{store.NodeRequested, store.NodeAdmitted, store.NodeEvicted} {
			for _, level := range []policy.Attestation{policy.Declared, policy.OperatorSigned, policy.CloudSigned} {
				gauge(nodesDesc, count[[2]string{string(state), level.String()}], string(state), level.String())
			}
		}
	}
	violations, err := m.store.Violations()
	if err != nil {
		return
	}
	count := map[[2]string]int{}
	for _, v := range violations {
		count[[2]string{string(v.State), v.Category}]++
	}
	for _, state := range []store.ViolationState{store.ViolationOpen, store.ViolationAcknowledged, store.ViolationResolved} {
		for _, category := range store.ViolationCategories {
			gauge(violationsDesc, count[[2]string{string(state), category}], string(state), category)
		}
	}
}
