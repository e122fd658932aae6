package server

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/policy"
)

// metrics are the listener's. Every label comes from a closed set: a route of
// the table, a reason, a status, a source kind, a state (invariant 9).
type metrics struct {
	requests     *prometheus.CounterVec
	seconds      *prometheus.HistogramVec
	refusals     *prometheus.CounterVec
	refusedBytes *prometheus.CounterVec
	guesses      *prometheus.CounterVec
	records      *prometheus.CounterVec
	panics       prometheus.Counter

	settingsDenied prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "domicile_requests_total",
			Help: "Requests of tenants that were answered."}, []string{"route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "domicile_request_seconds",
			Help: "Time from the request's headers to the end of its answer.", Buckets: prometheus.ExponentialBuckets(0.0005, 4, 10)}, []string{"route"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "domicile_refused_requests_total",
			Help: "Requests that were refused from their headers, body unread."}, []string{"reason"}),
		refusedBytes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "domicile_refused_read_bytes_total",
			Help: "Bytes that the process read off the connection for refused requests that had a body: handshake, headers and TLS included, so never less than was read of the body."}, []string{"reason"}),
		guesses: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "domicile_guesses_refused_total",
			Help: "Credentials that do not work and that were answered 429, because too many came from their address, or name their key."}, []string{"by"}),
		records: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "domicile_records_total",
			Help: "Call records that were acknowledged, by what became of them."}, []string{"source", "state"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{Name: "domicile_request_panics_total",
			Help: "Requests whose handler failed by a programming error."}),
		settingsDenied: prometheus.NewCounter(prometheus.CounterOpts{Name: "domicile_feed_settings_denied_total",
			Help: "Feed requests that were taken with default settings because the policy refuses reading account_config."}),
	}
	m.refusals.WithLabelValues(string(policy.Unauthenticated)) // a rate begins at its second value
	m.guesses.WithLabelValues("address")
	m.guesses.WithLabelValues("key")
	if reg != nil {
		reg.MustRegister(m.requests, m.seconds, m.refusals, m.refusedBytes, m.guesses, m.records, m.panics, m.settingsDenied)
	}
	return m
}

func (m *metrics) refused(reason policy.Reason, read int64) {
	m.refusals.WithLabelValues(string(reason)).Inc()
	m.refusedBytes.WithLabelValues(string(reason)).Add(float64(read))
}

func (m *metrics) answered(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}

func (m *metrics) took(source record.SourceKind, c tally) {
	for state, n := range map[string]int{"stored": c.stored, "new_version": c.versions, "duplicate": c.duplicates, "quarantined": c.quarantined} {
		if n > 0 {
			m.records.WithLabelValues(string(source), state).Add(float64(n))
		}
	}
}
