package server

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/domicile-io/domicile/controlplane/replica"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// maxSightings bounds the violations that wait to be written.
const maxSightings = 1024

// sighting is one time that something was seen to be against the rules.
type sighting struct {
	category string // of the contract's closed list
	cause    string // of our own
	resource string // a node's id, or that of what a node keeps
	actor    string // the node whose doing it is, when it is not the resource
	revision uint64
}

type offence struct{ category, resource string }

// offences is what was seen of one violation since it was last written.
type offences struct {
	sighting
	count    uint64 // sightings; 0: none
	resolved bool   // and then its cause went
}

// recorder writes violations into the replicated state, at most one write for
// each and interval, so that a noisy node does not fill the log. It works on
// the leader only, and what it could not write it tries again.
type recorder struct {
	store   *store.Store
	replica *replica.Replica
	every   time.Duration
	warn    func(msg string, args ...any)

	mu      sync.Mutex
	queue   map[offence]offences
	written map[offence]time.Time // forgotten after the interval
	wake    chan struct{}         // holds one token
}

func newRecorder(o Options) *recorder {
	return &recorder{store: o.Store, replica: o.Replica, every: o.ViolationsApart, warn: o.Logger.Warn,
		queue: map[offence]offences{}, written: map[offence]time.Time{}, wake: make(chan struct{}, 1)}
}

// see notes a sighting.
func (r *recorder) see(s sighting) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := offence{s.category, s.resource}
	w, ok := r.queue[key]
	if !ok && len(r.queue) >= maxSightings {
		return // it will be seen again
	}
	r.queue[key] = offences{sighting: s, count: w.count + 1}
	r.poke()
}

// resolve notes that the cause of a violation, if there is one, has gone.
func (r *recorder) resolve(category, resource string) { r.resolveBy("", category, resource) }

// resolveBy is resolve on the word of a node that is not the resource itself.
func (r *recorder) resolveBy(actor, category, resource string) {
	holds, err := r.store.Holds(category, resource)
	r.mu.Lock()
	defer r.mu.Unlock()
	key := offence{category, resource}
	w, waits := r.queue[key]
	_, recent := r.written[key] // what is being written does not stand in the state yet
	if !waits && !recent && (err != nil || !holds) || len(r.queue) >= maxSightings {
		return
	}
	w.category, w.resource, w.resolved, w.actor = category, resource, true, cmp.Or(w.actor, actor)
	r.queue[key] = w
	r.poke()
}

func (r *recorder) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run writes until ctx ends.
func (r *recorder) run(ctx context.Context) {
	look := time.NewTicker(min(r.every, time.Second))
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-look.C:
		}
		for _, w := range r.due(time.Now()) {
			if err := r.write(ctx, w); err != nil {
				r.warn("a violation could not be recorded; it is tried again", "category", w.category, "resource", w.resource, "cause", err.Error())
				r.again(w)
			}
		}
	}
}

// due takes what may be written now; nothing of a voter that does not lead.
func (r *recorder) due(now time.Time) (out []offences) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.replica.IsLeader() {
		clear(r.queue)
		return nil
	}
	for key, at := range r.written {
		if now.Sub(at) >= r.every {
			delete(r.written, key)
		}
	}
	for key, w := range r.queue {
		if _, soon := r.written[key]; !soon {
			r.written[key] = now
			delete(r.queue, key)
			out = append(out, w)
		}
	}
	return out
}

// again puts back what could not be written, unless it was seen since.
func (r *recorder) again(w offences) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := offence{w.category, w.resource}
	if have, ok := r.queue[key]; ok {
		have.count += w.count
		r.queue[key] = have
	} else {
		r.queue[key] = w
	}
}

// write proposes a sighting, and then that it is over. One that was both seen
// and over since the last write costs two writes and stands in the list.
func (r *recorder) write(ctx context.Context, w offences) error {
	stamp := store.Stamp{Now: time.Now().UTC(), Actor: cmp.Or(w.actor, w.resource)} // the node whose doing it is
	propose := func(p store.SettleViolation) error {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		res, err := r.replica.Propose(ctx, store.Command{Stamp: stamp, Payload: p})
		if err == nil && res.Err != nil {
			err = res.Err
		}
		return err
	}
	if w.count > 0 {
		id, err := draw(policy.KindViolation)
		if err != nil {
			return err
		}
		if err := propose(store.SettleViolation{To: store.ViolationOpen, ID: id, Category: w.category, Cause: w.cause,
			Resource: w.resource, Revision: w.revision, Count: w.count}); err != nil {
			return err
		}
	}
	if !w.resolved {
		return nil
	}
	return propose(store.SettleViolation{To: store.ViolationResolved, Category: w.category, Resource: w.resource})
}
