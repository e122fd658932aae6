package sealed

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// idQuarantine is the kind of quarantined items' ids.
const idQuarantine policy.IDKind = "QU"

// quarantineHead is sealed in front of a quarantined payload. Writer, N and
// Salt bind the item into receipts, as they do stored versions.
type quarantineHead struct {
	Writer []byte            `json:"writer"`
	N      uint64            `json:"n"`
	Salt   []byte            `json:"salt"`
	Item   store.Quarantined `json:"item"` // without ID and Payload
}

// Quarantine implements store.Store.
func (s *Store) Quarantine(ctx context.Context, permit policy.Permit, items []store.Quarantined) ([]string, error) {
	t, err := s.enter(permit, policy.Ingest)
	if err != nil {
		return nil, err
	}
	defer s.working.Done()
	if err := s.room(s.now()); err != nil {
		return nil, err
	}
	if len(items) > store.MaxAppend {
		return nil, policy.Errorf(policy.InvalidArgument, "at most %d items at once", store.MaxAppend)
	}
	ids := make([]string, len(items))
	b := s.engine.NewBatch()
	t.build.Lock()
	n := t.nextN
	for i := range items {
		if ids[i], err = t.quarantine(b, &items[i]); err != nil {
			break
		}
	}
	if err != nil {
		t.nextN = n
		t.build.Unlock()
		return nil, err
	}
	err = t.apply(ctx, b)
	t.build.Unlock()
	if err != nil {
		return nil, err
	}
	return ids, s.sync(b)
}

// quarantine seals one item into the batch.
func (t *tenant) quarantine(b Batch, item *store.Quarantined) (string, error) {
	if len(item.Payload) > store.MaxNative {
		return "", policy.Errorf(policy.PayloadTooLarge, "a quarantined payload may hold %d bytes", store.MaxNative)
	}
	head := quarantineHead{Writer: t.s.writer[:], N: t.nextN, Salt: make([]byte, 16), Item: *item}
	head.Item.ID, head.Item.Payload = "", nil
	if head.Item.ReceivedAt.IsZero() {
		head.Item.ReceivedAt = t.s.now().UTC()
	}
	if _, err := io.ReadFull(t.s.rand, head.Salt); err != nil {
		return "", err
	}
	id, err := policy.NewID(idQuarantine, t.s.rand)
	if err != nil {
		return "", err
	}
	meta, err := json.Marshal(head)
	if err != nil {
		return "", err
	}
	plain := append(binary.AppendUvarint(nil, uint64(len(meta))), meta...)
	key, _ := quarantineKey(t.raw, id)
	value, err := t.s.sealOwn(kindQuarantine, t.raw, key, append(plain, item.Payload...))
	if err != nil {
		return "", err
	}
	t.nextN++
	return id, b.Set(key, value)
}

func quarantineKey(t tenantRaw, id string) ([]byte, bool) {
	if !policy.ValidID(idQuarantine, id) {
		return nil, false
	}
	key, err := hex.AppendDecode(keyOf(nil, kindQuarantine, t), []byte(id[2:]))
	return key, err == nil
}

// Quarantines implements store.Store, in order of id.
func (s *Store) Quarantines(_ context.Context, permit policy.Permit, size int, token string) ([]store.Quarantined, string, error) {
	t, err := s.enterAny(permit, policy.View, policy.Erase)
	if err != nil {
		return nil, "", err
	}
	defer s.working.Done()
	if size, err = pageSize(size); err != nil {
		return nil, "", err
	}
	scope := []byte("quarantine")
	last, err := s.openToken(t.raw, scope, token, 16)
	if err != nil {
		return nil, "", err
	}
	prefix := keyOf(nil, kindQuarantine, t.raw)
	lower := prefix
	if last != nil {
		lower = append(append(keyOf(nil, kindQuarantine, t.raw), last...), 0)
	}
	it, err := s.engine.Rows(lower, after(prefix))
	if err != nil {
		return nil, "", s.readError(kindQuarantine, err)
	}
	defer it.Close()
	var out []store.Quarantined
	bytes := 0
	for ok := it.First(); ok; ok = it.Next() {
		if len(out) == size || bytes > maxPageBytes {
			token, err := s.sealToken(t.raw, scope, last)
			return out, token, err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, "", s.readError(kindQuarantine, err)
		}
		item, err := s.openItem(t.raw, it.Key(), value)
		if err != nil {
			return nil, "", err
		}
		last = append(last[:0], it.Key()[17:]...)
		bytes += len(item.Payload)
		out = append(out, item)
	}
	if err := it.Error(); err != nil {
		return nil, "", s.readError(kindQuarantine, err)
	}
	return out, "", nil
}

// maxPageBytes bounds the payload bytes of a page of calls or of quarantined ones;
// it is then short.
const maxPageBytes = 16 << 20

func (s *Store) openItem(t tenantRaw, key, value []byte) (store.Quarantined, error) {
	plain, err := s.openRow(kindQuarantine, t, key, value)
	if err != nil {
		return store.Quarantined{}, err
	}
	c := cursorOf(plain)
	meta := c.take(int(min(c.uvarint(), maxFrame+1)))
	var head quarantineHead
	if err := json.Unmarshal(meta, &head); err != nil || c.bad {
		return store.Quarantined{}, s.corrupt(kindQuarantine, err)
	}
	head.Item.ID = string(idQuarantine) + hex.EncodeToString(key[17:])
	head.Item.Payload = c.b
	return head.Item, nil
}

// Unquarantine implements store.Store. Its key is destroyed before it returns.
// The item's number is not given out again; its salt goes with it.
func (s *Store) Unquarantine(ctx context.Context, permit policy.Permit, id string) error {
	t, err := s.enterAny(permit, policy.Process, policy.Erase)
	if err != nil {
		return err
	}
	defer s.working.Done()
	absent := policy.Errorf(policy.NotFound, "there is no such quarantined item")
	key, ok := quarantineKey(t.raw, id)
	if !ok {
		return absent
	}
	old, err := s.get(kindQuarantine, key)
	if err != nil {
		return err
	}
	if old == nil {
		return absent
	}
	b := s.engine.NewBatch()
	if err := b.Delete(key); err != nil {
		return err
	}
	// Only a value that opens is believed about its key.
	if _, err := s.openRow(kindQuarantine, t.raw, key, old); err == nil && ownKey(old) {
		if err := b.Set(destroyKey(t.raw, keyIn(old)), nil); err != nil {
			return err
		}
	}
	if err := s.noteFor(ctx, b, store.Rewritten{}); err != nil {
		return err
	}
	if err := t.apply(ctx, b); err != nil {
		return err
	}
	if err := s.sync(b); err != nil {
		return err
	}
	return s.finishDestroying(t)
}
