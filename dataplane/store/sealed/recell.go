package sealed

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/policy"
)

// A counter that does not open is counted anew from the calls. Its row is moved
// aside; from then on the counter holds what came since, and what the calls of
// that moment add up to is added to it when they have been counted. As long as
// its bytes lie aside it is wrong, and Rollups refuses the day rather than show
// it; a count that a crash cut short begins again. Ingest goes on meanwhile in a
// store of one process; in one of several it waits, because rows that are read
// one after the other are of no one moment there.
//
// What retention had settled in the counter stands in no call any more. It is
// lost, and the log says so.

// suspectCell asks for a tenant's damaged counters to be counted anew.
func (s *Store) suspectCell(t tenantRaw) {
	select {
	case s.badCells <- t:
	default: // the next scrub asks again
	}
}

// asideCells is where damaged counters of a tenant lie.
func asideCells(t tenantRaw) []byte { return append(keyOf(nil, kindAside, t), byte(kindRollup)) }

// recellLater asks for what the process before left uncounted.
func (s *Store) recellLater() error {
	var last tenantRaw
	return s.scan(kindAside, []byte{byte(kindAside)}, func(key, _ []byte) error {
		if len(key) > 17 && kind(key[17]) == kindRollup && tenantRaw(key[1:17]) != last {
			last = tenantRaw(key[1:17])
			s.suspectCell(last)
		}
		return nil
	})
}

// wholeCells is an error while a counter of these days is being counted anew.
func (t *tenant) wholeCells(first, last int32) error {
	return t.s.scan(kindAside, asideCells(t.raw), func(key, _ []byte) error {
		if len(key) < 22 {
			return nil
		}
		if day := int32(binary.BigEndian.Uint32(key[18:]) ^ 1<<31); day < first || day > last {
			return nil
		}
		t.s.suspectCell(t.raw)
		return policy.Errorf(policy.Internal, "a counter of these days was not what had been written, and is being counted anew from the calls; ask again in a moment")
	})
}

// recell counts a tenant's damaged counters anew.
func (s *Store) recell(raw tenantRaw) error {
	t, err := s.tenantOf(policy.TenantID(string(policy.KindTenant) + hexOf(raw[:])))
	if err != nil {
		return err
	}
	defer s.working.Done()
	release, err := t.exclusive() // calls are not dropped or changed meanwhile
	if err != nil {
		return err
	}
	defer release()
	var bad map[string]bool
	if s.engine.Shared() {
		t.build.Lock()
		defer t.build.Unlock()
		err = t.inTurn(func(u *turn) error {
			b := s.engine.NewBatch()
			if bad, err = t.emptyCells(b); err != nil || len(bad) == 0 {
				return errors.Join(err, b.Close())
			}
			calls, err := t.callRows()
			if err != nil {
				return errors.Join(err, b.Close())
			}
			sums, err := t.sumCells(calls, bad)
			if err != nil {
				return errors.Join(err, b.Close())
			}
			return t.fillCells(u, b, sums, bad)
		})
	} else {
		bad, err = t.recellBeside()
	}
	if err == nil && len(bad) > 0 {
		s.log.Error("damaged counters were counted anew from the calls; what retention had dropped before is in them no more", "tenant", "TN"+hexOf(raw[:]), "counters", len(bad))
	}
	return err
}

// recellBeside counts while ingest goes on.
func (t *tenant) recellBeside() (map[string]bool, error) {
	bad, calls, err := t.setCellsAside()
	if err != nil || len(bad) == 0 {
		return nil, err
	}
	sums, err := t.sumCells(calls, bad)
	if err != nil {
		return nil, err
	}
	t.build.Lock()
	defer t.build.Unlock()
	return bad, t.inTurn(func(u *turn) error { return t.fillCells(u, t.s.engine.NewBatch(), sums, bad) })
}

