package sealed

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// ScrubOptions say how fast a scrub reads.
type ScrubOptions struct {
	BytesPerSecond int              // of stored keys and values; 0 is as fast as it goes
	Progress       func(ScrubState) // called after every slice of rows; nil: nobody asks
}

// ScrubState is how far a pass is. It is kept in the store, so that a pass goes
// on where the last process stopped.
type ScrubState struct {
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended,omitzero"` // zero: the pass is under way
	Checked uint64    `json:"checked"`        // values
	Bytes   uint64    `json:"bytes"`          // of them, with their keys
	Of      uint64    `json:"of"`             // about how many bytes there were when it began
	Corrupt uint64    `json:"corrupt"`        // values that are not what was written
	Next    []byte    `json:"next,omitempty"` // where to go on; never shown: it is a key
}

// Share is how much of the pass is done, 0 to 1, about.
func (p *ScrubState) Share() float64 {
	switch {
	case !p.Ended.IsZero():
		return 1
	case p.Of == 0:
		return 0
	}
	return min(0.99, float64(p.Bytes)/float64(p.Of))
}

// A slice of a scrub is read with one iterator, which holds old tables back no
// longer than that.
const (
	scrubRows  = 128
	scrubBytes = 1 << 20
)

const scrubRow = "m/scrub"

// Scrub reads and checks every row of the store once: every sealed value is
// opened, every frame decoded, every call followed from its place in lists to
// its view. What is not as it was written is counted, reported to OnCorrupt and,
// frames, moved aside. A pass that was cut short is gone on with.
func (s *Store) Scrub(ctx context.Context, o ScrubOptions) (ScrubState, error) {
	if err := s.hold(); err != nil {
		return ScrubState{}, err
	}
	defer s.working.Done()
	p, err := s.ScrubState()
	if err != nil {
		return p, err
	}
	if p.Began.IsZero() || !p.Ended.IsZero() {
		p = ScrubState{Began: s.now().UTC(), Of: s.engine.Size(), Next: []byte{0}}
	}
	for {
		began := s.now()
		before := p.Bytes
		more, err := s.scrubSlice(ctx, &p)
		if err != nil {
			return p, err
		}
		if !more {
			p.Ended, p.Next = s.now().UTC(), nil
		}
		if err := s.keepScrub(&p); err != nil {
			return p, err
		}
		if o.Progress != nil {
			o.Progress(p)
		}
		if !more {
			return p, nil
		}
		if err := pause(ctx, o.BytesPerSecond, p.Bytes-before, s.now().Sub(began)); err != nil {
			return p, err
		}
	}
}

// pause waits until reading n bytes has taken as long as it may.
func pause(ctx context.Context, rate int, n uint64, took time.Duration) error {
	wait := time.Duration(0)
	if rate > 0 {
		wait = time.Duration(float64(n)/float64(rate)*float64(time.Second)) - took
	}
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hold keeps the store open until working.Done.
func (s *Store) hold() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errStopping
	}
	s.working.Add(1)
	return nil
}

// ScrubState is the state of the pass under way, or of the last; zero before the first.
func (s *Store) ScrubState() (p ScrubState, err error) {
	raw, err := s.get(kindMeta, []byte(scrubRow))
	if err != nil || raw == nil {
		return p, err
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return ScrubState{}, s.corrupt(kindMeta, err)
	}
	return p, nil
}

func (s *Store) keepScrub(p *ScrubState) error {
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := s.usable(); err != nil {
		return err
	}
	b := s.engine.NewBatch()
	if err := b.Set([]byte(scrubRow), raw); err != nil {
		return err
	}
	if err := s.engine.Write(b); err != nil {
		return s.fail(err)
	}
	return b.Close()
}

