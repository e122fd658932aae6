// Package certificates shows what certificates a process uses, and reports when they
// change, with the same names in voters and in nodes of regions.
package certificates

import (
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/internal/mtls"
)

// Watch logs m's reloads and registers how long it lasts and whether its files can be used, under
// the label name. It fails where r has that name already.
func Watch(r prometheus.Registerer, log *slog.Logger, name string, m *mtls.Material) error {
	m.LogTo(log)
	labels := prometheus.Labels{"certificate": name}
	for _, c := range []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "domicile_certificate_expiry_timestamp_seconds", ConstLabels: labels,
			Help: "When the certificate in use ends, in Unix seconds."}, func() float64 { return float64(m.Expires().Unix()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "domicile_certificate_problem", ConstLabels: labels,
			Help: "1 while the certificate's files are not usable and the last good ones stay in use; the log says why."}, func() float64 {
			if m.Problem() != nil {
				return 1
			}
			return 0
		}),
	} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register metrics of certificate %s: %w", name, err)
		}
	}
	return nil
}
