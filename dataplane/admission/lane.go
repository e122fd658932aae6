package admission

import (
	"slices"
	"time"
)

// lane is the turns of one kind of work, and who waits for one.
type lane struct {
	number   Lane
	capacity int64
	most     int64 // what one tenant may have of it
	holders  int   // tenants that have turns
	room     int64 // what is handed out now: less than capacity while turns take long
	used     int64
	clock    int64      // virtual time: the start tag of the latest grant
	busy     []*account // those with somebody waiting, in the order in which they began to wait
}

// unpaced is how many times a lane's capacity may wait before it is known how fast
// it goes.
const unpaced = 8

// share is one tenant's part of one lane.
type share struct {
	places int
	used   int64
	finish int64 // virtual time at which it has had its part
	queue  []*request
	queued int64 // weight in queue
	pace   pace
}

// pace is how fast a queue goes while somebody stands in it.
type pace struct {
	began time.Duration // when it was empty, or later: what is old counts half
	given int64         // weight that got turns since
}

const paceOver = time.Second

// of is how long so much weight will wait; 0: not known yet.
func (p *pace) of(weight int64, now time.Duration) time.Duration {
	if p.given == 0 {
		return 0
	}
	return time.Duration(float64(now-p.began) * float64(weight) / float64(p.given))
}

func (p *pace) give(weight int64, now time.Duration) {
	p.given += weight
	if age := now - p.began; age > paceOver {
		p.began, p.given = p.began+age/2, p.given/2
	}
}

// stands reports whether a tenant's queue takes no more, and when to come again: it
// is full, or somebody in it has waited for longer than the target, or whoever comes
// now would. A tenant with no more than its part of the lane, beside others, may wait ten times as
// long: its turn comes soon, and the overload is others'. So may one that has more
// at the moment, as whoever sends at random moments does now and then, while no more
// of it waits than its part of two lanes, which is all that may wait so, together.
func (l *lane) stands(a *account, now, target time.Duration) (time.Duration, bool) {
	s := &a.lanes[l.number]
	if len(s.queue) == 0 {
		return 0, false
	}
	if len(s.queue) >= maxQueued || s.pace.given == 0 && s.queued > unpaced*l.capacity {
		return time.Second, true
	}
	if n := int64(max(len(l.busy), l.holders)); n > 1 && (s.used*n <= l.used || s.queued*n <= 2*l.capacity) {
		target *= 10
	}
	return time.Second, max(now-s.queue[0].since, s.pace.of(s.queued, now)) > target
}

// push lets a request wait. One that had a turn before stands before those that
// have not: it holds memory and its client's patience.
func (l *lane) push(r *request) {
	s := &r.of.lanes[l.number]
	if len(s.queue) == 0 {
		l.busy = append(l.busy, r.of)
		s.pace = pace{began: r.since}
	}
	at := len(s.queue)
	if r.state == returning {
		at = slices.IndexFunc(s.queue, func(q *request) bool { return q.state == waiting })
		if at < 0 {
			at = len(s.queue)
		}
	}
	s.queue = slices.Insert(s.queue, at, r)
	s.queued += r.ask.Weight
}

func (l *lane) remove(r *request) {
	s := &r.of.lanes[l.number]
	i := slices.Index(s.queue, r)
	s.queue = slices.Delete(s.queue, i, i+1)
	s.queued -= r.ask.Weight
	if len(s.queue) == 0 {
		s.queue = nil
		i = slices.Index(l.busy, r.of)
		l.busy = slices.Delete(l.busy, i, i+1)
	}
}

// next is whose turn it is: the first in the queue of the tenant that has least
// turns now, and of those the one that has had least; of those that may have more.
// nil: nobody's, or there is no room for it; then nobody who needs less goes
// before it, or it would wait for ever.
func (l *lane) next(fits func(*request) bool) *request {
	var best *request
	var used, tag int64
	for _, a := range l.busy {
		s := &a.lanes[l.number]
		r := s.queue[0]
		if s.used > 0 && s.used+r.ask.Weight > min(l.most, l.room*3/4) || !fits(r) {
			continue
		}
		t := max(l.clock, s.finish)
		if best == nil || s.used < used || s.used == used && t < tag {
			best, used, tag = r, s.used, t
		}
	}
	if best == nil || l.used+best.ask.Weight > l.capacity || l.used > 0 && l.used+best.ask.Weight > l.room {
		return nil
	}
	return best
}

// grant gives r, which next has named, its turn.
func (l *lane) grant(r *request, now time.Duration) {
	s := &r.of.lanes[l.number]
	r.turned = now
	s.pace.give(r.ask.Weight, now)
	l.clock = max(l.clock, s.finish)
	s.finish = l.clock + r.ask.Weight
	if s.used == 0 {
		l.holders++
	}
	s.used += r.ask.Weight
	l.used += r.ask.Weight
	l.remove(r)
}

// longTurn is what a turn should take at most. When turns take longer, processors
// or disk are shared by too many; fewer at once do as much, and whoever comes next,
// be it to be refused, finds a processor sooner.
const longTurn = 250 * time.Millisecond

// learn takes a turn's time, of a request that did not wait for its client: the
// room shrinks by a sixteenth for each long one, down to half of the
// capacity, and grows by a quarter of the weight of each other.
func (l *lane) learn(r *request, now time.Duration) {
	if now-r.turned > longTurn {
		l.room = max(l.room-l.room/16, (l.capacity+1)/2)
		return
	}
	l.room = min(l.room+(r.ask.Weight+3)/4, l.capacity)
}

func (l *lane) giveBack(r *request) {
	l.used -= r.ask.Weight
	s := &r.of.lanes[l.number]
	if s.used -= r.ask.Weight; s.used == 0 {
		l.holders--
	}
}
