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

	portUp        prometheus.Gauge
	streams       prometheus.Gauge
	streamsEnded  *prometheus.CounterVec
	batches       prometheus.Counter
	streamAppends prometheus.Counter
	unasked       prometheus.Counter
	batchSeconds  prometheus.Histogram
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
	m.forStreams()
	m.refusals.WithLabelValues(string(policy.Unauthenticated)) // a rate begins at its second value
	m.guesses.WithLabelValues("address")
	m.guesses.WithLabelValues("key")
	if reg != nil {
		reg.MustRegister(m.requests, m.seconds, m.refusals, m.refusedBytes, m.guesses, m.records, m.panics, m.settingsDenied,
			m.streams, m.streamsEnded, m.batches, m.streamAppends, m.unasked, m.batchSeconds)
	}
	return m
}

// forStreams makes what is counted of streamed ingest.
func (m *metrics) forStreams() {
	m.portUp = prometheus.NewGauge(prometheus.GaugeOpts{Name: "domicile_ingest_port_up",
		Help: "1 while the port for streams of gRPC ingest is served, 0 when it is not any more; absent without ingest_address."})
	m.streams = prometheus.NewGauge(prometheus.GaugeOpts{Name: "domicile_ingest_streams_open",
		Help: "Streams of gRPC ingest that were admitted and have not ended."})
	m.streamsEnded = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "domicile_ingest_streams_ended_total",
		Help: "Streams of gRPC ingest that were admitted and have ended, by reason; OK: their client ended them, GONE: it went away."}, []string{"reason"})
	m.batches = prometheus.NewCounter(prometheus.CounterOpts{Name: "domicile_ingest_batches_total",
		Help: "Batches of gRPC ingest that were acknowledged."})
	m.streamAppends = prometheus.NewCounter(prometheus.CounterOpts{Name: "domicile_ingest_groups_total",
		Help: "Groups of batches that were made durable together: one stream's that waited at the same time."})
	m.unasked = prometheus.NewCounter(prometheus.CounterOpts{Name: "domicile_ingest_unasked_bytes_total",
		Help: "Bytes of bodies that came for streams of gRPC ingest before these were admitted: at most 64 KiB of a connection."})
	m.batchSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "domicile_ingest_batch_seconds",
		Help: "Time from a batch of gRPC ingest being parsed to its acknowledgement.", Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8)})
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
	for _, x := range [...]struct {
		state string
		n     int
	}{{"stored", c.stored}, {"new_version", c.versions}, {"duplicate", c.duplicates}, {"quarantined", c.quarantined}} {
		if x.n > 0 {
			m.records.WithLabelValues(string(source), x.state).Add(float64(x.n))
		}
	}
}
