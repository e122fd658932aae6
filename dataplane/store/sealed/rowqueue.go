package sealed

import "bytes"

// rowQueue holds the rows of a walk that come next, read before it is their turn, so
// that what they lead to can be opened meanwhile.
type rowQueue struct {
	ring  []walked
	first int // of ring
	n     int // rows that wait
	seen  int // of those: looked at before their turn (see scanner.foresee)
	given int // rows whose turn came, that of now included
	taken bool
	most  int // rows that may be read before their turn
	ended bool
	err   error // why there is none behind them
}

// walked is one row of a walk: the tail of its key and its value. A posting's value
// is nil; that of a time row never is.
type walked struct {
	suffix [suffixSize]byte
	value  []byte
	room   [refSize]byte // that value is kept in
}

func newRowQueue(rows int) *rowQueue { return &rowQueue{ring: make([]walked, rows)} }

// next gives the row whose turn it is, valid until the next call; nil when there is
// none. An error is told when all rows before it have been given.
func (r *rowQueue) next(m *merged, posting bool) (*walked, error) {
	if r.taken {
		r.first, r.n, r.seen = (r.first+1)%len(r.ring), r.n-1, max(0, r.seen-1)
	}
	for r.taken = false; !r.ended && r.n < len(r.ring) && (r.n == 0 || r.most > 0); r.most-- {
		suffix, value, ok, err := m.next()
		if err != nil || !ok {
			r.ended, r.err = true, err
			break
		}
		r.at(r.n).set(suffix, value, posting)
		r.n++
	}
	if r.n == 0 {
		return nil, r.err
	}
	r.taken = true
	r.given++
	return r.at(0), nil
}

// at is the row that comes i rows after the one whose turn it is.
func (r *rowQueue) at(i int) *walked { return &r.ring[(r.first+i)%len(r.ring)] }

func (w *walked) set(suffix, value []byte, posting bool) {
	copy(w.suffix[:], suffix)
	switch {
	case posting:
		w.value = nil
	case len(value) <= len(w.room):
		w.value = append(w.room[:0], value...)
	default:
		w.value = bytes.Clone(value)
	}
}

// reset forgets all rows and keeps the memory.
func (r *rowQueue) reset() {
	clear(r.ring)
	*r = rowQueue{ring: r.ring}
}
