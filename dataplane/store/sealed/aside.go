package sealed

import (
	"encoding/binary"

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
func (s *Store) suspect(id frameID) {
	select {
	case s.suspects <- id:
	default:
	}
}

// watchSuspects works until the store closes.
func (s *Store) watchSuspects() {
	defer close(s.watched)
	for {
		select {
		case <-s.stop:
			return
		case id := <-s.suspects:
			if err := s.moveAside(frameKey(nil, id.tenant, id.chunk, id.number)); err != nil && s.usable() == nil {
				s.log.Warn("a damaged frame could not be moved aside; the next scrub tries again", "cause", err)
			}
		case t := <-s.badCells:
			if err := s.recell(t); err != nil && s.usable() == nil {
				s.log.Warn("a damaged counter could not be counted anew; the next scrub or start tries again", "cause", err)
			}
		}
	}
}

// moveAside moves a frame aside when it does not open; one that does, or that a
// rewrite has replaced, stays. What the engine itself cannot read has no bytes to
// keep: it stays where it is and goes on answering INTERNAL.
func (s *Store) moveAside(key []byte) error {
	id := policy.TenantID(string(policy.KindTenant) + hexOf(key[1:17]))
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
	value, err := s.get(kindFrame, key)
	if err != nil || value == nil {
		return err
	}
	chunk, number := int64(binary.BigEndian.Uint64(key[17:])), binary.BigEndian.Uint16(key[25:])
	if _, err = s.openFrame(t.raw, chunk, number, value); !isCorrupt(err) {
		return err
	}
	b := s.engine.NewBatch()
	if err := b.Set(asideKey(key), value); err != nil {
		return err
	}
	if err := b.Delete(key); err != nil {
		return err
	}
	if err := t.applyChange(b); err != nil {
		return err
	}
	s.frames.drop(t.raw, map[int64]bool{chunk: true})
	s.log.Error("a damaged frame was moved aside", "tenant", string(id), "chunk", chunk, "frame", number)
	return s.sync(b)
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
