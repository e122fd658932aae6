package local

import (
	"container/list"
	"context"
	"encoding/hex"
	"sync"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// callID writes a call's ref as its public id: one block of AES under a region
// key over (chunk, frame, entry, tenant tag). It looks random, is never
// repeated, tells nothing of time to anybody without the key, and costs neither
// a row nor a look-up (DESIGN.md, "Ids").
func (s *Store) callID(t tenantRaw, call ref) string {
	var b [16]byte
	call.append(b[:0])
	copy(b[refSize:], t[:4])
	s.ids.Encrypt(b[:], b[:])
	return string(policy.KindCall) + hex.EncodeToString(b[:])
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
	t, err := s.enter(permit, policy.View)
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
			return store.Call{}, absent
		}
		return store.Call{}, err
	}
	first, err := f.entry(at.entry)
	if err != nil || first.call != at {
		return store.Call{}, absent
	}
	value, err := s.get(kindTime, timeKey(nil, t.raw, first.listed, at))
	if err != nil {
		return store.Call{}, err
	}
	if value == nil {
		return store.Call{}, s.corrupt(kindTime, nil)
	}
	return s.callAt(t.raw, at, value)
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
	return s.callOf(t, &e, at)
}

func (s *Store) callOf(t tenantRaw, e *entry, at ref) (store.Call, error) {
	f, err := s.frameAt(t, at.chunk, at.frame)
	if err != nil {
		return store.Call{}, err
	}
	return store.Call{ID: s.callID(t, e.call), Record: e.record, IngestedAt: time.UnixMicro(e.first).UTC(),
		UpdatedAt: time.UnixMicro(f.ingest).UTC(), ListedAt: time.UnixMicro(e.listed).UTC(), Versions: int(e.count)}, nil
}

// entryAt reads the entry at a place and checks that it belongs to the call. An
// index that points at nothing is corruption, not absence.
func (s *Store) entryAt(t tenantRaw, at, call ref) (entry, error) {
	f, err := s.frameAt(t, at.chunk, at.frame)
	if err != nil {
		if isReason(err, policy.NotFound) {
			return entry{}, s.corrupt(kindFrame, err)
		}
		return entry{}, err
	}
	e, err := f.entry(at.entry)
	if err != nil || e.call != call {
		return entry{}, s.corrupt(kindFrame, err)
	}
	return e, nil
}

// frameAt opens a frame, from the cache when it was used lately. NOT_FOUND when
// there is none.
func (s *Store) frameAt(t tenantRaw, chunk int64, number uint16) (*frame, error) {
	k := frameID{t, chunk, number}
	if f, ok := s.frames.find(k); ok {
		return f, nil
	}
	var buf [32]byte
	value, err := s.get(kindFrame, frameKey(buf[:0], t, chunk, number))
	if err != nil {
		return nil, err
	}
	if value == nil {
		return nil, policy.Errorf(policy.NotFound, "there is no such frame")
	}
	f, err := s.openFrame(t, chunk, number, value)
	if err != nil {
		return nil, err
	}
	s.frames.add(k, f)
	return f, nil
}

type frameID struct {
	tenant tenantRaw
	chunk  int64
	number uint16
}

// frameCache is an LRU of opened frames, bounded by their bytes.
type frameCache struct {
	mu    sync.Mutex
	max   int
	size  int
	order list.List // of *cachedFrame, latest first
	at    map[frameID]*list.Element
}

type cachedFrame struct {
	id    frameID
	frame *frame
}

func newFrameCache(limit int) *frameCache {
	return &frameCache{max: limit, at: map[frameID]*list.Element{}}
}

func (c *frameCache) find(id frameID) (*frame, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.at[id]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*cachedFrame).frame, true
}

func (c *frameCache) add(id frameID, f *frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.at[id]; ok {
		return
	}
	c.at[id] = c.order.PushFront(&cachedFrame{id, f})
	c.size += f.size
	for c.size > c.max && c.order.Len() > 1 {
		e := c.order.Back()
		old := c.order.Remove(e).(*cachedFrame)
		delete(c.at, old.id)
		c.size -= old.frame.size
	}
}

func (c *frameCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.order.Init()
	clear(c.at)
	c.size = 0
}
