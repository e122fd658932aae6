package copied

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	descAge = prometheus.NewDesc("domicile_keys_copy_age_seconds",
		"How long ago the bucket of the copy of the key table, or of the erasure ledger, last answered this node well.", []string{"table"}, nil)
	descChanges = prometheus.NewDesc("domicile_keys_copy_changes",
		"Changes of the key table, or of the erasure ledger, behind the base of its copy; at 1000 the base is written anew.", []string{"table"}, nil)
)

// Collector shows copies.
type Collector func() []*Copy

// Describe implements prometheus.Collector.
func (c Collector) Describe(ch chan<- *prometheus.Desc) { ch <- descAge; ch <- descChanges }

// Collect implements prometheus.Collector.
func (c Collector) Collect(ch chan<- prometheus.Metric) {
	for _, of := range c() {
		of.mu.Lock()
		age, changes := max(0, of.o.Now().Sub(of.heard)), of.changes
		of.mu.Unlock()
		ch <- prometheus.MustNewConstMetric(descAge, prometheus.GaugeValue, age.Round(time.Second).Seconds(), of.o.Of.Shelf)
		ch <- prometheus.MustNewConstMetric(descChanges, prometheus.GaugeValue, float64(changes), of.o.Of.Shelf)
	}
}
