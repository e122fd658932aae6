package lease

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// world is a database and contenders, in one real time that none of them sees.
type world struct {
	t      *testing.T
	random *rand.Rand
	timing timing
	now    time.Duration

	holder  int // of the row; -1 nobody
	fence   uint64
	expires time.Duration

	nodes   []*node
	pending []*question
	written uint64 // the highest fence that a write was let in with
	grants  int
	calm    bool // nothing is lost or stopped any more
}

// node is one contender with a clock of its own.
type node struct {
	id      int
	state   contender
	offset  time.Duration
	rate    float64
	stopped time.Duration // until then it does nothing, as a process that was paused
}

func (n *node) clock(now time.Duration) time.Duration {
	return n.offset + time.Duration(float64(now)*n.rate)
}

// question is on its way to the database, or its answer is on its way back.
type question struct {
	from    *node
	do      action
	asked   time.Duration // on the node's clock, to know which question it answers
	fence   uint64
	arrives time.Duration
	done    bool
	answer  answer
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, random: rand.New(rand.NewPCG(seed, seed)), timing: timing{ttl: 15 * time.Second}, holder: -1}
	if w.random.IntN(2) == 0 {
		w.timing.poll = 200 * time.Millisecond
	}
	for id := range 2 + w.random.IntN(3) {
		w.nodes = append(w.nodes, &node{id: id, offset: time.Duration(w.random.Int64N(int64(1000 * time.Hour))), rate: 0.99 + 0.02*w.random.Float64()})
	}
	return w
}

func (w *world) chance(n int) bool { return !w.calm && w.random.IntN(n) == 0 }

func (w *world) tick() {
	w.now += time.Duration(w.random.Int64N(int64(300 * time.Millisecond)))
	var left []*question
	open := w.pending
	w.pending = nil
	for _, q := range open {
		switch {
		case q.arrives > w.now:
			left = append(left, q)
		case !q.done:
			w.serve(q)
			if q.arrives = w.now + w.delay(); !w.chance(10) { // else the answer is lost
				q.done = true
				left = append(left, q)
			} else {
				q.done, q.answer = true, answer{failed: true}
				q.arrives = w.now + w.timing.every()
				left = append(left, q)
			}
		case q.from.stopped > w.now:
			left = append(left, q)
		default:
			if q.from.state.asked == q.asked && (q.from.state.phase == asking || q.from.state.phase == renewing) {
				w.tell(q.from, &q.answer)
			}
		}
	}
	w.pending = append(w.pending, left...)
	w.alive()
}

// alive lets the nodes do something of their own.
func (w *world) alive() {
	for _, n := range w.nodes {
		if n.stopped > w.now {
			continue
		}
		if w.chance(400) {
			n.stopped = w.now + time.Duration(w.random.Int64N(int64(40*time.Second)))
			continue
		}
		w.tell(n, nil)
		w.write(n)
	}
}

func (w *world) delay() time.Duration {
	if w.chance(20) {
		return time.Duration(w.random.Int64N(int64(30 * time.Second)))
	}
	return time.Duration(w.random.Int64N(int64(time.Second)))
}

func (w *world) tell(n *node, a *answer) {
	var do action
	n.state, do = w.timing.step(n.state, input{now: n.clock(w.now), answer: a})
	if do == rest {
		return
	}
	q := &question{from: n, do: do, asked: n.state.asked, fence: n.state.fence, arrives: w.now + w.delay()}
	if w.chance(10) { // it never arrives, and the node hears so
		q.done, q.answer, q.arrives = true, answer{failed: true}, w.now+w.timing.every()
	}
	w.pending = append(w.pending, q)
}

// serve is what the database does, by its own clock, which is the real one here.
func (w *world) serve(q *question) {
	switch {
	case q.do == acquire && (w.holder == -1 || w.now > w.expires):
		w.holder, w.fence, w.expires = q.from.id, w.fence+1, w.now+w.timing.ttl
		w.grants++
		q.answer = answer{granted: true, fence: w.fence}
	case q.do == renew && w.holder == q.from.id && w.fence == q.fence:
		w.expires = w.now + w.timing.ttl
		q.answer = answer{granted: true, fence: w.fence}
	}
}

// write is a fenced write of a node that thinks it holds the lease.
func (w *world) write(n *node) {
	if !n.state.holds(n.clock(w.now)) {
		return
	}
	if n.state.fence != w.fence {
		w.t.Errorf("at %s node %d works under fence %d while the lease has gone on to %d", w.now, n.id, n.state.fence, w.fence)
	}
	if n.state.fence < w.written {
		w.t.Errorf("at %s a write of fence %d came after one of %d", w.now, n.state.fence, w.written)
	}
	w.written = n.state.fence
}

func (w *world) holders() (out int) {
	for _, n := range w.nodes {
		if n.stopped <= w.now && n.state.holds(n.clock(w.now)) {
			out++
		}
	}
	return out
}

// No two contenders work at once, whatever is lost, late or stopped, and when
// nothing is any more one of them works soon and goes on.
func TestOneHolderAtATime(t *testing.T) {
	seeds := uint64(300)
	if n, err := strconv.ParseUint(os.Getenv("DOMICILE_SEEDS"), 10, 64); err == nil {
		seeds = n
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, seed)
			for range 6000 {
				w.tick()
				if w.holders() > 1 {
					t.Fatalf("at %s %d nodes hold the lease", w.now, w.holders())
				}
				if t.Failed() {
					return
				}
			}
			w.calm = true
			for end := w.now + 3*time.Minute; w.now < end; {
				w.tick()
			}
			if w.holders() != 1 {
				t.Fatalf("in a calm %d nodes hold the lease", w.holders())
			}
			before := w.grants
			for end := w.now + 10*time.Minute; w.now < end; {
				w.tick()
			}
			if w.grants != before || w.grants < 2 {
				t.Fatalf("%d changes of hands, %d of them in a calm", w.grants, w.grants-before)
			}
		})
	}
}
