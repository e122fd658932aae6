package record

import "time"

// Contribution is what one call adds to the regional rollups (contract §6):
// only primary legs add anything, so a leg counted twice at its source is
// counted once here.
type Contribution struct {
	Day       int32 // of the call's start, days since 1970-01-01 UTC
	Direction Direction
	Country   string // of the external party: the caller of an inbound call, the callee of an outbound one
	Calls     int64
	Answered  int64
	Billsec   int64 // whole seconds
}

// ContributionOf computes it from a call's current view; listed is the call's
// place in lists, which stands in for a start that is not known.
func ContributionOf(r *Record, listed time.Time) Contribution {
	if !r.Primary {
		return Contribution{}
	}
	start := r.Start
	if start.IsZero() {
		start = listed
	}
	c := Contribution{Day: DayOf(start), Direction: r.Direction, Calls: 1, Billsec: int64(r.Billsec / time.Second)}
	switch r.Direction {
	case Inbound:
		c.Country = r.From.Country
	case Outbound:
		c.Country = r.To.Country
	}
	if r.Answered() {
		c.Answered = 1
	}
	return c
}

// DayOf numbers the UTC day of t: days since 1970-01-01.
func DayOf(t time.Time) int32 {
	const day = 24 * 60 * 60
	s := t.Unix()
	if s < 0 {
		s -= day - 1
	}
	return int32(s / day)
}
