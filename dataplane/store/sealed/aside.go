package sealed

import (
	"bytes"
	"errors"

	"github.com/domicile-io/domicile/policy"
)

// What does not open is moved aside: its bytes are kept, under another key, for
// whoever finds out what happened; from its place nothing is served. Calls that
// stood in it go on being counted as corrupt, because their index rows stay.

// asideKey is where the bytes that stood at key are kept.
func asideKey(key []byte) []byte {
	out := append([]byte{byte(kindAside)}, key[1:17]...)
	return append(append(out, key[0]), key[17:]...)
}

// maxSuspects bounds the frames that wait to be looked at again; one that finds
// no room is found by the next scrub.
const maxSuspects = 64

// suspect asks for a frame to be looked at again, outside of the read that it
// failed in, and moved aside when it still does not open.
func (s *Store) suspect(at framePlace, t tenantRaw) {
	select {
	case s.suspects <- suspected{t, at}:
	default:
	}
}

type suspected struct {
	tenant tenantRaw
	at     framePlace
}

// watchSuspects works until the store closes.
func (s *Store) watchSuspects() {
	defer close(s.watched)
	for {
		select {
		case <-s.stop:
			return
		case id := <-s.suspects:
			if err := s.moveAside(frameKey(nil, id.tenant, id.at.chunk, id.at.number)); err != nil && s.usable() == nil {
				s.log.Warn("a damaged frame could not be moved aside; the next scrub tries again", "cause", err)
			}
		case t := <-s.badCells:
			if err := s.recell(t); err != nil && s.usable() == nil {
				s.log.Warn("a damaged counter could not be counted anew; the next scrub or start tries again", "cause", err)
			}
		}
	}
}

// moveAside moves a frame or a cover aside when it does not open; one that does, or
// that a rewrite has replaced, stays. What the engine itself cannot read has no bytes
// to keep: it stays where it is and goes on answering INTERNAL.
func (s *Store) moveAside(key []byte) error {
	t, err := s.tenantOf(policy.TenantID(string(policy.KindTenant) + hexOf(key[1:17])))
	if err != nil {
		return err
	}
	defer s.working.Done()
	release, err := t.exclusive()
	if err != nil {
		return err
	}
	defer release()
	return t.setAside(key)
}

// setAside is moveAside; the caller has t.exclusive, and not t.build.
func (t *tenant) setAside(key []byte) error {
	s, k := t.s, kind(key[0])
	value, err := s.get(k, key)
	if err != nil || value == nil {
		return err
	}
	at := readPlace(key[17:])
	name, covered := at, k == kindCover
	if !covered {
		name, covered = pointerIn(value)
	}
	switch {
	case covered:
		whole, err := t.coverHolds(name, at)
		if err != nil || whole {
			return err
		}
	default:
		if _, err := s.openFrame(t.raw, at.chunk, at.number, value); !isCorrupt(err) {
			return err
		}
	}
	if k == kindCover {
		return nil // it was moved by coverHolds
	}
	if value, err = s.get(k, key); err != nil || value == nil {
		return err // with its cover
	}
	b := s.engine.NewBatch()
	mended, err := t.point(b, at)
	if err == nil && !mended {
		err = errors.Join(b.Set(asideKey(key), value), b.Delete(key))
	}
	if err == nil {
		err = t.applyChange(b)
	}
	if err != nil {
		return err
	}
	s.frames.drop(t.raw, map[int64]bool{at.chunk: true})
	if mended {
		s.log.Error("a damaged row of a covered frame was made anew", "tenant", string(t.id), "chunk", at.chunk, "frame", at.number)
	} else {
		s.log.Error("a damaged frame was moved aside", "tenant", string(t.id), "chunk", at.chunk, "frame", at.number)
	}
	return s.sync(b)
}

