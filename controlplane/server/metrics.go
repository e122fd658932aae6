package server

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/controlplane/replica"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// metrics have labels of closed sets only (invariant 9): methods of the
// permission table, reasons of the error vocabulary.
type metrics struct {
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer, rep *replica.Replica, st *store.Store, inFlight func() float64) (*metrics, error) {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "domicile_control_calls_total",
			Help: "Calls by method and reason; reason is empty for success."}, []string{"method", "reason"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "domicile_control_call_seconds",
			Help: "Duration of calls by method, streams included.", Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}}, []string{"method"}),
	}
	for full := range permissions { // a rate begins at its second value: without these, the first failure is never seen
		for _, reason := range alarming {
			m.calls.WithLabelValues(short(full), string(reason))
		}
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	for _, c := range []prometheus.Collector{m.calls, m.seconds, nodeMetrics{st},
		gauge("domicile_control_revision", "Revision of the local state.", func() float64 { return float64(st.Revision()) }),
		gauge("domicile_control_leader", "1 while this voter leads.", func() float64 {
			if rep.IsLeader() {
				return 1
			}
			return 0
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "domicile_control_leadership_confirmations_total",
			Help: "Rounds in which this voter, as the leader, made sure of it for reads; each is an entry of the Raft log."}, func() float64 { return float64(rep.Confirmations()) }),
		gauge("domicile_control_calls_in_flight", "Unary calls being handled.", inFlight),
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// alarming are the reasons that docs/operations/alerts.yaml looks for.
var alarming = []policy.Reason{policy.Internal, policy.OutcomeUnknown, policy.Overloaded, policy.Unauthenticated}

// short is a method without its service.
func short(full string) string { return full[strings.LastIndexByte(full, '/')+1:] }

func (m *metrics) call(method, reason string, took time.Duration) {
	if _, ok := permissions[method]; !ok {
		method = "other" // a caller can invent methods
	}
	method = short(method)
	m.calls.WithLabelValues(method, reason).Inc()
	m.seconds.WithLabelValues(method).Observe(took.Seconds())
}
