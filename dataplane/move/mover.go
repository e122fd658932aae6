package move

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/domicile-io/domicile/api"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/sealed"
	"github.com/domicile-io/domicile/policy"
)

// Mover moves one store. Run it once.
type Mover struct {
	o   Options
	now chan struct{} // closed by Switch
	ask sync.Once

	mu      sync.Mutex
	status  Status
	pending localstore.Changes // that were given out and are not in the database yet

	pressed int // changes from which on writers are slowed down

	later uint64 // rows that were read back since the comparison began
	sums  []Sum  // of the last comparison
}

// New prepares a move.
func New(o Options) (*Mover, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	return &Mover{o: o, now: make(chan struct{}), status: Status{Phase: Copying, Began: now, Progress: now}}, nil
}

// Switch lets a move that waits for it, or will, make the database the region's.
func (m *Mover) Switch() { m.ask.Do(func() { close(m.now) }) }

// Run moves the store. With nil the database is the region's and the store is
// shut for good: the process should end. With an error everything is as it was,
// and what is in the database is there for the next try. When the database does
// not answer, it waits and goes on, until ctx ends.
func (m *Mover) Run(ctx context.Context) (err error) {
	if !m.o.Hold {
		m.Switch()
	}
	if err := m.o.Records.Follow(noteKeys); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			m.o.Records.Unfollow()
		}
	}()
	for {
		err := m.once(ctx)
		if !errors.Is(err, errLost) {
			return err
		}
		m.o.Logger.Warn("more rows changed than are noted; the pass over the store begins anew", "most", noteKeys)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// once copies, compares, follows and switches.
func (m *Mover) once(ctx context.Context) error {
	m.phase(Copying)
	m.press(pressAt)
	if err := m.newPass(false).run(ctx); err != nil {
		return err
	}
	if err := m.again(ctx, func() error { _, err := m.shelves(ctx, false); return err }); err != nil {
		return err
	}
	if err := m.o.Step("copied"); err != nil {
		return err
	}
	if err := m.compareAll(ctx); err != nil {
		return err
	}
	if err := m.o.Step("compared"); err != nil {
		return err
	}
	m.phase(Following)
	if err := m.follow(ctx); err != nil {
		return err
	}
	return m.pause(ctx)
}

func (m *Mover) compareAll(ctx context.Context) error {
	m.phase(Comparing)
	m.later = 0
	p := m.newPass(true)
	err := p.run(ctx)
	m.sums = p.sums
	return err
}

func (m *Mover) phase(p Phase) {
	m.set(func(s *Status) { s.Phase = p })
	m.o.Logger.Info("the region's store moves to its database", "phase", string(p))
}

// follow keeps the database up with the store until Switch was called and little
// is left to do.
func (m *Mover) follow(ctx context.Context) error {
	tick := time.NewTicker(followFor)
	defer tick.Stop()
	for rounds := 0; ; {
		if err := m.again(ctx, func() error { return m.catchUp(ctx) }); err != nil {
			return err
		}
		select {
		case <-m.now:
			m.press(fewChanges / 2)
			if rounds++; m.o.Records.Changed() <= fewChanges || rounds > maxFollow {
				return nil
			}
			continue
		default:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-m.now:
		}
	}
}

func (m *Mover) catchUp(ctx context.Context) error {
	at, err := m.moment()
	if err != nil {
		return err
	}
	return errors.Join(m.apply(ctx, at, nil, true), at.Close())
}

// pause shuts everything, brings the rest over and hands it over.
func (m *Mover) pause(ctx context.Context) (err error) {
	m.phase(Pausing)
	why := (&policy.Error{Reason: policy.NotReady, Message: "the region moves to its database; nothing was changed; send this again in a moment"}).With(api.RetryAfterKey, strconv.Itoa(1))
	began := time.Now()
	defer func() {
		if err != nil {
			m.thaw()
			m.o.Logger.Warn("the switch has failed, and the node goes on as before", "cause", err.Error(), "pause", time.Since(began).String())
		}
	}()
	limited, cancel := context.WithTimeoutCause(ctx, m.o.MaxPause, fmt.Errorf("the pause would have been longer than %s: switch at a quieter time, or give --max-pause", m.o.MaxPause))
	defer cancel()
	r, err := m.paused(limited, why)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		err = context.Cause(limited)
	}
	if err != nil {
		return err
	}
	r.Pause = time.Since(began)
	m.set(func(s *Status) { s.Phase, s.Report = Switched, r }) // from here on it is read and not changed
	return nil
}

