package sealed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// PutBack is what PutBack needs to know of a store that was put back from a
// backup, besides the present key table.
type PutBack struct {
	Forgotten func(policy.TenantID) store.Forgotten // whom and what erasures have forgotten since ever
	Ended     []policy.TenantID                     // tenants whose end was carried out
	Notes     []Row                                 // rows that were sealed anew after the backup, in order (Options.Backup)
}

// PutBackReport says what a store that was put back holds, and what it does not
// hold any more. Destroyed is not damaged: its keys were destroyed on purpose.
type PutBackReport struct {
	Tenants     uint64 `json:"tenants"`
	Calls       uint64 `json:"calls"`       // that are there
	Renewed     uint64 `json:"renewed"`     // frames and items that notes brought, in the place of what does not open any more
	Forgotten   uint64 `json:"forgotten"`   // calls that an erasure or the end of a retention had taken out since
	Lost        uint64 `json:"lost"`        // calls that stood beside such calls, under the same destroyed keys, and of which there was no note
	Quarantined uint64 `json:"quarantined"` // payloads that had left the quarantine since
	Items       uint64 `json:"items"`       // versions of items that were replaced or deleted since
	Unknown     uint64 `json:"unknown"`     // frames under keys that the key table never had: it is older than the backup
	Ended       uint64 `json:"ended"`       // tenants that had ended
}

// PutBack makes a store that was put back from a backup consistent with what was
// destroyed since: rows of notes take the place of those whose keys are gone,
// and whatever else does not open any more is let go, with every row that leads
// there. It is for a store that serves nobody. Erasures are not applied here:
// that is the work of whoever has a permit, before anything is shown.
// Repeating it is harmless.
func (s *Store) PutBack(ctx context.Context, p PutBack) (out PutBackReport, err error) {
	tenants, err := s.Tenants()
	if err != nil {
		return out, err
	}
	for _, id := range p.Ended {
		if !slices.Contains(tenants, id) {
			continue
		}
		if _, err := s.Purge(ctx, id); err != nil {
			return out, fmt.Errorf("end tenant %s: %w", id, err)
		}
		out.Ended++
	}
	renewed, err := s.renew(p.Notes, p.Ended, &out)
	if err != nil {
		return out, fmt.Errorf("put in what was sealed anew: %w", err)
	}
	for _, id := range tenants {
		if slices.Contains(p.Ended, id) {
			continue
		}
		if err := s.putBackTenant(ctx, id, p.Forgotten(id), renewed, &out); err != nil {
			return out, fmt.Errorf("tenant %s: %w", id, err)
		}
		out.Tenants++
	}
	return out, nil
}

func (s *Store) putBackTenant(ctx context.Context, id policy.TenantID, f store.Forgotten, renewed map[tenantRaw]map[int64]bool, out *PutBackReport) error {
	t, err := s.tenantOf(id)
	if err != nil {
		return err
	}
	defer s.working.Done()
	release, err := t.exclusive()
	if err != nil {
		return err
	}
	defer release()
	r, err := t.mend(ctx, f, renewed[t.raw])
	if err != nil {
		return err
	}
	if err := s.finishDestroying(t); err != nil { // of items that are gone
		return err
	}
	calls, err := t.count(kindTime)
	out.Calls += calls
	for call := range r.calls {
		if r.stones[call] {
			out.Forgotten++
		} else {
			out.Lost++
		}
	}
	out.Quarantined, out.Items, out.Unknown = out.Quarantined+r.quarantined, out.Items+r.items, out.Unknown+r.unknown
	return err
}

// renew puts rows of notes in the place of what does not open any more, and says
// which chunks have such frames.
func (s *Store) renew(notes []Row, ended []policy.TenantID, out *PutBackReport) (map[tenantRaw]map[int64]bool, error) {
	renewed := map[tenantRaw]map[int64]bool{}
	for _, n := range notes {
		if len(n.Key) < 17 || slices.Contains(ended, policy.TenantID(string(policy.KindTenant)+hexOf(n.Key[1:17]))) {
			continue
		}
		var done bool
		var err error
		switch t := tenantRaw(n.Key[1:17]); {
		case n.Key[0] == byte(kindFrame) && len(n.Key) == 27:
			if done, err = s.renewFrame(t, n); done {
				if renewed[t] == nil {
					renewed[t] = map[int64]bool{}
				}
				renewed[t][readRef(append(slices.Clone(n.Key[17:27]), 0, 0)).chunk] = true
			}
		case n.Key[0] == byte(kindCover) && len(n.Key) == 27:
			var chunks map[int64]bool
			if chunks, err = s.renewCover(t, n); len(chunks) > 0 {
				done = true
				if renewed[t] == nil {
					renewed[t] = map[int64]bool{}
				}
				maps.Copy(renewed[t], chunks)
			}
		case n.Key[0] == byte(kindItem):
			done, err = s.renewItem(t, n)
		}
		if err != nil {
			return nil, err
		}
		if done {
			out.Renewed++
		}
	}
	return renewed, nil
}

