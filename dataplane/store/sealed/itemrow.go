package sealed

import (
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// itemNumbers are the kinds of items as they stand in keys; append-only.
var itemNumbers = map[store.ItemKind]byte{store.RecordingItem: 1, store.TranscriptItem: 2, store.UploadItem: 3,
	store.HoldItem: 4, store.CertificateItem: 5, store.OwnershipItem: 6, store.DeletionItem: 7, store.TranscriptTextItem: 16}

// An item's row is a clear header and the sealed rest:
//
//	format 1, the version's own key 16, version 8, created µs 8, updated µs 8,
//	call (0, or 1 and 16 bytes), number of keys 1, each 16, length of the unique tag 1, it
//	sealed under the version's own key, nonce 0: the body
//
// The header is part of the additional data. The keys stand in clear, so that
// they can be destroyed even when the body does not open.
type itemRow struct {
	key  store.KeyID
	item store.Item // without Body
	head int        // bytes of the header
}

const minItemRow = 1 + 16 + 8 + 8 + 8 + 1 + 1 + 1

func appendKeyID(dst []byte, id store.KeyID) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, id.Generation), id.Index)
}

func readKeyID(b []byte) store.KeyID {
	return store.KeyID{Generation: binary.BigEndian.Uint64(b), Index: binary.BigEndian.Uint64(b[8:])}
}

func readMicro(b []byte) time.Time { return time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC() }

// sealItem draws a key and seals one version of an item for its place.
func (s *Store) sealItem(t tenantRaw, place []byte, item *store.Item) ([]byte, error) {
	id, key, err := s.keys.For(store.UseIngest).Draw()
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, minItemRow+16+16*len(item.Keys)+len(item.Unique)+len(item.Body)+16)
	out = appendKeyID(append(out, format), id)
	out = binary.BigEndian.AppendUint64(out, item.Version)
	out = binary.BigEndian.AppendUint64(out, uint64(item.Created.UnixMicro()))
	out = binary.BigEndian.AppendUint64(out, uint64(item.Updated.UnixMicro()))
	if item.Call == "" {
		out = append(out, 0)
	} else if out, err = hex.AppendDecode(append(out, 1), []byte(item.Call[2:])); err != nil {
		return nil, err
	}
	out = append(out, byte(len(item.Keys)))
	for _, k := range item.Keys {
		out = appendKeyID(out, k)
	}
	out = append(append(out, byte(len(item.Unique))), item.Unique...)
	var nonce [12]byte // the key seals nothing else
	return aead.Seal(out, nonce[:], item.Body, s.aad(kindItem, t, id, append(place[:len(place):len(place)], out...))), nil
}

// readItemRow reads the header of a row; what is malformed is corruption.
func (s *Store) readItemRow(key, value []byte) (itemRow, error) {
	r, ok := parseItemRow(value)
	if !ok || len(key) != 1+16+1+16 {
		return r, s.corrupt(kindItem, nil)
	}
	for kind, n := range itemNumbers {
		if n == key[17] {
			r.item.Kind = kind
		}
	}
	if r.item.Kind == "" {
		return r, s.corrupt(kindItem, nil)
	}
	r.item.ID = string(r.item.Kind.IDKind()) + hex.EncodeToString(key[18:])
	return r, nil
}

// parseItemRow reads what a row says of itself; kind and id stand in its key.
func parseItemRow(value []byte) (r itemRow, ok bool) {
	if len(value) < minItemRow || value[0] != format {
		return r, false
	}
	c := cursorOf(value[1:])
	if b := c.take(16); b != nil {
		r.key = readKeyID(b)
	}
	if b := c.take(24); b != nil {
		r.item.Version, r.item.Created, r.item.Updated = binary.BigEndian.Uint64(b), readMicro(b[8:]), readMicro(b[16:])
	}
	if c.byte() == 1 {
		r.item.Call = string(policy.KindCall) + hex.EncodeToString(c.take(16))
	}
	for range c.byte() {
		if b := c.take(16); b != nil {
			r.item.Keys = append(r.item.Keys, readKeyID(b))
		}
	}
	if n := int(c.byte()); n > 0 {
		r.item.Unique = append([]byte(nil), c.take(n)...)
	}
	r.head = len(value) - len(c.b)
	return r, !c.bad
}

// openItemRow opens a whole item. A version whose key is destroyed is gone.
func (s *Store) openItemRow(t tenantRaw, key, value []byte) (store.Item, error) {
	r, err := s.readItemRow(key, value)
	if err != nil {
		return store.Item{}, err
	}
	raw, err := s.keys.For(store.UseRead).Open(r.key)
	if err != nil {
		if isReason(err, policy.Internal) {
			return store.Item{}, s.corrupt(kindItem, err)
		}
		return store.Item{}, err
	}
	aead, err := newAEAD(raw)
	if err != nil {
		return store.Item{}, err
	}
	var nonce [12]byte
	place := append(append([]byte(nil), key...), value[:r.head]...)
	if r.item.Body, err = aead.Open(nil, nonce[:], value[r.head:], s.aad(kindItem, t, r.key, place)); err != nil {
		return store.Item{}, s.corrupt(kindItem, err)
	}
	return r.item, nil
}

// itemKey is the row of an item; nil when the id is not one of the kind.
func itemKey(t tenantRaw, kind store.ItemKind, id string) []byte {
	n, ok := itemNumbers[kind]
	if !ok || !policy.ValidID(kind.IDKind(), id) {
		return nil
	}
	key, err := hex.AppendDecode(append(keyOf(nil, kindItem, t), n), []byte(id[2:]))
	if err != nil {
		return nil
	}
	return key
}

// itemListKey begins a key of one of the two orders: of all items of the kind
// (call ""), or of a call's.
func itemListKey(t tenantRaw, kind store.ItemKind, call string) []byte {
	if call == "" {
		return append(keyOf(nil, kindItemTime, t), itemNumbers[kind])
	}
	key, err := hex.AppendDecode(keyOf(nil, kindItemCall, t), []byte(call[2:]))
	if err != nil {
		return nil
	}
	return append(key, itemNumbers[kind])
}

func itemUniqueKey(t tenantRaw, kind store.ItemKind, unique []byte) []byte {
	return append(append(keyOf(nil, kindItemUnique, t), itemNumbers[kind]), unique...)
}
