package dataplane

import (
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/move"
)

// A move stands still from its last progress on, or, when it does not run, from the
// start of the node on, however long ago it was begun.
func TestHowLongAMoveHasStood(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, c := range map[string]struct {
		s       MoveStatus
		started time.Time
		want    time.Duration
	}{
		"it was interrupted by a restart":  {MoveStatus{State: MoveBegun}, ago(time.Hour), time.Hour},
		"it goes on":                       {MoveStatus{State: MoveBegun, Runs: true, Move: &move.Status{Progress: ago(time.Second)}}, ago(time.Hour), time.Second},
		"the database has been away":       {MoveStatus{State: MoveBegun, Runs: true, Move: &move.Status{Progress: ago(20 * time.Minute), Problem: "away"}}, ago(time.Hour), 20 * time.Minute},
		"a clock that went back is no age": {MoveStatus{State: MoveBegun, Runs: true, Move: &move.Status{Progress: now.Add(time.Minute)}}, ago(time.Hour), 0},
	} {
		if got := c.s.stands(now, c.started); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
