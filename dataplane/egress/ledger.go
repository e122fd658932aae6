package egress

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// key says what is counted together.
type key struct {
	class       policy.EgressClass
	destination string
	region      policy.RegionID
	boundary    policy.Boundary
	basis       string
	tenant      policy.TenantID
}

// sum is the counts of one key.
type sum struct {
	opened, failed, out, in int64
	last                    int64 // Unix seconds
}

func (s *sum) add(o sum) {
	s.opened += o.opened
	s.failed += o.failed
	s.out += o.out
	s.in += o.in
	s.last = max(s.last, o.last)
}

func (s sum) zero() bool { return s.opened == 0 && s.failed == 0 && s.out == 0 && s.in == 0 }

// counter is what connections add to. It lives as long as the door.
type counter struct {
	key                     key
	opened, failed, out, in atomic.Int64
	durable                 sum // what the journal has of this process; under ledger.mu
}

// pending is what the journal does not have yet.
func (c *counter) pending() sum {
	return sum{opened: c.opened.Load() - c.durable.opened, failed: c.failed.Load() - c.durable.failed,
		out: c.out.Load() - c.durable.out, in: c.in.Load() - c.durable.in}
}

// hung is how long the journal may take before what depends on it fails (04
// §4, invariant 28).
const hung = 2 * time.Second

// ledger holds the counts of all time by UTC day, in memory and in a journal.
// One goroutine writes the journal, so that a disk which hangs stops dialing
// and nothing else: counting, accepting and reading the ledger go on.
type ledger struct {
	clock    func() time.Time
	log      *slog.Logger
	patience time.Duration
	retry    func(func() error) error

	requests chan chan error // each wants everything pending to be durable
	stop     chan struct{}
	done     chan struct{}
	journal  *journal // the writer's

	broken atomic.Pointer[error] // why the journal could not be written last time
	since  atomic.Int64          // Unix ns: when the write that is going on began; 0 none

	mu       sync.Mutex             // memory only, never held over I/O
	days     map[string]map[key]sum // durable; changed by the writer only
	counters map[key]*counter
}

func openLedger(o Options) (*ledger, error) {
	j, days, err := openJournal(o.Dir, o.Region, o.Clock(), o.Logger)
	if err != nil {
		return nil, err
	}
	l := &ledger{clock: o.Clock, log: o.Logger, patience: hung, retry: o.Retry, journal: j, days: days, counters: map[key]*counter{},
		requests: make(chan chan error), stop: make(chan struct{}), done: make(chan struct{})}
	if l.retry == nil {
		l.retry = func(write func() error) error { return write() }
	}
	go l.run(o.Flush)
	return l, nil
}

func (l *ledger) counter(k key) *counter {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ok := l.counters[k]
	if !ok {
		c = &counter{key: k}
		l.counters[k] = c
	}
	return c
}

// open journals one more connection of c, durably, or says why it may not be opened.
func (l *ledger) open(ctx context.Context, c *counter) error {
	c.opened.Add(1)
	err := l.flush(ctx)
	if err != nil {
		c.failed.Add(1)
	}
	return err
}

// flush makes durable what is pending now. Callers at the same time share one sync.
func (l *ledger) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, l.patience, errors.New("the journal does not answer"))
	defer cancel()
	answer := make(chan error, 1)
	select {
	case l.requests <- answer:
	case <-l.stop:
		return errors.New("egress ledger is closed")
	case <-ctx.Done():
		return fmt.Errorf("egress ledger: %w", context.Cause(ctx))
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("egress ledger: %w", context.Cause(ctx))
	}
}

// run is the writer.
func (l *ledger) run(every time.Duration) {
	defer close(l.done)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		var waiting []chan error
		ending := false
		select {
		case a := <-l.requests:
			waiting = append(waiting, a)
		case <-tick.C:
		case <-l.stop:
			ending = true
		}
		for more := true; more; {
			select {
			case a := <-l.requests:
				waiting = append(waiting, a)
			default:
				more = false
			}
		}
		err := l.write()
		for _, a := range waiting {
			a <- err
		}
		if ending {
			return
		}
	}
}

