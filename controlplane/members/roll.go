package members

import (
	"sync"
	"time"
)

// Facts are what a member says of itself, every few seconds, to the leader.
type Facts struct {
	Version            int
	Release            string // of the program, for people
	Applied            uint64 // index up to which its state holds every command
	Revision           uint64
	ContactAge         time.Duration // since it heard of the leader by Raft; 0 on the leader
	DiskFree, DiskSize uint64        // bytes of the file system under its data; 0: not known
	CertificateExpires time.Time
	Trouble            string // what it cannot do, in one word of a closed list; "" nothing
}

// Heard is what the leader remembers of a member.
type Heard struct {
	Facts
	At     time.Time // when it last spoke
	Steady time.Time // since when it has been caught up without a gap; zero: it is not
}

// Limits of what counts as caught up.
const (
	maxBehind     = 512 // entries of the Raft log
	maxContactAge = 3 * time.Second
)

// Roll is the leader's memory of what members said. It begins anew with each
// leadership, so that nobody is judged by what a former leader did not hear.
type Roll struct {
	every time.Duration // between announcements

	mu    sync.Mutex
	since time.Time // this leadership
	term  uint64
	heard map[string]Heard
}

// NewRoll makes a roll of members that announce themselves at the given interval.
func NewRoll(every time.Duration) *Roll {
	return &Roll{every: every, heard: map[string]Heard{}}
}

// Begin notes the term in which we lead; a new one forgets everything.
func (r *Roll) Begin(term uint64, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.term != term {
		r.term, r.since = term, now
		clear(r.heard)
	}
}

// Hear notes what a member says; leads is what the leader has applied.
func (r *Roll) Hear(name string, f Facts, leads uint64, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.heard[name]
	h := Heard{Facts: f, At: now}
	caughtUp := f.Applied+maxBehind >= leads && f.ContactAge <= maxContactAge && f.Trouble == ""
	switch {
	case !caughtUp:
	case before.Steady.IsZero() || now.Sub(before.At) > r.Patience():
		h.Steady = now
	default:
		h.Steady = before.Steady
	}
	r.heard[name] = h
}

// Patience is how long a member may be silent before it counts as not heard.
func (r *Roll) Patience() time.Duration { return max(3*r.every, 3*time.Second) }

// Forget drops what is known of a member.
func (r *Roll) Forget(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.heard, name)
}

// Known is what is remembered of a member; ok is false for one that was not
// heard since we lead.
func (r *Roll) Known(name string) (h Heard, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok = r.heard[name]
	return h, ok
}

// Snapshot is everything that is remembered, and since when we lead.
func (r *Roll) Snapshot() (heard map[string]Heard, since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	heard = make(map[string]Heard, len(r.heard))
	for name, h := range r.heard {
		heard[name] = h
	}
	return heard, r.since
}
