package sealed

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"math"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// maxItemPage bounds the body bytes of a page; it is then short.
const maxItemPage = 16 << 20

// itemPosition is the end of a list key: created and id.
const itemPosition = 8 + 16

// itemOrders are the keys under which an item is listed.
func itemOrders(t tenantRaw, item *store.Item) (keys [][]byte) {
	position := binary.BigEndian.AppendUint64(nil, orderedTime(item.Created.UnixMicro()))
	position, _ = hex.AppendDecode(position, []byte(item.ID[2:])) // checked before
	keys = append(keys, append(itemListKey(t, item.Kind, ""), position...))
	if item.Call != "" {
		keys = append(keys, append(itemListKey(t, item.Kind, item.Call), position...))
	}
	return keys
}

// Items implements store.Store.
func (s *Store) Items(_ context.Context, permit policy.Permit, q store.ItemQuery) (store.ItemPage, error) {
	t, err := s.enterItem(permit, q.Kind, policy.View, policy.Process, policy.Erase)
	if err != nil {
		return store.ItemPage{}, err
	}
	defer s.working.Done()
	if q.PageSize, err = pageSize(q.PageSize); err != nil {
		return store.ItemPage{}, err
	}
	if q.Call != "" && !policy.ValidID(policy.KindCall, q.Call) {
		return store.ItemPage{}, nil
	}
	scope := itemScope(q)
	after, err := s.openToken(t.raw, scope, q.PageToken, itemPosition)
	if err != nil {
		return store.ItemPage{}, err
	}
	if q.Call != "" {
		if none, err := t.noCallHasItems(); err != nil || none {
			return store.ItemPage{}, err
		}
	}
	it, err := s.engine.Rows(itemRange(t.raw, q, after))
	if err != nil {
		return store.ItemPage{}, s.readError(kindItem, err)
	}
	defer it.Close()
	var page store.ItemPage
	var last []byte
	size := 0
	first, next := it.First, it.Next
	if q.Newest {
		first, next = it.Last, it.Prev
	}
	for ok := first(); ok; ok = next() {
		if len(page.Items) == q.PageSize || size > maxItemPage {
			page.NextPageToken, err = s.sealToken(t.raw, scope, last)
			return page, err
		}
		position := it.Key()[len(it.Key())-itemPosition:]
		item, err := s.itemIn(t, append(append(keyOf(nil, kindItem, t.raw), itemNumbers[q.Kind]), position[8:]...))
		if err != nil {
			return store.ItemPage{}, err
		}
		last = append(last[:0], position...)
		if item.ID == "" {
			continue // deleted since
		}
		size += len(item.Body)
		page.Items = append(page.Items, item)
	}
	if err := it.Error(); err != nil {
		return store.ItemPage{}, s.readError(kindItem, err)
	}
	return page, nil
}

func itemRange(t tenantRaw, q store.ItemQuery, last []byte) (lower, upper []byte) {
	prefix := itemListKey(t, q.Kind, q.Call)
	start, end := int64(math.MinInt64), int64(math.MaxInt64)
	if !q.Start.IsZero() {
		start = q.Start.UnixMicro()
	}
	if !q.End.IsZero() {
		end = q.End.UnixMicro()
	}
	lower = binary.BigEndian.AppendUint64(prefix[:len(prefix):len(prefix)], orderedTime(start))
	upper = binary.BigEndian.AppendUint64(prefix[:len(prefix):len(prefix)], orderedTime(end))
	switch position := append(prefix[:len(prefix):len(prefix)], last...); {
	case last != nil && q.Newest:
		upper = position
	case last != nil:
		lower = append(position, 0)
	}
	if bytes.Compare(lower, upper) > 0 {
		upper = lower // nothing
	}
	return lower, upper
}

// itemScope is what a token of Items is bound to; the page size may change.
func itemScope(q store.ItemQuery) []byte {
	b := append([]byte("items\x00"), itemNumbers[q.Kind])
	b = append(b, q.Call...)
	b = append(b, 0)
	if q.Newest {
		b = append(b, 1)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(q.Start.UnixMicro()))
	return binary.BigEndian.AppendUint64(b, uint64(q.End.UnixMicro()))
}
