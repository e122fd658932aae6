package sealed

import (
	"errors"
	"slices"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// What notes brought into a store that was put back are frames as an erasure or
// the end of a retention left them. The rows that lead there are those of
// before; here they become what they were after it.

// renewal is a call that was redacted after the backup.
type renewal struct {
	tag   [16]byte // what it is found by now
	names map[[8]byte]bool
}

// findRenewed looks at a call of which a frame was renewed; suffix and value are
// its time row's. True: it was dropped.
func (r *ruins) findRenewed(call ref, value []byte) (dropped bool, err error) {
	at := call
	if len(value) == refSize {
		at = readRef(value)
	}
	if !r.renewed[call.chunk] && !r.renewed[at.chunk] {
		return false, nil
	}
	e, err := r.t.s.entryAt(r.t.raw, at, call)
	switch {
	case errors.Is(err, errNoEntry):
		return true, nil
	case isCorrupt(err):
		return false, nil
	case err != nil:
		return false, err
	}
	if e.redacted {
		r.redacted[call] = &renewal{tag: r.t.identity(&e.record), names: map[[8]byte]bool{}}
		r.redacted[call].note(&e)
	}
	return false, nil
}

func (n *renewal) note(e *entry) {
	for _, party := range []string{e.record.From.Subject, e.record.To.Subject} {
		if id, ok := rawSubject(party); ok {
			n.names[[8]byte(id[:8])] = true
		}
	}
}

// closeRenewed lets redacted calls take no further events, moves their rows to
// where they are found now, and unlists them from whom they do not name any more.
func (r *ruins) closeRenewed() error {
	if len(r.redacted) == 0 {
		return nil
	}
	t := r.t
	x := t.index.Load()
	g := &group{t: t, batch: r.batch}
	err := t.s.scan(kindFold, x.key(nil, kindFold, t.raw), func(key, value []byte) error {
		row, ok := readFoldRow(value)
		n := r.redacted[row.call]
		if !ok || row.gone || n == nil {
			return nil
		}
		l := &located{call: row.call, tag: tagIn(key), row: row}
		for _, e := range row.events {
			l.places = append(l.places, e.at)
		}
		err := t.s.scan(kindSpill, append(x.key(nil, kindSpill, t.raw), key[17:]...), func(key, value []byte) error {
			l.spills = append(l.spills, slices.Clone(key))
			if len(value) == refSize {
				l.places = append(l.places, readRef(value))
			}
			return nil
		})
		for _, at := range l.places {
			if e, err := t.s.entryAt(t.raw, at, l.call); err == nil {
				n.note(&e)
			}
		}
		if err != nil || x.lost {
			return err // what is lost is built anew, from what was redacted
		}
		return (&plan{}).closeRow(g, l, &fated{tag: n.tag})
	})
	if err != nil {
		return err
	}
	return t.s.scan(kindPosting, keyOf(nil, kindPosting, t.raw), func(key, _ []byte) error {
		if len(key) != 17+8+suffixSize {
			return nil
		}
		if n := r.redacted[readRef(key[len(key)-refSize:])]; n != nil && !n.names[[8]byte(key[17:25])] {
			return r.batch.Delete(slices.Clone(key))
		}
		return nil
	})
}

// findSubjects lets numbers lead to nobody who was erased since, as the erasure
// itself did: a note may bring its certificate back, so that nobody carries it out
// again. What was hashed of them, or of their calls, waits for a new index key.
func (r *ruins) findSubjects(owners []store.Owner) error {
	t := r.t
	x := t.index.Load()
	if x.lost {
		return nil // nothing is found by these rows; new ones are made from the calls
	}
	err := t.s.scan(kindSubject, x.key(nil, kindSubject, t.raw), func(key, value []byte) error {
		row, ok := readTenures(value)
		if !ok || len(key) != 17+tagSize {
			return nil // damage is another's work
		}
		left, changed := row.without(owners)
		if !changed {
			return nil
		}
		key = slices.Clone(key)
		r.unlinked = append(r.unlinked, tagIn(key))
		if left.gone() {
			return r.batch.Delete(key)
		}
		return r.batch.Set(key, left.append(nil))
	})
	if err == nil && len(r.unlinked)+len(r.stones)+len(r.redacted) > 0 {
		err = t.soil(r.batch)
	}
	return err
}

// findItems lets go of versions of items whose keys are destroyed. Keys of blobs
// that only such a version names go too: nothing would destroy them later.
func (r *ruins) findItems() error {
	t := r.t
	living, stale := map[store.KeyID]bool{}, map[store.KeyID]bool{}
	err := t.s.scan(kindItem, keyOf(nil, kindItem, t.raw), func(key, value []byte) error {
		row, ok := parseItemRow(value)
		if !ok {
			return nil // damage is another's work
		}
		gone, err := t.s.isGone(row.key)
		if err != nil {
			return err
		}
		for _, k := range row.item.Keys {
			if gone {
				stale[k] = true
			} else {
				living[k] = true
			}
		}
		if !gone {
			return nil
		}
		r.items++
		return r.dropItem(slices.Clone(key), value)
	})
	if err != nil {
		return err
	}
	for k := range stale {
		if living[k] {
			continue
		}
		if _, err := t.s.keys.For(store.UseErase).Open(k); err == nil {
			if err := r.batch.Set(destroyKey(t.raw, k), nil); err != nil {
				return err
			}
		} else if !isReason(err, policy.Destroyed) && !isReason(err, policy.Internal) {
			return err
		}
	}
	return nil
}

func (r *ruins) dropItem(key, value []byte) error {
	row, err := r.t.s.readItemRow(key, value)
	if err != nil {
		return nil // counted by it
	}
	return dropItemRows(r.batch, r.t.raw, key, &row.item)
}

func dropItemRows(b Batch, t tenantRaw, key []byte, item *store.Item) error {
	gone := append(itemOrders(t, item), key)
	if len(item.Unique) > 0 {
		gone = append(gone, itemUniqueKey(t, item.Kind, item.Unique))
	}
	for _, k := range gone {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}