// coverHolds reports that a cover opens and holds a frame. One that does not open
// is moved aside with all pointers to it.
func (t *tenant) coverHolds(name, at framePlace) (bool, error) {
	s := t.s
	key := coverKey(nil, t.raw, name)
	value, err := s.get(kindCover, key)
	if err != nil || value == nil {
		return false, err
	}
	c, err := s.openCover(t.raw, name, value)
	if !isCorrupt(err) {
		return err == nil && c.frame(at) != nil, err
	}
	b := s.engine.NewBatch()
	gone, err := t.coverAside(b, name, value)
	if err == nil {
		err = t.applyChange(b)
	}
	if err != nil {
		return false, err
	}
	s.frames.drop(t.raw, gone)
	s.log.Error("a damaged cover of frames was moved aside", "tenant", string(t.id), "chunk", name.chunk, "frame", name.number)
	return false, s.sync(b)
}

// coverAside moves a cover aside in a batch, with the pointers to it, so that each
// place that it held says of itself that it is damaged. It gives the chunks of these.
func (t *tenant) coverAside(b Batch, name framePlace, value []byte) (map[int64]bool, error) {
	key := coverKey(nil, t.raw, name)
	gone := map[int64]bool{name.chunk: true}
	err := errors.Join(b.Set(asideKey(key), value), b.Delete(key))
	if err != nil {
		return nil, err
	}
	return gone, t.pointers(name, func(key, value []byte) error {
		gone[readPlace(key[17:]).chunk] = true
		return errors.Join(b.Set(asideKey(key), value), b.Delete(key))
	})
}

// pointers visits the rows that point to a cover. They stand one after the other;
// a damaged one between them is passed over.
func (t *tenant) pointers(name framePlace, visit func(key, value []byte) error) error {
	end := errors.New("behind them")
	s := t.s
	it, err := s.engine.Rows(frameKey(nil, t.raw, name.chunk, name.number), after(keyOf(nil, kindFrame, t.raw)))
	if err != nil {
		return s.readError(kindFrame, err)
	}
	defer it.Close()
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		value, readErr := it.ValueAndErr()
		if readErr != nil || len(it.Key()) != 27 {
			return s.readError(kindFrame, readErr)
		}
		switch to, pointer := pointerIn(value); {
		case pointer && to == name:
			err = visit(bytes.Clone(it.Key()), bytes.Clone(value))
		case pointer || len(value) >= frameHeader:
			err = end
		}
	}
	if err != nil && err != end {
		return err
	}
	return s.readErrorOrNil(kindFrame, it.Error())
}

// point makes the row of a covered frame anew, when there is a cover that holds it.
func (t *tenant) point(b Batch, at framePlace) (bool, error) {
	s, prefix := t.s, keyOf(nil, kindCover, t.raw)
	it, err := s.engine.Rows(prefix, append(coverKey(nil, t.raw, at), 0))
	if err != nil {
		return false, s.readError(kindCover, err)
	}
	defer it.Close()
	if !it.Last() || len(it.Key()) != len(prefix)+placeSize {
		return false, s.readErrorOrNil(kindCover, it.Error())
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return false, s.readError(kindCover, err)
	}
	name := readPlace(it.Key()[len(prefix):])
	c, err := s.openCover(t.raw, name, value)
	if isCorrupt(err) || isReason(err, policy.Destroyed) || err == nil && c.frame(at) == nil {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, b.Set(frameKey(nil, t.raw, at.chunk, at.number), pointerTo(name))
}

// Aside counts the values that were moved aside and are still kept.
func (s *Store) Aside() (n uint64, err error) {
	it, err := s.engine.Rows([]byte{byte(kindAside)}, []byte{byte(kindAside) + 1})
	if err != nil {
		return 0, s.readError(kindAside, err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	if err := it.Close(); err != nil {
		return 0, s.readError(kindAside, err)
	}
	return n, nil
}

// asideOf is an error when the frame of a place was moved aside: then what is
// not there is damaged, and not gone.
func (t *tenant) asideOf(at ref) error {
	value, err := t.s.get(kindAside, asideKey(frameKey(nil, t.raw, at.chunk, at.frame)))
	if err == nil && value != nil {
		err = t.s.corrupt(kindFrame, errFrame)
	}
	return err
}
