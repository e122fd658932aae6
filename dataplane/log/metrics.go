package log

import "github.com/prometheus/client_golang/prometheus"

// metrics of the log; their labels come from closed sets (INV09).
type metrics struct {
	size   prometheus.Gauge
	failed prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) metrics {
	m := metrics{
		size: prometheus.NewGauge(prometheus.GaugeOpts{Name: "domicile_region_log_size", Help: "Records in the region's log."}),
		failed: prometheus.NewGauge(prometheus.GaugeOpts{Name: "domicile_region_log_problem",
			Help: "1 while the region's log does not grow: exports of persons and erasures wait, and records are stored."}),
	}
	if r != nil {
		r.MustRegister(m.size, m.failed)
	}
	return m
}

func (m *metrics) round(err error) {
	if err != nil {
		m.failed.Set(1)
		return
	}
	m.failed.Set(0)
}