// write appends everything pending to the journal, under today, and keeps it as
// durable. After a failure the journal's end is unknown, so the next write makes
// a whole new file out of memory instead of trusting the old descriptor.
func (l *ledger) write() error {
	was := l.broken.Load()
	now := l.clock().UTC()
	due, lines := l.due(now)
	if len(due) == 0 && was == nil {
		return nil
	}
	l.since.Store(time.Now().UnixNano())
	defer l.since.Store(0)
	whole := was != nil || l.journal.full()
	err := l.retry(func() error {
		if whole {
			l.mu.Lock()
			foldMonths(l.days, now)
			l.mu.Unlock()
			if err := l.journal.rewrite(l.days); err != nil {
				return err
			}
		}
		whole = true // of a second try
		return l.journal.append(lines)
	})
	if err != nil {
		l.broken.Store(&err)
		if was == nil {
			l.log.Error("egress ledger cannot be written; nothing is dialed until it can", "error", err)
		}
		return err
	}
	l.broken.Store(nil)
	if was != nil {
		l.log.Info("egress ledger can be written again")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, c := range due {
		c.durable.add(lines[i].sum)
		into(l.days, lines[i])
	}
	return nil
}

// due lists what is pending.
func (l *ledger) due(now time.Time) (due []*counter, lines []line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.counters {
		if p := c.pending(); !p.zero() {
			p.last = now.Unix()
			due, lines = append(due, c), append(lines, line{day: now.Format(time.DateOnly), key: c.key, sum: p})
		}
	}
	return due, lines
}

func into(days map[string]map[key]sum, n line) {
	m := days[n.day]
	if m == nil {
		m = map[key]sum{}
		days[n.day] = m
	}
	s := m[n.key]
	s.add(n.sum)
	m[n.key] = s
}

func (l *ledger) healthy() error {
	if err := l.broken.Load(); err != nil {
		return fmt.Errorf("egress ledger: %w", *err)
	}
	if since := l.since.Load(); since != 0 && time.Since(time.Unix(0, since)) > l.patience {
		return fmt.Errorf("egress ledger: a write has not come back for more than %s; see the node's disk", l.patience)
	}
	return nil
}

// close makes everything durable and ends the writer.
func (l *ledger) close() error {
	close(l.stop)
	<-l.done
	err := l.journal.close()
	if broken := l.broken.Load(); broken != nil {
		return fmt.Errorf("close the egress ledger, the latest counts are lost: %w", *broken)
	}
	return err
}

// entries sums one day or, with "", all; what is pending belongs to today.
func (l *ledger) entries(day string) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock().UTC()
	total := map[string]map[key]sum{}
	for d, m := range l.days {
		if day != "" && d != day {
			continue
		}
		for k, s := range m {
			into(total, line{key: k, sum: s})
		}
	}
	if day == "" || day == now.Format(time.DateOnly) {
		for k, c := range l.counters {
			if p := c.pending(); !p.zero() {
				p.last = now.Unix()
				into(total, line{key: k, sum: p})
			}
		}
	}
	out := make([]Entry, 0, len(total[""]))
	for k, s := range total[""] {
		out = append(out, Entry{Class: k.class, Destination: k.destination, Region: k.region, Boundary: k.boundary,
			Basis: k.basis, Tenant: k.tenant, Connections: s.opened - s.failed, Failed: s.failed,
			BytesOut: s.out, BytesIn: s.in, LastTime: time.Unix(s.last, 0).UTC()})
	}
	slices.SortFunc(out, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Destination, b.Destination),
			cmp.Compare(a.Region, b.Region), cmp.Compare(a.Basis, b.Basis), cmp.Compare(a.Tenant, b.Tenant))
	})
	return out
}