// scrubSlice checks the next rows.
func (s *Store) scrubSlice(ctx context.Context, p *ScrubState) (more bool, err error) {
	it, err := s.engine.Rows(p.Next, []byte{p.Next[0] + 1})
	if err != nil {
		return false, s.readError(kindTable, err)
	}
	defer it.Close()
	size := uint64(0)
	var aside [][]byte
	ok := it.First()
	for rows := 0; ok && rows < scrubRows && size < scrubBytes && ctx.Err() == nil; rows++ {
		key := it.Key()
		value, err := it.ValueAndErr()
		if err == nil {
			size += uint64(len(key) + len(value))
			err = s.checkRow(key, value)
		} else {
			err = s.readError(kind(key[0]), err)
		}
		if isCorrupt(err) {
			p.Corrupt++
			if (kind(key[0]) == kindFrame || kind(key[0]) == kindCover) && len(key) == 27 {
				aside = append(aside, append([]byte(nil), key...))
			}
		} else if err != nil {
			return false, err
		}
		p.Checked++
		p.Next = append(append(p.Next[:0:0], key...), 0)
		ok = it.Next()
	}
	p.Bytes += size
	if err := it.Error(); err != nil {
		// What the engine cannot read it cannot pass over either: the pass goes on at
		// the next kind of row, so that one bad table does not hide the others.
		if err = s.readError(kindTable, err); !isCorrupt(err) {
			return false, err
		}
		p.Corrupt++
		ok = false
	}
	if !ok {
		at := slices.IndexFunc(Kinds(), func(k byte) bool { return k > p.Next[0] })
		if ok = at >= 0; ok {
			p.Next = []byte{Kinds()[at]}
		}
	}
	for _, key := range aside {
		if err := s.moveAside(key); err != nil {
			return false, err
		}
	}
	return ok, ctx.Err()
}

// checkRow opens one row and follows what it leads to. Rows that are replaced
// while they are looked at are no damage.
func (s *Store) checkRow(key, value []byte) error {
	k := kind(key[0]).lower()
	if k == kindMeta || k == kindAside || k == kindIndex {
		return nil
	}
	if k.name() == kindLeaf.name() {
		return s.checkLogRow(k, key, value)
	}
	if len(key) < 17 {
		return s.corrupt(k, nil)
	}
	t, rest := tenantRaw(key[1:17]), key[17:]
	var err error
	switch k {
	case kindFrame:
		err = s.checkFrame(t, key, value)
	case kindCover:
		err = s.checkCover(t, key, value)
	case kindTime:
		if len(rest) != suffixSize {
			return s.corrupt(k, nil)
		}
		if value == nil {
			value = []byte{}
		}
		_, err = s.callListed(t, rest, value)
	case kindFold:
		if _, ok := readFoldRow(value); !ok || len(rest) != tagSize {
			err = s.corrupt(k, nil)
		}
	case kindSpill:
		if len(value) != refSize {
			err = s.corrupt(k, nil)
		}
	case kindPosting:
		if len(rest) != 8+suffixSize {
			err = s.corrupt(k, nil)
		}
	case kindSubject:
		if _, ok := readTenures(value); !ok {
			err = s.corrupt(k, nil)
		}
	case kindRollup:
		if _, _, err = s.openCell(t, key, value); isCorrupt(err) {
			s.suspectCell(t)
		}
	case kindQuarantine:
		_, err = s.openItem(t, key, value)
	case kindItem:
		_, err = s.openItemRow(t, key, value)
	case kindInstance, kindFeed:
		_, err = s.openRow(k, t, key, value)
	}
	if errors.Is(err, errNoEntry) || isReason(err, policy.NotFound) || isReason(err, policy.Destroyed) {
		return nil
	}
	return err
}

func (s *Store) checkFrame(t tenantRaw, key, value []byte) error {
	if len(key) != 27 {
		return s.corrupt(kindFrame, nil)
	}
	f, err := s.openCurrent(t, int64(binary.BigEndian.Uint64(key[17:])), binary.BigEndian.Uint16(key[25:]), value)
	if err != nil {
		return err
	}
	for i := range f.entries {
		if _, err := f.entry(uint16(i)); err != nil {
			return s.corrupt(kindFrame, err)
		}
	}
	return nil
}

// checkCover opens a cover and decodes what it holds. One that was sealed anew since
// it was read is looked at by the next pass.
func (s *Store) checkCover(t tenantRaw, key, value []byte) error {
	if len(key) != 27 {
		return s.corrupt(kindCover, nil)
	}
	c, err := s.openCover(t, readPlace(key[17:]), value)
	if err != nil {
		return err
	}
	for _, f := range c.frames {
		for i := range f.entries {
			if _, err := f.entry(uint16(i)); err != nil {
				return s.corrupt(kindCover, err)
			}
		}
	}
	return nil
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// tenantOf finds a tenant's committer without a permit, for work that moves
// nothing. The caller holds the store open until it calls s.working.Done.
func (s *Store) tenantOf(id policy.TenantID) (*tenant, error) {
	raw, err := rawTenant(id)
	if err != nil {
		return nil, err
	}
	return s.tenantAt(id, raw)
}
