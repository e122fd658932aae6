package sealed

import (
	"context"
	"encoding/binary"
	"sort"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// cellKey names one regional counter of a tenant.
type cellKey struct {
	day       int32
	direction record.Direction
	country   string
}

// counts are sums of contributions.
type counts struct{ calls, answered, billsec int64 }

func (c counts) plus(o counts) counts {
	return counts{c.calls + o.calls, c.answered + o.answered, c.billsec + o.billsec}
}

// cell is one counter: the contributions of the calls that are there, and of
// those whose retention is over, which were counted rightly and stay counted.
type cell struct{ live, settled counts }

func (c cell) plus(o cell) cell { return cell{c.live.plus(o.live), c.settled.plus(o.settled)} }

// maxCells bounds the counters kept in memory per tenant; past it they are read again.
const maxCells = 1024

// count adds (sign 1) or takes back (sign -1) a call's contribution, in the
// same commit as the change that caused it.
func (g *group) count(c *record.Contribution, sign int64) {
	if c.Calls == 0 {
		return
	}
	k := cellKey{c.Day, c.Direction, c.Country}
	d := g.deltas[k]
	d.live = d.live.plus(counts{sign * c.Calls, sign * c.Answered, sign * c.Billsec})
	g.deltas[k] = d
}

// settle moves a call's contribution to those that no call stands for any more.
func (g *group) settle(c *record.Contribution) {
	if c.Calls == 0 {
		return
	}
	g.count(c, -1)
	k := cellKey{c.Day, c.Direction, c.Country}
	d := g.deltas[k]
	d.settled = d.settled.plus(counts{c.Calls, c.Answered, c.Billsec})
	g.deltas[k] = d
}

// writeCells puts the changed counters into the batch.
func (g *group) writeCells() error {
	t := g.t
	if len(t.cells) > maxCells {
		clear(t.cells)
	}
	for k, d := range g.deltas {
		if d == (cell{}) {
			continue
		}
		key := t.cellRow(k)
		c, ok := t.cells[k]
		if !ok {
			old, err := t.s.get(kindRollup, key)
			if err != nil {
				return err
			}
			if old != nil {
				_, c, err = t.s.openCell(t.raw, key, old)
				if isCorrupt(err) {
					// What comes from here on is counted from nothing; see recell.go.
					c, err = cell{}, g.batch.Set(asideKey(key), old)
					t.s.suspectCell(t.raw)
				}
				if err != nil {
					return err
				}
			}
		}
		c = c.plus(d)
		t.cells[k] = c
		plain := appendContribution(nil, &record.Contribution{Day: k.day, Direction: k.direction, Country: k.country,
			Calls: c.live.calls, Answered: c.live.answered, Billsec: c.live.billsec})
		if c.settled != (counts{}) {
			for _, n := range [...]int64{c.settled.calls, c.settled.answered, c.settled.billsec} {
				plain = binary.AppendVarint(plain, n)
			}
		}
		value, err := t.s.sealRow(kindRollup, t.raw, key, plain)
		if err != nil {
			return err
		}
		g.rows.set(key, value)
	}
	return nil
}

// cellRow is the key of a counter; direction and country stand in it as a tag.
func (t *tenant) cellRow(k cellKey) []byte {
	x, m := t.tagger()
	tag := m.tag(m.place, tagCell, string(k.direction), k.country)
	x.tags.Put(m)
	return append(dayKey(t.raw, k.day), tag[:8]...)
}

func dayKey(t tenantRaw, day int32) []byte {
	return binary.BigEndian.AppendUint32(keyOf(nil, kindRollup, t), uint32(day)^1<<31)
}

func (s *Store) openCell(t tenantRaw, key, value []byte) (cellKey, cell, error) {
	plain, err := s.openRow(kindRollup, t, key, value)
	if err != nil {
		return cellKey{}, cell{}, err
	}
	c := cursorOf(plain)
	a := c.contribution()
	out := cell{live: counts{a.Calls, a.Answered, a.Billsec}}
	if len(c.b) > 0 {
		out.settled = counts{c.varint(), c.varint(), c.varint()}
	}
	if c.bad || len(c.b) > 0 {
		return cellKey{}, cell{}, s.corrupt(kindRollup, nil)
	}
	return cellKey{a.Day, a.Direction, a.Country}, out, nil
}

// Rollups implements store.Store; both days are inclusive, YYYY-MM-DD.
func (s *Store) Rollups(_ context.Context, permit policy.Permit, firstDay, lastDay string) ([]store.Rollup, error) {
	t, err := s.enter(permit, policy.View)
	if err != nil {
		return nil, err
	}
	defer s.working.Done()
	first, err1 := time.Parse(time.DateOnly, firstDay)
	last, err2 := time.Parse(time.DateOnly, lastDay)
	if err1 != nil || err2 != nil {
		return nil, policy.Errorf(policy.InvalidArgument, "a day must be YYYY-MM-DD")
	}
	if err := t.wholeCells(record.DayOf(first), record.DayOf(last)); err != nil {
		return nil, err
	}
	it, err := s.engine.Rows(dayKey(t.raw, record.DayOf(first)), dayKey(t.raw, record.DayOf(last)+1))
	if err != nil {
		return nil, s.readError(kindRollup, err)
	}
	defer it.Close()
	var out []store.Rollup
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, s.readError(kindRollup, err)
		}
		k, c, err := s.openCell(t.raw, it.Key(), value)
		if isCorrupt(err) {
			s.suspectCell(t.raw)
		}
		if err != nil {
			return nil, err
		}
		if all := c.live.plus(c.settled); all != (counts{}) {
			out = append(out, rollupOf(k, all))
		}
	}
	if err := it.Error(); err != nil {
		return nil, s.readError(kindRollup, err)
	}
	sortRollups(out)
	return out, nil
}

func rollupOf(k cellKey, c counts) store.Rollup {
	return store.Rollup{Day: time.Unix(int64(k.day)*24*60*60, 0).UTC().Format(time.DateOnly), Direction: k.direction,
		Country: k.country, Calls: c.calls, Answered: c.answered, Billsec: c.billsec}
}

func sortRollups(rows []store.Rollup) {
	sort.Slice(rows, func(i, j int) bool {
		a, b := rows[i], rows[j]
		if a.Day != b.Day {
			return a.Day < b.Day
		}
		if a.Direction != b.Direction {
			return a.Direction < b.Direction
		}
		return a.Country < b.Country
	})
}
