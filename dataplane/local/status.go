package local

import (
	"sync"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
)

// Status is what an operator wants to know of the keyring. It holds no secret.
type Status struct {
	Custodian  string        `json:"custodian"`
	Generation uint64        `json:"generation"`
	Created    time.Time     `json:"created"`
	NextTime   time.Time     `json:"next_rotation,omitzero"` // by schedule
	Asked      bool          `json:"rotation_asked"`
	Tables     int           `json:"tables"` // generations that have surviving keys
	Places     uint64        `json:"places"` // of keys, in the tables that are open
	Names      int           `json:"names"`
	Cached     int           `json:"cached"`
	Service    string        `json:"service"` // "up", or why not
	HeldFor    time.Duration `json:"-"`       // 0: nothing is held
	HeldSecs   int64         `json:"held_seconds"`
	Copy       string        `json:"copy"` // "none", "up", or why not
	Verified   time.Time     `json:"copy_verified,omitzero"`
	Mended     int           `json:"copy_mended"`
	Corrupt    int           `json:"damaged_in_both"`

	Rotating     bool          `json:"rotating"`
	Done         uint64        `json:"carried"`
	Total        uint64        `json:"to_carry"`
	Rotations    uint64        `json:"rotations"`
	LastRotation time.Time     `json:"last_rotation,omitzero"`
	LastTook     time.Duration `json:"-"`
	LastError    string        `json:"last_error,omitempty"`

	Pending []store.KeyFate `json:"pending"` // generations that are retired and not final
}

// Status gives it.
func (k *Keyring) Status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.o.Now().UTC()
	s := Status{Custodian: k.custodian.Kind(), Generation: k.sheet.generation, Created: k.sheet.created, Asked: k.asked,
		Tables: len(k.sheet.tables), Cached: k.cache.Len(), Service: "up", Copy: "none",
		Verified: k.verified.at, Mended: k.verified.fixed, Corrupt: k.verified.corrupt, Rotating: k.planned != 0}
	if k.o.RotateEvery > 0 {
		s.NextTime = s.Created.Add(k.o.RotateEvery)
	}
	for _, t := range k.tables {
		s.Places += t.written
	}
	if k.names != nil {
		s.Names = len(k.names.keys)
	}
	if err := k.usable(); err != nil {
		s.Service = err.Error()
	} else if k.away != nil {
		s.Service = k.away.Error()
	}
	if k.held {
		s.HeldFor = max(0, time.Duration(k.until.Load())-k.o.Elapsed())
		s.HeldSecs = int64(s.HeldFor / time.Second)
	}
	if k.o.Copy != "" {
		s.Copy = "up"
		if err := k.places.lag(); err != nil {
			s.Copy = err.Error()
		}
	}
	for _, f := range k.history.Generations {
		if f.Generation >= k.sheet.generation {
			continue
		}
		if fate := k.history.fate(f.Generation); !fate.IsFinal(now) {
			s.Pending = append(s.Pending, fate)
		}
	}
	k.turns.into(&s)
	return s
}

// turns remembers how rotations went.
type turns struct {
	mu          sync.Mutex
	done, total uint64
	count       uint64
	failures    uint64
	last        time.Time
	took        time.Duration
	err         error
	tried       time.Time // of the last failure
	inRow       int       // failures without a success between
	pendingErr  string
}

const maxRetry = time.Hour

func (t *turns) progress(done, total uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done, t.total = done, total
}

func (t *turns) advance(n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done += n
}

func (t *turns) succeeded(now time.Time, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	t.last, t.took, t.err, t.inRow = now.UTC(), took, nil, 0
}

func (t *turns) failed(err error, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures++
	t.inRow++
	t.err, t.tried = err, now
}

// mayTry waits longer after each failure: a key service that makes a key for
// each attempt must not be filled with them.
func (t *turns) mayTry(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		return true
	}
	wait := min(maxRetry, time.Minute<<min(t.inRow-1, 10))
	return now.Sub(t.tried) >= wait || now.Before(t.tried)
}

// pending reports whether an error of a destruction is news.
func (t *turns) pending(err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	news := err.Error() != t.pendingErr
	t.pendingErr = err.Error()
	return news
}

func (t *turns) into(s *Status) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.Done, s.Total, s.Rotations, s.LastRotation, s.LastTook, s.LastError = t.done, t.total, t.count, t.last, t.took, text(t.err)
}
