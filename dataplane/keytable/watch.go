package keytable

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// expire drops what is held when its time is over. The caller holds t.mu.
func (t *Table) expire() {
	if t.sheet != nil && t.o.Elapsed() >= t.until {
		t.drop()
		cause := ""
		if t.away != nil {
			cause = t.away.Error()
		}
		t.log.Error("the key service has been away too long; keys are dropped and requests refused until it is back", "held_for", policy.KeysFor.String(), "cause", cause)
	}
}

// drop forgets what is held. A sheet that another goroutine works with is left to
// the garbage collector.
func (t *Table) drop() {
	t.sheet = nil
	for i := range t.ready {
		clear(t.ready[i].key[:])
	}
	t.ready = nil
	t.cache.Purge()
	t.named.Purge()
}

// watch asks custodian and shelf again and again whether they are there, which
// lets what is held live on.
func (t *Table) watch(ctx context.Context) {
	tick := time.NewTicker(t.o.Refresh)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := t.reload(ctx)
		t.cache.Sweep(t.o.Elapsed())
		t.named.Sweep(t.o.Elapsed())
		if err == nil || ctx.Err() != nil {
			continue
		}
		t.mu.Lock()
		if t.away == nil {
			t.log.Error("the key service or its database does not answer; what is held lives on for a while", "custodian", t.o.Custodian.Kind(), "held_for", policy.KeysFor.String(), "cause", err.Error())
		}
		t.away = &policy.Error{Reason: policy.NotReady, Cause: err, Message: "the key service or its database does not answer; see the node's log"}
		t.expire()
		t.mu.Unlock()
	}
}

// work rotates and finishes destructions, on the one node that may.
func (t *Table) work(ctx context.Context) {
	tick := time.NewTicker(t.o.Refresh)
	defer tick.Stop()
	for ctx.Err() == nil {
		t.chores(ctx)
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-t.wake:
		}
	}
}

// chores rotates when it is time, else finishes what is left to destroy. All of it
// is under the one lease of whoever changes generations, that of Rotate.
func (t *Table) chores(ctx context.Context) {
	why, err := t.due()
	if err == nil {
		err = t.alone(ctx, func(held context.Context) error {
			if why != "" {
				return t.turn(held)
			}
			return t.retireOld(held)
		})
	}
	if err != nil && ctx.Err() == nil {
		t.log.Error("keys were not rotated, or an old generation is not destroyed; it is tried again", "why", why, "cause", err.Error())
	}
}

// due reports why a rotation is due, "" when none is.
func (t *Table) due() (why string, err error) {
	s, err := t.holding()
	if err != nil {
		return "", err
	}
	if !t.mayTry() {
		return "", nil
	}
	asked := false
	if err := t.o.Shelf.View(func(tx shelf.Tx) error {
		v, err := tx.Get(bucketState, stateAsked)
		asked = v != nil
		return err
	}); err != nil {
		return "", err
	}
	age := t.o.Now().Sub(s.created)
	switch {
	case asked && age >= t.o.RotateSpacing:
		return "asked for", nil
	case t.o.RotateEvery > 0 && age >= t.o.RotateEvery:
		return "by schedule", nil
	}
	return "", nil
}

// Retire implements store.Keys.
func (t *Table) Retire() (gen uint64, err error) {
	err = t.o.Shelf.Update(func(tx shelf.Tx) error {
		if err := tx.Put(bucketState, stateAsked, nil); err != nil {
			return err
		}
		at, err := tx.Get(bucketState, statePlanned) // what was destroyed lately may be in the sheet that is being written
		if err == nil && at == nil {
			at, err = tx.Get(bucketState, stateCurrent)
		}
		gen = numberIn(at)
		return err
	})
	select {
	case t.wake <- struct{}{}:
	default:
	}
	return gen, err
}

// fate is what became of a generation.
type fate struct {
	Created   time.Time `json:"created,omitzero"`
	Retired   time.Time `json:"retired,omitzero"`
	Destroyed time.Time `json:"destroyed,omitzero"`
	Final     time.Time `json:"final,omitzero"`
	Copied    remains   `json:"copied,omitempty"` // what the table's copy may still hold of it
}

// Fate implements store.Keys.
func (t *Table) Fate(gen uint64) (store.KeyFate, error) {
	all, current, err := t.fates()
	if err != nil {
		return store.KeyFate{}, err
	}
	if gen == 0 || gen > current+1 {
		return store.KeyFate{}, policy.Errorf(policy.Internal, "key generation %d is not in this key table: is it the table of these records?", gen)
	}
	return fateOf(all, gen), nil
}

