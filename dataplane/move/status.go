package move

import (
	"time"
)

// Phase is what a move is doing.
type Phase string

// The phases, in order.
const (
	Copying   Phase = "copying"   // rows are written where they differ
	Comparing Phase = "comparing" // every row is read on both sides
	Following Phase = "following" // the copy is whole and kept up with the store; Switch may come
	Pausing   Phase = "pausing"   // writers wait
	Switched  Phase = "switched"  // the database is the region's
)

// Status is how far a move is.
type Status struct {
	Phase    Phase     `json:"phase"`
	Began    time.Time `json:"began"`
	Rows     uint64    `json:"rows"`               // of the pass, so far
	Bytes    uint64    `json:"bytes"`              // of the pass, so far
	Total    uint64    `json:"total"`              // bytes of the store, about
	Changes  int       `json:"changes"`            // rows that changed and are not in the database yet
	Written  uint64    `json:"written"`            // rows that were written, again included
	Restarts int       `json:"restarts,omitempty"` // passes that began anew, because more changed than is noted
	Problem  string    `json:"problem,omitempty"`  // why it waits and tries again; "" it does not
	Progress time.Time `json:"progress_time"`      // when something last came nearer to the end, or nothing was left to do
	Report   *Report   `json:"report,omitempty"`   // of a move that is done
}

// Report says what a move has carried over, and how that was proved.
type Report struct {
	Began    time.Time     `json:"began"`
	Switched time.Time     `json:"switched"`
	Pause    time.Duration `json:"pause_ns"` // how long writers waited
	Rows     uint64        `json:"rows"`
	Bytes    uint64        `json:"bytes"`
	Tables   []Sum         `json:"tables"`   // of the last pass that compared everything
	Later    uint64        `json:"later"`    // rows that changed after their table was compared; each was written and read back
	Paused   bool          `json:"in_pause"` // the tables were compared while nothing changed
	Shelves  []Sum         `json:"shelves"`
	Details  any           `json:"details,omitempty"` // of what Hand has handed over
}

// Sum is what both sides have of a table or a shelf.
type Sum struct {
	Name   string `json:"name"`
	Rows   uint64 `json:"rows"`
	Bytes  uint64 `json:"bytes"`
	SHA256 string `json:"sha256"` // over length and bytes of each key and value, in order of keys
}

// Status is how far the move is.
func (m *Mover) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.status
	s.Changes = m.pending.Len() + m.o.Records.Changed()
	if s.Phase == Following && s.Changes == 0 || s.Phase == Switched {
		s.Progress = time.Now().UTC() // it waits for nobody but its operator
	}
	return s
}

func (m *Mover) set(f func(s *Status)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.status
	f(&m.status)
	if now := &m.status; now.Phase != was.Phase || now.Rows != was.Rows || now.Bytes != was.Bytes || now.Written != was.Written {
		now.Progress = time.Now().UTC()
	}
}
