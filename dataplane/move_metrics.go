package dataplane

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/move"
)

// observe registers what is measured of a move. A node without one says 0 to all.
func (m *moving) observe(r prometheus.Registerer) {
	started := time.Now()
	gauge := func(name, help string, value func(MoveStatus) float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			s, err := m.status()
			if err != nil || s.State != MoveBegun {
				return 0
			}
			return value(s)
		}))
	}
	gauge("domicile_store_move_running", "1 while this node's records move to the region's database, 2 while the copy is whole and waits for switch.", func(s MoveStatus) float64 {
		switch {
		case !s.Runs:
			return 0
		case s.Move.Phase == move.Following:
			return 2
		}
		return 1
	})
	gauge("domicile_store_move_stands_seconds", "How long a move that was begun has made no progress, because the database does not answer or because it was interrupted and not started again; 0 without one.", func(s MoveStatus) float64 {
		return s.stands(time.Now(), started).Seconds()
	})
	gauge("domicile_store_move_changes", "Rows that changed while the records move and are not in the database yet.", func(s MoveStatus) float64 {
		if s.Move == nil {
			return 0
		}
		return float64(s.Move.Changes)
	})
}

// stands is how long a move that was begun has stood still, of a process that
// started at a time.
func (s *MoveStatus) stands(now, started time.Time) time.Duration {
	since := started // it was interrupted by an end of the node, or by its operator
	if s.Move != nil && s.Move.Progress.After(since) {
		since = s.Move.Progress
	}
	return max(0, now.Sub(since))
}
