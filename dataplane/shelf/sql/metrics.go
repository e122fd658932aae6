package sql

import (
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// collector shows a pool of connections to Prometheus.
type collector struct{ db *DB }

// Collector is the database's metrics.
func (d *DB) Collector() prometheus.Collector { return collector{d} }

var (
	descConnections = prometheus.NewDesc("domicile_database_connections", "Connections to the region's database by state.", []string{"state"}, nil)
	descMost        = prometheus.NewDesc("domicile_database_connections_most", "Connections that this node may open.", nil, nil)
	descWaits       = prometheus.NewDesc("domicile_database_waits_total", "Times that no connection was free at once.", nil, nil)
	descWaited      = prometheus.NewDesc("domicile_database_wait_seconds_total", "Time spent waiting for a connection.", nil, nil)
	descUp          = prometheus.NewDesc("domicile_database_up", "1 while the region's database answers.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descConnections, descMost, descWaits, descWaited, descUp} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	up := 1.0
	if c.db.Healthy() != nil {
		up = 0
	}
	ch <- prometheus.MustNewConstMetric(descUp, prometheus.GaugeValue, up)
	PoolMetrics(c.db.pool.Stat(), ch)
}

// PoolMetrics shows the state of a pool.
func PoolMetrics(s *pgxpool.Stat, ch chan<- prometheus.Metric) {
	for state, n := range map[string]int32{"used": s.AcquiredConns(), "idle": s.IdleConns(), "opening": s.ConstructingConns()} {
		ch <- prometheus.MustNewConstMetric(descConnections, prometheus.GaugeValue, float64(n), state)
	}
	ch <- prometheus.MustNewConstMetric(descMost, prometheus.GaugeValue, float64(s.MaxConns()))
	ch <- prometheus.MustNewConstMetric(descWaits, prometheus.CounterValue, float64(s.EmptyAcquireCount()))
	ch <- prometheus.MustNewConstMetric(descWaited, prometheus.CounterValue, s.EmptyAcquireWaitTime().Seconds())
}
