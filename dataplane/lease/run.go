package lease

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/internal/kernel"
	"github.com/domicile-io/domicile/policy"
)

// Book is where leases stand, by a clock of its own. dataplane/shelf/sql keeps
// one in the region's database.
type Book interface {
	// Acquire gives a lease for ttl from now on when nobody has it, with a fencing
	// number above every earlier one.
	Acquire(ctx context.Context, name Name, holder string, ttl time.Duration) (fence uint64, granted bool, err error)
	// Renew lets a lease last ttl from now on, if the holder still has it.
	Renew(ctx context.Context, name Name, holder string, fence uint64, ttl time.Duration) (granted bool, err error)
	// Release gives it back. One that is another's is left alone.
	Release(ctx context.Context, name Name, holder string, fence uint64) error
}

// Options of Contend. Book and Node are required.
type Options struct {
	Book    Book
	Node    string                // who contends, for the operator to read
	TTL     time.Duration         // 0: DefaultTTL
	Elapsed func() time.Duration  // a clock that does not jump; nil: CLOCK_BOOTTIME
	Logger  *slog.Logger          // nil discards
	Metrics prometheus.Registerer // nil: none
}

// Shared contends with other nodes for leases.
type Shared struct {
	o    Options
	held *prometheus.GaugeVec
	lost prometheus.Counter
}

var _ Leases = (*Shared)(nil)

// Contend makes the leases of a node that shares its region with others.
func Contend(o Options) *Shared {
	if o.TTL <= 0 {
		o.TTL = DefaultTTL
	}
	if o.Elapsed == nil {
		o.Elapsed = bootTime
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Shared{o: o,
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "domicile_lease_held",
			Help: "1 while this node does what one node of its region at a time may do."}, []string{"lease"}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{Name: "domicile_leases_lost_total",
			Help: "Leases that this node lost while it worked under them: its database was away, or it was stopped."})}
	if o.Metrics != nil {
		o.Metrics.MustRegister(s.held, s.lost)
		for _, n := range []Name{Retention, Erasures, Sweep, Scrub, Merge, Exports, Keys} {
			s.held.WithLabelValues(string(n)).Set(0)
		}
	}
	return s
}

// bootTime goes on while the machine sleeps, as the database's clock does.
func bootTime() time.Duration { return kernel.BootTime() }

// claim is one contender as it runs.
type claim struct {
	s      *Shared
	timing timing
	name   Name
	holder string
	state  contender
}

func (s *Shared) claim(name Name, poll time.Duration) (*claim, error) {
	if !name.Valid() {
		return nil, policy.Errorf(policy.Internal, "%q is no name of a lease", string(name))
	}
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	return &claim{s: s, timing: timing{ttl: s.o.TTL, poll: poll}, name: name, holder: s.o.Node + "/" + hex.EncodeToString(id[:])}, nil
}

// advance takes the state as far as it goes now, asking what is to be asked. A
// question is given up when what is held would run out meanwhile.
func (c *claim) advance(ctx context.Context) {
	in := input{now: c.s.o.Elapsed()}
	for {
		var do action
		c.state, do = c.timing.step(c.state, in)
		if do == rest {
			return
		}
		limit := c.timing.every()
		if do == renew {
			limit = min(limit, c.state.until-in.now)
		}
		a := c.ask(ctx, do, limit)
		in = input{now: c.s.o.Elapsed(), answer: &a}
	}
}

func (c *claim) ask(ctx context.Context, do action, limit time.Duration) (a answer) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var err error
	if do == acquire {
		a.fence, a.granted, err = c.s.o.Book.Acquire(ctx, c.name, c.holder, c.s.o.TTL)
	} else {
		a.granted, err = c.s.o.Book.Renew(ctx, c.name, c.holder, c.state.fence, c.s.o.TTL)
	}
	if err != nil {
		c.s.o.Logger.Debug("a lease could not be asked for", "lease", string(c.name), "cause", err)
		return answer{failed: true}
	}
	return a
}

func (c *claim) holds() bool { return c.state.holds(c.s.o.Elapsed()) }

// pause waits for the next step.
func (c *claim) pause(ctx context.Context) {
	t := time.NewTimer(max(time.Millisecond, c.state.next-c.s.o.Elapsed()))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// win waits until the lease is held.
func (c *claim) win(ctx context.Context) error {
	for {
		c.advance(ctx)
		if c.holds() {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.pause(ctx)
	}
}

// keep renews until done ends or the lease is lost.
func (c *claim) keep(done context.Context) {
	for done.Err() == nil {
		c.pause(done)
		if done.Err() != nil {
			return
		}
		c.advance(done)
		if !c.holds() && done.Err() == nil {
			c.s.lost.Inc()
			c.s.o.Logger.Warn("a lease is lost; its work stops on this node", "lease", string(c.name))
			return
		}
	}
}

// give returns the lease, so that others need not wait for its end.
func (c *claim) give() {
	ctx, cancel := context.WithTimeout(context.Background(), c.timing.every())
	defer cancel()
	if err := c.s.o.Book.Release(ctx, c.name, c.holder, c.state.fence); err != nil {
		c.s.o.Logger.Debug("a lease could not be given back; it ends by itself", "lease", string(c.name), "cause", err)
	}
}

// Hold implements Leases.
func (s *Shared) Hold(ctx context.Context, name Name) (context.Context, func(), error) {
	return s.hold(ctx, name, soon)
}

// soon is how often a lease is asked for that somebody waits for.
const soon = 200 * time.Millisecond

func (s *Shared) hold(ctx context.Context, name Name, poll time.Duration) (context.Context, func(), error) {
	c, err := s.claim(name, poll)
	if err != nil {
		return nil, nil, err
	}
	if err := c.win(ctx); err != nil {
		c.give() // it may have been given to a question that was cut short
		return nil, nil, err
	}
	fence := Fence{Name: name, Number: c.state.fence}
	held, cancel := context.WithCancel(context.WithValue(ctx, fenceKey{}, fence))
	ended := make(chan struct{})
	go func() { defer close(ended); defer cancel(); c.keep(held) }()
	return held, sync.OnceFunc(func() { cancel(); <-ended; c.give() }), nil
}

// Run implements Leases.
func (s *Shared) Run(ctx context.Context, name Name, work func(context.Context)) {
	gauge := s.held.WithLabelValues(string(name))
	for ctx.Err() == nil {
		held, release, err := s.hold(ctx, name, 0)
		if err != nil {
			return // ctx ended
		}
		s.o.Logger.Info("this node takes over", "lease", string(name), "fence", FenceOf(held).Number)
		gauge.Set(1)
		work(held)
		gauge.Set(0)
		lost := held.Err() != nil
		release()
		if !lost {
			return // it was done
		}
	}
}
