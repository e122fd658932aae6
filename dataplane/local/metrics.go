package local

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/store"
)

// Sample is what a key table shows to Prometheus.
type Sample struct {
	Status
	RotateEvery, RotateSpacing time.Duration
	Succeeded, Failed          uint64 // rotations
	Uses                       *KeyUses
}

type collector struct {
	sample func() Sample
	now    func() time.Time
}

// Collector shows a key table. Labels come from closed lists.
func Collector(sample func() Sample, now func() time.Time) prometheus.Collector {
	return collector{sample, now}
}

// Collector is the keyring's metrics.
func (k *Keyring) Collector() prometheus.Collector {
	return Collector(func() Sample {
		s := Sample{Status: k.Status(), RotateEvery: k.o.RotateEvery, RotateSpacing: k.o.RotateSpacing, Uses: &k.uses}
		s.Succeeded, s.Failed = k.turns.counts()
		return s
	}, k.o.Now)
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("domicile_keys_"+name, help, labels, nil)
}

var (
	descGeneration = describe("generation", "Number of the current generation of the key table.")
	descAge        = describe("generation_age_seconds", "Age of the current generation.")
	descOverdue    = describe("rotation_overdue_seconds", "How long a rotation has been due by schedule, or asked for; 0: none is.")
	descTables     = describe("tables", "Generations of which keys survive.")
	descRotations  = describe("rotations_total", "Rotations of the key table by result.", "result")
	descTook       = describe("rotation_seconds", "How long the latest rotation took.")
	descCarried    = describe("rotation_carried", "Keys that the running rotation has wrapped anew; 0: none runs.")
	descCarry      = describe("rotation_to_carry", "Keys that the running rotation has to wrap anew.")
	descPending    = describe("generations_pending", "Retired generations by what they wait for.", "state")
	descUp         = describe("service_up", "1 while the key service answers.")
	descHeld       = describe("held_seconds", "How long keys are still held if the key service stays away.")
	descCopyUp     = describe("copy_up", "1 while the copy of the key table is written and whole; 1 also where there is none.")
	descVerified   = describe("copy_verified_timestamp_seconds", "When table and copy were last compared.")
	descMended     = describe("copy_mended", "Units that the latest comparison mended.")
	descDamaged    = describe("damaged", "Units that are damaged in the table and in its copy.")
	descUses       = describe("uses_total", "Uses of keys by reason and operation.", "reason", "operation")
)

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s, now := c.sample(), c.now()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	age := now.Sub(s.Created)
	overdue := age - s.RotateEvery
	if s.RotateEvery <= 0 {
		overdue = 0
	}
	if s.Asked {
		overdue = max(overdue, age-s.RotateSpacing)
	}
	gauge(descGeneration, float64(s.Generation))
	gauge(descAge, age.Seconds())
	gauge(descOverdue, max(0, overdue.Seconds()))
	gauge(descTables, float64(s.Tables))
	count(descRotations, s.Succeeded, "success")
	count(descRotations, s.Failed, "failure")
	gauge(descTook, s.LastTook.Seconds())
	gauge(descCarried, float64(s.Done))
	gauge(descCarry, float64(s.Total))
	var live, delayed int
	for _, f := range s.Pending {
		if f.Destroyed.IsZero() {
			live++
		} else {
			delayed++
		}
	}
	gauge(descPending, float64(live), "not_destroyed")
	gauge(descPending, float64(delayed), "not_final")
	gauge(descUp, truth(s.Service == "up"))
	gauge(descHeld, s.HeldFor.Seconds())
	gauge(descCopyUp, truth(s.Copy == "up" || s.Copy == "none"))
	verified := 0.0
	if !s.Verified.IsZero() {
		verified = float64(s.Verified.Unix())
	}
	gauge(descVerified, verified)
	gauge(descMended, float64(s.Mended))
	gauge(descDamaged, float64(s.Corrupt))
	for _, use := range store.KeyUses() {
		for op := range keyOps {
			if n := s.Uses.counts[useIndex[use]][op].Load(); n > 0 {
				count(descUses, n, string(use), keyOpNames[op])
			}
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (t *turns) counts() (succeeded, failed uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count, t.failures
}
