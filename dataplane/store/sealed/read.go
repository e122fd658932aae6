package sealed

import (
	"bytes"
	"container/list"
	"context"
	"crypto/aes"
	"encoding/hex"
	"errors"
	"sync"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// callID writes a call's ref as its public id: one block of AES under a region
// key over (chunk, frame, entry, tenant tag). It looks random, is never
// repeated, tells nothing of time to anybody without the key, and costs neither
// a row nor a look-up (DESIGN.md, "Ids").
func (s *Store) callID(t tenantRaw, call ref) string {
	var w callIDText
	return string(w.of(s, t, call))
}

// callIDText is where a call's id is written.
type callIDText struct {
	raw  [aes.BlockSize]byte
	text [2 + 2*aes.BlockSize]byte
}

// of writes the id of a call; it is valid until the next.
func (w *callIDText) of(s *Store, t tenantRaw, call ref) []byte {
	call.append(w.raw[:0])
	copy(w.raw[refSize:], t[:4])
	s.ids.Encrypt(w.raw[:], w.raw[:])
	record.PutHex(w.text[copy(w.text[:], policy.KindCall):], w.raw[:])
	return w.text[:]
}

// callRef reads it back; a foreign tenant's id is as unknown as one never given out.
func (s *Store) callRef(t tenantRaw, id string) (ref, bool) {
	if !policy.ValidID(policy.KindCall, id) {
		return ref{}, false
	}
	var b [16]byte
	if _, err := hex.Decode(b[:], []byte(id[2:])); err != nil {
		return ref{}, false
	}
	s.ids.Decrypt(b[:], b[:])
	return readRef(b[:]), [4]byte(b[refSize:]) == [4]byte(t[:4])
}

// Call implements store.Store.
func (s *Store) Call(_ context.Context, permit policy.Permit, id string) (store.Call, error) {
	t, err := s.enterAny(permit, policy.View, policy.Erase)
	if err != nil {
		return store.Call{}, err
	}
	defer s.working.Done()
	absent := policy.Errorf(policy.NotFound, "there is no such call")
	at, ok := s.callRef(t.raw, id)
	if !ok {
		return store.Call{}, absent
	}
	f, err := s.frameAt(t.raw, at.chunk, at.frame)
	if err != nil {
		if isReason(err, policy.NotFound) {
			if err = t.asideOf(at); err == nil {
				err = absent
			}
		}
		return store.Call{}, err
	}
	first, err := f.entry(at.entry)
	if err != nil || first.kind.gone() || first.call != at {
		return store.Call{}, absent
	}
	c, err := s.callListed(t.raw, append(timeBytes(first.listed), at.append(nil)...), nil)
	if errors.Is(err, errNoEntry) {
		return store.Call{}, absent
	}
	return c, err
}

// errNoEntry: nothing stands at a place. Whether that is corruption or the work
// of a rewrite says the index that led there.
var errNoEntry = errors.New("no entry stands at this place")

// callListed gives the view of the call that a time row or posting led to;
// suffix is the row's, value that of the time row, nil when it is not known.
// errNoEntry when the call was dropped since the row was read.
func (s *Store) callListed(t tenantRaw, suffix, value []byte) (store.Call, error) {
	known := value != nil
	for {
		if !known {
			var err error
			if value, err = s.get(kindTime, append(keyOf(nil, kindTime, t), suffix...)); err != nil {
				return store.Call{}, err
			}
			if value == nil {
				return store.Call{}, errNoEntry
			}
		}
		c, err := s.callAt(t, readRef(suffix[8:]), value)
		if !errors.Is(err, errNoEntry) {
			return c, err
		}
		again, getErr := s.get(kindTime, append(keyOf(nil, kindTime, t), suffix...))
		if getErr != nil {
			return store.Call{}, getErr
		}
		if again != nil && bytes.Equal(again, value) {
			return store.Call{}, s.corrupt(kindFrame, errFrame)
		}
		known = false
	}
}

// callAt opens the view of a call; value is that of its time row.
func (s *Store) callAt(t tenantRaw, call ref, value []byte) (store.Call, error) {
	at := call
	switch len(value) {
	case 0:
	case refSize:
		at = readRef(value)
	default:
		return store.Call{}, s.corrupt(kindTime, nil)
	}
	e, err := s.entryAt(t, at, call)
	if err != nil {
		return store.Call{}, err
	}
	return s.callOf(t, &e), nil
}

func (s *Store) callOf(t tenantRaw, e *entry) store.Call {
	return store.Call{ID: s.callID(t, e.call), Record: e.record, IngestedAt: time.UnixMicro(e.first).UTC(),
		UpdatedAt: time.UnixMicro(e.ingest).UTC(), ListedAt: time.UnixMicro(e.listed).UTC(), Versions: int(e.count)}
}

// entryAt reads the entry at a place and checks that it belongs to the call;
// errNoEntry when none stands there.
func (s *Store) entryAt(t tenantRaw, at, call ref) (entry, error) {
	f, err := s.frameAt(t, at.chunk, at.frame)
	if err != nil {
		if isReason(err, policy.NotFound) {
			return entry{}, errNoEntry
		}
		return entry{}, err
	}
	e, err := f.entry(at.entry)
	if err == nil && e.kind.gone() {
		return entry{}, errNoEntry
	}
	if err != nil || e.call != call {
		return entry{}, s.corrupt(kindFrame, err)
	}
	return e, nil
}

// frameAt opens a frame, from the cache when it was used lately. NOT_FOUND when
// there is none.
func (s *Store) frameAt(t tenantRaw, chunk int64, number uint16) (*frame, error) {
	k := frameID{t, chunk, number, false}
	held, since, ok := s.frames.find(k)
	if ok {
		return held.frame, nil
	}
	var buf [32]byte
	value, err := s.get(kindFrame, frameKey(buf[:0], t, chunk, number))
	if err != nil {
		return nil, err
	}
	if value == nil {
		return nil, errNoFrame
	}
	f, err := s.openCurrent(t, chunk, number, value)
	if err == nil && !f.covered { // else its cover is kept
		s.frames.add(k, opened{frame: f}, since)
	}
	return f, err
}

var errNoFrame = policy.Errorf(policy.NotFound, "there is no such frame")

// openCurrent opens a frame that was read from its row, or that the row leads to.
// When its key was destroyed since, because its chunk was sealed anew, or its
// cover has gone, the row is read again.
func (s *Store) openCurrent(t tenantRaw, chunk int64, number uint16, value []byte) (*frame, error) {
	for {
		f, err := s.openStored(t, framePlace{chunk, number}, value)
		if isCorrupt(err) {
			s.suspect(framePlace{chunk, number}, t)
		}
		if !isReason(err, policy.Destroyed) && !errors.Is(err, errNoCover) {
			return f, err
		}
		again, readErr := s.get(kindFrame, frameKey(nil, t, chunk, number))
		if readErr != nil {
			return nil, readErr
		}
		if again == nil {
			return nil, errNoFrame
		}
		if bytes.Equal(again, value) {
			if errors.Is(err, errNoCover) {
				err = s.corrupt(kindCover, err)
				s.suspect(framePlace{chunk, number}, t)
			}
			return nil, err
		}
		value = again
	}
}

type frameID struct {
	tenant tenantRaw
	chunk  int64
	number uint16
	cover  bool // it is a cover of that name
}

// opened is a frame or a cover.
type opened struct {
	frame *frame
	cover *cover
}

func (o opened) size() int {
	if o.cover != nil {
		return o.cover.size
	}
	return o.frame.size
}

// frameCache is an LRU of opened frames and covers, bounded by their bytes. A
// covered frame is in it only with its cover. What is in it is plaintext, and so is
// held no longer than its key is.
type frameCache struct {
	now   func() time.Time
	mu    sync.Mutex
	max   int
	size  int
	order list.List // of *cachedFrame, latest first
	drops uint64    // how often something was taken out because it changed
	at    map[frameID]*list.Element
}

type cachedFrame struct {
	id    frameID
	held  opened
	since time.Time
}

func newFrameCache(limit int, now func() time.Time) *frameCache {
	return &frameCache{max: limit, now: now, at: map[frameID]*list.Element{}}
}

// find gives a frame, or what add wants to know: since when it was not there.
func (c *frameCache) find(id frameID) (held opened, since uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.at[id]
	if !ok {
		return held, c.drops, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*cachedFrame).held, c.drops, true
}

// add keeps a frame that was read after find, unless something was
// dropped meanwhile: it might be what the frame was before.
func (c *frameCache) add(id frameID, held opened, since uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.at[id]; ok || c.drops != since {
		return
	}
	c.at[id] = c.order.PushFront(&cachedFrame{id, held, c.now()})
	c.size += held.size()
	for c.size > c.max && c.order.Len() > 1 {
		c.remove(c.order.Back())
	}
}

func (c *frameCache) remove(e *list.Element) {
	old := c.order.Remove(e).(*cachedFrame)
	delete(c.at, old.id)
	c.size -= old.held.size()
}

// drop takes out every frame of some chunks of a tenant, and the covers named by
// them, also those that are being read now.
func (c *frameCache) drop(t tenantRaw, chunks map[int64]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	for id, e := range c.at {
		if id.tenant == t && chunks[id.chunk] {
			c.remove(e)
		}
	}
}

// dropTenant takes out every frame of a tenant, also those that are being read now.
func (c *frameCache) dropTenant(t tenantRaw) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	for id, e := range c.at {
		if id.tenant == t {
			c.remove(e)
		}
	}
}

// expire takes out what has been held for too long. Reading one anew costs what it
// cost the first time.
func (c *frameCache) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for _, e := range c.at {
		if tooOld(e.Value.(*cachedFrame).since, now) {
			c.remove(e)
		}
	}
}

func (c *frameCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.order.Init()
	clear(c.at)
	c.size = 0
	c.drops++
}