// renewFrame puts a frame in the place of one whose key is destroyed. Frames
// that the backup does not have have no rows that lead to them.
func (s *Store) renewFrame(t tenantRaw, n Row) (bool, error) {
	old, err := s.get(kindFrame, n.Key)
	if _, pointer := pointerIn(n.Value); err != nil || len(old) < frameHeader || len(n.Value) < frameHeader && !pointer {
		return false, err
	}
	gone, err := s.isGone(keyIn(old))
	if err != nil || !gone {
		return false, err
	}
	if _, err := s.openStored(t, readPlace(n.Key[17:]), n.Value); err != nil {
		if errors.Is(err, errNoCover) || isReason(err, policy.Destroyed) || isCorrupt(err) {
			return false, nil // a later note has it, or it went as well
		}
		return false, err
	}
	b := s.engine.NewBatch()
	if err := b.Set(n.Key, n.Value); err != nil {
		return false, err
	}
	return true, s.putRow(t, b)
}

// renewCover puts a cover in the place of one of which a key is destroyed, or of
// frames of which the key is: their pointers come next among the notes. It gives the
// chunks that are other than they were. Frames that the backup does not have are
// left out of it.
func (s *Store) renewCover(t tenantRaw, n Row) (map[int64]bool, error) {
	at := readPlace(n.Key[17:])
	c, err := s.openCover(t, at, n.Value)
	if isReason(err, policy.Destroyed) || isCorrupt(err) {
		return nil, nil // a later note has it, or it went as well
	}
	if err != nil {
		return nil, err
	}
	old, err := s.get(kindCover, n.Key)
	if err != nil {
		return nil, err
	}
	if old != nil {
		if gone, err := s.coverGone(t, at, old); err != nil || !gone {
			return nil, err
		}
	}
	var there []*frame
	chunks := map[int64]bool{}
	for _, f := range c.frames {
		row, err := s.get(kindFrame, frameKey(nil, t, f.chunk, f.number))
		if err != nil {
			return nil, err
		}
		if row != nil {
			there = append(there, f)
			chunks[f.chunk] = true
		}
	}
	if len(there) == 0 || there[0] != c.frames[0] {
		return nil, nil // what is named by the first stands or falls with it
	}
	value := n.Value
	if len(there) < len(c.frames) {
		c.frames = there
		if value, err = s.sealCover(t, c); err != nil {
			return nil, err
		}
	}
	b := s.engine.NewBatch()
	if err := b.Set(n.Key, value); err != nil {
		return nil, err
	}
	return chunks, s.putRow(t, b)
}

// renewItem puts a version of an item in, unless the store has a later one.
// What is not there at all is taken in when it can stand alone.
func (s *Store) renewItem(t tenantRaw, n Row) (bool, error) {
	item, err := s.openItemRow(t, n.Key, n.Value)
	if isReason(err, policy.Destroyed) || isCorrupt(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	old, err := s.get(kindItem, n.Key)
	if err != nil {
		return false, err
	}
	alone := item.Kind == store.HoldItem || item.Kind == store.CertificateItem || item.Kind == store.OwnershipItem
	if old == nil && !alone {
		return false, nil
	}
	if was, ok := parseItemRow(old); ok && was.item.Version >= item.Version {
		return false, nil
	}
	b := s.engine.NewBatch()
	if err := b.Set(n.Key, n.Value); err != nil {
		return false, err
	}
	if len(item.Unique) > 0 {
		if err := b.Set(itemUniqueKey(t, item.Kind, item.Unique), n.Key[18:]); err != nil {
			return false, err
		}
	}
	for _, order := range itemOrders(t, &item) {
		if err := b.Set(order, nil); err != nil {
			return false, err
		}
	}
	return true, s.putRow(t, b)
}

// putRow makes a batch durable that is of a store which serves nobody.
func (s *Store) putRow(t tenantRaw, b Batch) error {
	err := s.apply(t, b, s.whileUsable)
	s.itemPut(t)
	if err != nil {
		return err
	}
	return s.sync(b)
}

// isGone reports whether a key was destroyed.
func (s *Store) isGone(id store.KeyID) (bool, error) {
	_, err := s.keys.For(store.UseBackup).Open(id)
	switch {
	case err == nil, isReason(err, policy.Internal):
		return false, nil
	case isReason(err, policy.Destroyed):
		return true, nil
	}
	return false, err
}
