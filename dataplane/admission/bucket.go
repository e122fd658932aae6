package admission

import "time"

// bucket is what is left of a quota. It fills at rate up to rate × burst, and may
// be in debt: what a stream turns out to hold is only known when it has come, and
// golang.org/x/time/rate lends nothing.
type bucket struct {
	rate  float64 // a second
	level float64
	at    time.Duration
}

func newBucket(rate int64, now time.Duration) bucket {
	return bucket{rate: float64(rate), level: float64(rate) * burst, at: now}
}

func (b *bucket) fill(now time.Duration) {
	if now > b.at {
		b.level = min(b.rate*burst, b.level+b.rate*(now-b.at).Seconds())
		b.at = now
	}
}

// until is how long it takes until the level is at least want; 0: it is.
func (b *bucket) until(now time.Duration, want float64) time.Duration {
	b.fill(now)
	if b.level >= want {
		return 0
	}
	return time.Duration((want - b.level) / b.rate * float64(time.Second))
}

func (b *bucket) take(now time.Duration, n int64) {
	b.fill(now)
	b.level -= float64(n)
}

// full reports whether forgetting the bucket would lose nothing.
func (b *bucket) full(now time.Duration) bool {
	b.fill(now)
	return b.level >= b.rate*burst
}
