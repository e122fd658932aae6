package egress

import (
	"cmp"
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

// ledger holds the counts of all time by UTC day, in memory and in a journal.
type ledger struct {
	clock func() time.Time
	log   *slog.Logger

	mu       sync.Mutex
	journal  *journal
	days     map[string]map[key]sum // durable
	counters map[key]*counter
	broken   error // why the journal could not be written last time
}

func openLedger(o Options) (*ledger, error) {
	j, days, err := openJournal(o.Dir, o.Region, o.Clock(), o.Logger)
	if err != nil {
		return nil, err
	}
	return &ledger{clock: o.Clock, log: o.Logger, journal: j, days: days, counters: map[key]*counter{}}, nil
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

// open journals one more connection of c, durably, or takes it back and says why.
func (l *ledger) open(c *counter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.opened.Add(1)
	if err := l.write([]*counter{c}); err != nil {
		c.opened.Add(-1)
		return err
	}
	return nil
}

// flush journals whatever is pending.
func (l *ledger) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flushLocked()
}

func (l *ledger) flushLocked() {
	var due []*counter
	for _, c := range l.counters {
		if !c.pending().zero() {
			due = append(due, c)
		}
	}
	was := l.broken
	if len(due) == 0 && was == nil {
		return
	}
	err := l.write(due)
	if err != nil && was == nil {
		l.log.Error("egress ledger cannot be written; nothing is dialed until it can", "error", err)
	}
	if err == nil && was != nil {
		l.log.Info("egress ledger can be written again")
	}
}

// write appends the pending counts of some counters, of now, and keeps them as
// durable. After a failure the journal's end is unknown, so the next write
// makes a whole new file out of memory instead of trusting the old descriptor.
func (l *ledger) write(due []*counter) error {
	now := l.clock().UTC()
	day := now.Format(time.DateOnly)
	lines := make([]line, 0, len(due))
	for _, c := range due {
		p := c.pending()
		p.last = now.Unix()
		lines = append(lines, line{day: day, key: c.key, sum: p})
	}
	if l.broken != nil || l.journal.full() {
		l.broken = l.journal.rewrite(l.days, now)
	}
	if l.broken == nil {
		l.broken = l.journal.append(lines)
	}
	if l.broken != nil {
		return l.broken
	}
	for i, c := range due {
		c.durable.add(lines[i].sum)
		into(l.days, lines[i])
	}
	return nil
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
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return fmt.Errorf("egress ledger: %w", l.broken)
	}
	return nil
}

func (l *ledger) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flushLocked()
	broken := l.broken
	if err := l.journal.close(); broken == nil {
		return err
	}
	return fmt.Errorf("close the egress ledger, the latest counts are lost: %w", broken)
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
