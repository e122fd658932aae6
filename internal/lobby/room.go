package lobby

import (
	"slices"
	"time"
)

// seated waits until there is room for one more and gives it the room; false
// when the listener ends meanwhile.
func (l *Listener) seated(g *guest) bool {
	for {
		wait, ok := l.seat(g)
		if ok {
			return true
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-l.left:
		case <-l.closed:
			timer.Stop()
			return false
		}
		timer.Stop()
	}
}

// seat gives a guest room, and puts somebody out when that is due; else it says
// when it will be.
func (l *Listener) seat(g *guest) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return time.Hour, false
	default:
	}
	g.since = time.Now()
	if len(l.waiting) >= l.o.Waiting {
		first := l.first()
		if wait = l.o.Grace - time.Since(first.since); wait > 0 {
			return wait, false
		}
		first.out = true
		_ = first.seat.Close()
		l.remove(first)
	}
	l.waiting = append(l.waiting, g)
	return 0, true
}

// first is whom to put out: of the address that has most connections here, the
// one that has been here longest.
func (l *Listener) first() *guest {
	count := map[string]int{}
	for _, g := range l.waiting {
		count[g.from]++
	}
	best := l.waiting[0]
	for _, g := range l.waiting[1:] {
		if count[g.from] > count[best.from] {
			best = g
		}
	}
	return best
}

func (l *Listener) remove(g *guest) {
	if i := slices.Index(l.waiting, g); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
}

// leave frees a guest's room.
func (l *Listener) leave(g *guest) {
	l.mu.Lock()
	l.remove(g)
	l.mu.Unlock()
	select {
	case l.left <- struct{}{}:
	default:
	}
}

func (l *Listener) putOut(g *guest) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return g.out
}

// InLobby is how many connections wait.
func (l *Listener) InLobby() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting)
}
