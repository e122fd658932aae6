package admission

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are labelled from closed sets: a lane, a cause (invariant 9).
type metrics struct {
	admitted *prometheus.CounterVec
	refusals *prometheus.CounterVec
	gone     *prometheus.CounterVec
	waited   *prometheus.HistogramVec
	slowed   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, a *Admission) *metrics {
	m := &metrics{
		admitted: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "domicile_admitted_requests_total",
			Help: "Requests that were taken up."}, []string{"lane"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "domicile_overload_refusals_total",
			Help: "Requests that were refused with OVERLOADED, by what there was too much of."}, []string{"lane", "cause"}),
		gone: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "domicile_requests_gone_total",
			Help: "Requests whose client left before they were taken up."}, []string{"lane"}),
		waited: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "domicile_queue_delay_seconds",
			Help: "How long requests that were taken up had waited for it.", Buckets: []float64{0.0001, 0.001, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 1}}, []string{"lane"}),
		slowed: prometheus.NewCounter(prometheus.CounterOpts{Name: "domicile_slowed_total",
			Help: "Times that a request in flight was made to wait because its tenant had exceeded a quota."}),
	}
	for l := range Lane(numLanes) { // a rate begins at its second value
		m.admitted.WithLabelValues(l.String())
		for _, c := range Causes {
			m.refusals.WithLabelValues(l.String(), string(c))
		}
	}
	if reg != nil {
		reg.MustRegister(m.admitted, m.refusals, m.gone, m.waited, m.slowed,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "domicile_requests_in_flight",
				Help: "Requests that have a place."}, func() float64 { return float64(a.InFlight()) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "domicile_requests_memory_bytes",
				Help: "Memory that requests in flight may hold, of the budget."}, func() float64 { return float64(a.reserved()) }))
	}
	return m
}

func (m *metrics) taken(l Lane, waited time.Duration) {
	m.admitted.WithLabelValues(l.String()).Inc()
	m.waited.WithLabelValues(l.String()).Observe(waited.Seconds())
}

func (m *metrics) refused(l Lane, c Cause) { m.refusals.WithLabelValues(l.String(), string(c)).Inc() }
func (m *metrics) left(l Lane)             { m.gone.WithLabelValues(l.String()).Inc() }

func (a *Admission) reserved() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.machine.memory
}