// fates are those of all generations, from 1 on.
func (t *Table) fates() (out []fate, current uint64, err error) {
	err = t.o.Shelf.View(func(tx shelf.Tx) error {
		out = nil
		at, err := tx.Get(bucketState, stateCurrent)
		if err != nil {
			return err
		}
		current = numberIn(at)
		return tx.Ascend(bucketFates, nil, nil, func(k, v []byte) error {
			var f fate
			if err := unmarshal(v, &f); err != nil || numberIn(k) != uint64(len(out))+1 {
				return errors.Join(err, errChanged)
			}
			out = append(out, f)
			return nil
		})
	})
	return out, current, err
}

// Generations is what became of every generation, oldest first; none while the
// shelf does not answer.
func (t *Table) Generations() []store.KeyFate {
	all, _, err := t.fates()
	if err != nil {
		return nil
	}
	out := make([]store.KeyFate, 0, len(all))
	for gen := range all {
		out = append(out, fateOf(all, uint64(gen)+1))
	}
	return out
}

// fateOf adds what only all generations together say: when one is final.
func fateOf(all []fate, gen uint64) store.KeyFate {
	out := store.KeyFate{Generation: gen}
	if gen > uint64(len(all)) { // it is about to begin
		return out
	}
	f := all[gen-1]
	out.Created, out.Retired, out.Destroyed = f.Created, f.Retired, f.Destroyed
	for _, f := range all[:gen] {
		if f.Destroyed.IsZero() || f.Copied != "" {
			out.Final = time.Time{}
			break
		}
		for _, at := range []time.Time{f.Final, f.Destroyed.Add(policy.KeysFor)} {
			if at.After(out.Final) {
				out.Final = at
			}
		}
	}
	return out
}

func unmarshal(raw []byte, v any) error {
	if json.Unmarshal(raw, v) != nil {
		return errChanged
	}
	return nil
}

// turns remembers how this node's rotations went.
type turns struct {
	done, total       uint64
	succeeded, failed uint64
	last, tried       time.Time
	took              time.Duration
	err               error
	inRow             int
	rotating          bool
}

const maxRetry = time.Hour

func (t *Table) progress(done, total uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turns.done, t.turns.total, t.turns.rotating = done, total, total > 0
}

func (t *Table) advance(n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turns.done += n
}

func (t *Table) turned(err error, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.o.Now().UTC()
	if t.turns.err = err; err != nil {
		t.turns.failed++
		t.turns.inRow++
		t.turns.tried = now
		return
	}
	t.turns.succeeded++
	t.turns.last, t.turns.took, t.turns.inRow = now, took, 0
}

// mayTry waits longer after each failure: a key service that makes a key for
// each attempt must not be filled with them.
func (t *Table) mayTry() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.turns.err == nil {
		return true
	}
	since := t.o.Now().Sub(t.turns.tried)
	return since < 0 || since >= min(maxRetry, time.Minute<<min(t.turns.inRow-1, 10))
}

// Status is what an operator wants to know.
func (t *Table) Status() local.Status {
	all, current, err := t.fates()
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.o.Now().UTC()
	s := local.Status{Custodian: t.o.Custodian.Kind(), Generation: current, Cached: t.cache.Len(), Service: "up", Copy: "none",
		Rotating: t.turns.rotating, Done: t.turns.done, Total: t.turns.total, Rotations: t.turns.succeeded, LastRotation: t.turns.last, LastTook: t.turns.took}
	if t.turns.err != nil {
		s.LastError = t.turns.err.Error()
	}
	if t.copying() {
		s.Copy, s.Verified = t.o.Copy.Status()
	}
	t.expire()
	switch {
	case err != nil:
		s.Service = err.Error()
	case t.sheet == nil:
		s.Service = "keys are no longer held"
	case t.away != nil:
		s.Service = t.away.Error()
	}
	if t.sheet != nil {
		s.Created, s.Tables = t.sheet.created, len(t.sheet.Tables)
		if s.Generation == 0 {
			s.Generation = t.sheet.generation
		}
		if t.o.RotateEvery > 0 {
			s.NextTime = s.Created.Add(t.o.RotateEvery)
		}
		s.HeldFor = max(0, t.until-t.o.Elapsed())
		s.HeldSecs = int64(s.HeldFor / time.Second)
	}
	for gen := uint64(1); gen < min(current, uint64(len(all))); gen++ {
		if f := fateOf(all, gen); !f.IsFinal(now) {
			s.Pending = append(s.Pending, f)
		}
	}
	return s
}
