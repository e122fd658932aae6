package export

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/shelf"
)

// metrics of exports. No label names a tenant or a recipient (invariant 9).
type metrics struct {
	transfers  *prometheus.CounterVec
	released   prometheus.Counter
	suppressed prometheus.Counter
	forfeited  prometheus.Counter
	bytes      prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, outbox *Outbox) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		transfers: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "domicile_export_transfers_total",
			Help: "Transfers that ended, by state: acknowledged by the receiver, or refused by policy."}, []string{"state"}),
		released:   counter("domicile_export_released_rows_total", "Rows that passed the singling-out gate and were queued."),
		suppressed: counter("domicile_export_suppressed_rows_total", "Rows that the singling-out gate kept back; they never leave."),
		forfeited:  counter("domicile_export_forfeits_total", "Times that closed windows were given up because the policy refuses the export."),
		bytes:      counter("domicile_export_payload_bytes_total", "Bytes of payload that receivers acknowledged; the egress ledger counts what the connections carried."),
	}
	for _, s := range []State{Acknowledged, Refused} {
		m.transfers.WithLabelValues(string(s))
	}
	if reg != nil {
		reg.MustRegister(m.transfers, m.released, m.suppressed, m.forfeited, m.bytes, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "domicile_export_queue_length", Help: "Transfers and gap markers that wait to be sent, of all tenants."}, outbox.depth))
	}
	return m
}

func (m *metrics) judged(released, suppressed int) {
	m.released.Add(float64(released))
	m.suppressed.Add(float64(suppressed))
}

func (m *metrics) delivered(x Transfer) {
	if x.State == Queued {
		m.transfers.WithLabelValues(string(Acknowledged)).Inc()
		m.bytes.Add(float64(x.Bytes))
	}
}

// Depth is the length of all queues together: transfers and gap markers.
func (o *Outbox) Depth() (n int, err error) {
	err = o.shelf.View(func(tx shelf.Tx) (err error) {
		n, err = tx.Count(bucketQueue)
		return err
	})
	return n, err
}

// depth is Depth for the metric; -1 when it cannot be read.
func (o *Outbox) depth() float64 {
	n, err := o.Depth()
	if err != nil {
		return -1
	}
	return float64(n)
}