func (m *Mover) paused(ctx context.Context, why *policy.Error) (*Report, error) {
	if err := errors.Join(m.o.Freeze(why), ctx.Err()); err != nil { // it may wait for a rotation of keys
		return nil, err
	}
	m.o.Records.Shut(why)
	for _, s := range m.o.Shelves {
		if err := s.From.Shut(why); err != nil {
			return nil, err
		}
	}
	if err := m.o.Step("shut"); err != nil {
		return nil, err
	}
	if err := m.catchUp(ctx); err != nil {
		return nil, err
	}
	if err := m.stand(); err != nil {
		return nil, err
	}
	later := m.later
	if m.o.Full {
		if err := m.compareAll(ctx); err != nil {
			return nil, err
		}
		m.phase(Pausing)
		later = 0
	}
	r := &Report{Began: m.status.Began, Tables: m.sums, Later: later, Paused: m.o.Full}
	for _, t := range m.sums {
		r.Rows, r.Bytes = r.Rows+t.Rows, r.Bytes+t.Bytes
	}
	var err error
	if r.Shelves, err = m.shelves(ctx, true); err != nil {
		return nil, err
	}
	if err := errors.Join(m.o.Step("caught up"), ctx.Err()); err != nil {
		return nil, err
	}
	r.Switched = time.Now().UTC()
	return r, m.o.Hand(ctx, r)
}

// stand tells the database when each tenant's latest group was.
func (m *Mover) stand() error {
	at, err := m.moment()
	if err != nil {
		return err
	}
	defer at.Close()
	last, err := sealed.LastGroups(at.Rows)
	if err != nil {
		return damaged(err)
	}
	return m.o.Rows.Stand(last)
}

// thaw opens again what paused has shut.
func (m *Mover) thaw() {
	for _, s := range m.o.Shelves {
		_ = s.From.Shut(nil) // an empty change that cannot fail but with its disk
	}
	m.o.Thaw()
	m.o.Records.Shut(nil)
	m.press(0)
}

// again repeats work while the database does not answer.
func (m *Mover) again(ctx context.Context, work func() error) error {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := work()
		if err == nil || ctx.Err() != nil || !passes(err) {
			m.set(func(s *Status) { s.Problem = "" })
			m.o.Records.Press(m.pressed)
			return errors.Join(err, ctx.Err())
		}
		m.set(func(s *Status) { s.Problem = err.Error() })
		m.o.Records.Press(0) // a region does not wait for a database that it does not use yet
		m.o.Logger.Warn("the move of the region's store waits and tries again", "in", wait.String(), "cause", err)
		sleep(ctx, wait)
	}
}

func (m *Mover) press(n int) {
	m.pressed = n
	m.o.Records.Press(n)
}

// passes reports whether an error may go away by itself.
func passes(err error) bool {
	if errors.Is(err, errLost) {
		return false
	}
	for _, reason := range []policy.Reason{policy.NotReady, policy.Overloaded, policy.OutcomeUnknown, policy.StorageFull} {
		if errors.Is(err, &policy.Error{Reason: reason}) {
			return true
		}
	}
	return false
}

// part is how many bytes one part of a pass reads, about: with a rate, those of a
// quarter of a second.
func (m *Mover) part() int {
	if m.o.Rate > 0 {
		return int(max(1, min(m.o.Rate/4, partBytes)))
	}
	return partBytes
}

// throttle keeps a pass to its rate.
func (m *Mover) throttle(ctx context.Context, read uint64, took time.Duration) {
	if m.o.Rate > 0 {
		sleep(ctx, time.Duration(float64(read)/float64(m.o.Rate)*float64(time.Second))-took)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
