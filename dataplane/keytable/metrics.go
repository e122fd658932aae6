package keytable

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/local"
)

// Collector is the table's metrics, as this node sees it.
func (t *Table) Collector() prometheus.Collector {
	return local.Collector(func() local.Sample {
		s := local.Sample{Status: t.Status(), RotateEvery: t.o.RotateEvery, RotateSpacing: t.o.RotateSpacing, Uses: &t.uses}
		t.mu.Lock()
		defer t.mu.Unlock()
		s.Succeeded, s.Failed = t.turns.succeeded, t.turns.failed
		return s
	}, t.o.Now)
}