// setCellsAside empties the damaged counters, durably, and gives the calls of
// that moment.
func (t *tenant) setCellsAside() (bad map[string]bool, calls Rows, err error) {
	t.build.Lock()
	defer t.build.Unlock()
	b := t.s.engine.NewBatch()
	if bad, err = t.emptyCells(b); err != nil || len(bad) == 0 {
		return nil, nil, errors.Join(err, b.Close())
	}
	if err := t.inTurn(func(u *turn) error { return u.applyAlive(b) }); err != nil {
		return nil, nil, err
	}
	clear(t.cells)
	if calls, err = t.callRows(); err != nil {
		return nil, nil, err
	}
	if err := t.s.sync(b); err != nil {
		return nil, nil, errors.Join(err, calls.Close())
	}
	return bad, calls, nil
}

func (t *tenant) callRows() (Rows, error) {
	prefix := keyOf(nil, kindTime, t.raw)
	rows, err := t.s.engine.Rows(prefix, after(prefix))
	if err != nil {
		return nil, t.s.readError(kindTime, err)
	}
	return rows, nil
}

// emptyCells moves the damaged counters aside in a batch, empties those that lay
// aside already, and gives their keys.
func (t *tenant) emptyCells(b Batch) (bad map[string]bool, err error) {
	bad = map[string]bool{}
	prefix := asideCells(t.raw)
	err = t.s.scan(kindAside, prefix, func(key, _ []byte) error {
		row := append(keyOf(nil, kindRollup, t.raw), key[len(prefix):]...)
		bad[string(row)] = true
		return b.Delete(row)
	})
	if err != nil {
		return nil, err
	}
	err = t.s.scan(kindRollup, keyOf(nil, kindRollup, t.raw), func(key, value []byte) error {
		if _, _, err := t.s.openCell(t.raw, key, value); !isCorrupt(err) || bad[string(key)] {
			return nil
		}
		bad[string(key)] = true
		return errors.Join(b.Set(asideKey(key), value), b.Delete(slices.Clone(key)))
	})
	return bad, err
}

// sumCells adds up what the calls contribute to the damaged counters, and closes
// the rows.
func (t *tenant) sumCells(calls Rows, bad map[string]bool) (map[cellKey]counts, error) {
	s, sums, wanted := t.s, map[cellKey]counts{}, map[cellKey]bool{}
	defer calls.Close()
	for ok := calls.First(); ok; ok = calls.Next() {
		if stopped(s.stop) {
			return nil, errStopping
		}
		key := calls.Key()
		value, err := calls.ValueAndErr()
		if err != nil {
			return nil, s.readError(kindTime, err)
		}
		if len(key) != 17+suffixSize {
			return nil, s.corrupt(kindTime, nil)
		}
		c, err := s.callListed(t.raw, bytes.Clone(key[17:]), append([]byte{}, value...))
		if errors.Is(err, errNoEntry) || isCorrupt(err) {
			continue // nothing is known of it but that it was; see Page.Corrupt
		}
		if err != nil {
			return nil, err
		}
		a := record.ContributionOf(&c.Record, time.UnixMicro(unorderedTime(binary.BigEndian.Uint64(key[17:]))))
		k := cellKey{a.Day, a.Direction, a.Country}
		is, known := wanted[k]
		if !known {
			is = bad[string(t.cellRow(k))]
			wanted[k] = is
		}
		if is && a.Calls > 0 {
			sums[k] = sums[k].plus(counts{a.Calls, a.Answered, a.Billsec})
		}
	}
	if err := calls.Error(); err != nil {
		return nil, s.readError(kindTime, err)
	}
	return sums, nil
}

func stopped(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// fillCells adds what was counted, and lets what lay aside go, in one commit. What
// is in the batch already comes before it.
func (t *tenant) fillCells(u *turn, b Batch, sums map[cellKey]counts, bad map[string]bool) error {
	g := &group{t: t, batch: b, deltas: map[cellKey]cell{}}
	clear(t.cells)
	for k, c := range sums {
		g.deltas[k] = cell{live: c}
		if t.s.engine.Shared() {
			t.cells[k] = cell{} // it is emptied in the same batch
		}
	}
	err := g.writeCells()
	if err == nil {
		err = g.rows.moveTo(b)
	}
	for row := range bad {
		err = errors.Join(err, b.Delete(asideKey([]byte(row))))
	}
	if err == nil {
		err = u.applyAlive(b)
	}
	if err != nil {
		clear(t.cells)
		return errors.Join(err, b.Close())
	}
	return t.s.sync(b)
}
