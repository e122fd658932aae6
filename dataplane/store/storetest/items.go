package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Calls that items of the suite belong to; an item's call need not be stored.
const (
	callX = "CA000102030405060708090a0b0c0d0e0f"
	callY = "CAf0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
)

func itemID(k store.ItemKind, n int) string { return fmt.Sprintf("%s%032x", k.IDKind(), n) }

func item(n int, call string) store.Item {
	return store.Item{Kind: store.RecordingItem, ID: itemID(store.RecordingItem, n), Call: call, Body: fmt.Appendf(nil, "body of %d", n)}
}

func (f *fixture) put(tenant policy.TenantID, i store.Item, ifVersion uint64) (store.Item, error) {
	f.t.Helper()
	return f.store.PutItem(context.Background(), PermitOf(f.t, tenant, policy.Store, i.Kind.Class()), i, ifVersion)
}

func (f *fixture) mustPut(tenant policy.TenantID, i store.Item, ifVersion uint64) store.Item {
	f.t.Helper()
	out, err := f.put(tenant, i, ifVersion)
	if err != nil {
		f.t.Fatalf("put an item: %v", err)
	}
	return out
}

func (f *fixture) item(tenant policy.TenantID, k store.ItemKind, id string) (store.Item, error) {
	f.t.Helper()
	return f.store.Item(context.Background(), PermitOf(f.t, tenant, policy.View, k.Class()), k, id)
}

func (f *fixture) deleteItem(tenant policy.TenantID, i store.Item, ifVersion uint64) error {
	f.t.Helper()
	return f.store.DeleteItem(context.Background(), PermitOf(f.t, tenant, policy.Erase, i.Kind.Class()), i.Kind, i.ID, ifVersion)
}

// itemIDs follows all pages of a list.
func (f *fixture) itemIDs(tenant policy.TenantID, q store.ItemQuery) (ids []string) {
	f.t.Helper()
	for {
		page, err := f.store.Items(context.Background(), PermitOf(f.t, tenant, policy.View, q.Kind.Class()), q)
		if err != nil {
			f.t.Fatalf("list items: %v", err)
		}
		for _, i := range page.Items {
			ids = append(ids, i.ID)
		}
		if q.PageToken = page.NextPageToken; q.PageToken == "" {
			return ids
		}
	}
}

// testItems: what was put is there, byte-equal, across a restart; versions are
// compared; what was deleted is gone.
func testItems(t *testing.T, f *fixture) {
	first := f.mustPut(TenantA, item(1, callX), 0)
	if first.Version != 1 || !first.Created.Equal(Epoch) || !first.Updated.Equal(Epoch) {
		t.Fatalf("created as %+v", first)
	}
	_, err := f.put(TenantA, item(1, callX), 0)
	wantReason(t, err, policy.AlreadyExists)
	_, err = f.put(TenantA, item(2, ""), 1)
	wantReason(t, err, policy.NotFound)
	f.clock.Advance(time.Minute)
	next := item(1, callY) // the call does not change
	next.Body = bytes.Repeat([]byte{7}, store.MaxItem)
	second := f.mustPut(TenantA, next, 1)
	if second.Version != 2 || second.Call != callX || !second.Created.Equal(Epoch) || !second.Updated.Equal(Epoch.Add(time.Minute)) {
		t.Fatalf("replaced as version %d of call %s, %v, %v", second.Version, second.Call, second.Created, second.Updated)
	}
	_, err = f.put(TenantA, next, 1)
	wantReason(t, err, policy.ETagMismatch)
	next.Body = append(next.Body, 7)
	_, err = f.put(TenantA, next, 2)
	wantReason(t, err, policy.PayloadTooLarge)
	for range 2 {
		got, err := f.item(TenantA, store.RecordingItem, first.ID)
		if err != nil || !bytes.Equal(got.Body, second.Body) || got.Version != 2 || got.Call != callX || !got.Created.Equal(Epoch) {
			t.Fatalf("read version %d with %d bytes, %v", got.Version, len(got.Body), err)
		}
		f.reopen()
	}
	wantReason(t, f.deleteItem(TenantA, first, 1), policy.ETagMismatch)
	if err := f.deleteItem(TenantA, first, 2); err != nil {
		t.Fatal(err)
	}
	wantReason(t, f.deleteItem(TenantA, first, 0), policy.NotFound)
	_, err = f.item(TenantA, store.RecordingItem, first.ID)
	wantReason(t, err, policy.NotFound)
	for _, call := range []string{"", callX} {
		if ids := f.itemIDs(TenantA, store.ItemQuery{Kind: store.RecordingItem, Call: call}); len(ids) != 0 {
			t.Errorf("a deleted item is listed: %v", ids)
		}
	}
	if again := f.mustPut(TenantA, item(1, callY), 0); again.Version != 1 || again.Call != callY {
		t.Errorf("created again as %+v", again)
	}
}

// testItemLists: by kind and by call, in order of time, in pages, in a span.
func testItemLists(t *testing.T, f *fixture) {
	var want, ofX []string
	for n := range 9 {
		i := item(100-n, "") // ids fall while time rises
		if n%3 == 0 {
			i.Call = callX
			ofX = append(ofX, i.ID)
		}
		if n == 4 {
			i.Call = callY
		}
		want = append(want, f.mustPut(TenantA, i, 0).ID)
		f.clock.Advance(time.Second)
	}
	f.mustPut(TenantA, store.Item{Kind: store.TranscriptItem, ID: itemID(store.TranscriptItem, 1), Call: callX}, 0)
	f.mustPut(TenantB, item(7, callX), 0)
	f.reopen()
	for _, size := range []int{0, 1, 2, 4} {
		if got := f.itemIDs(TenantA, store.ItemQuery{Kind: store.RecordingItem, PageSize: size}); !slices.Equal(got, want) {
			t.Errorf("pages of %d: got %v, want %v", size, got, want)
		}
		if got := f.itemIDs(TenantA, store.ItemQuery{Kind: store.RecordingItem, Call: callX, PageSize: size}); !slices.Equal(got, ofX) {
			t.Errorf("of a call, pages of %d: got %v, want %v", size, got, ofX)
		}
		turned := slices.Clone(want)
		slices.Reverse(turned)
		if got := f.itemIDs(TenantA, store.ItemQuery{Kind: store.RecordingItem, PageSize: size, Newest: true}); !slices.Equal(got, turned) {
			t.Errorf("the latest first, pages of %d: got %v, want %v", size, got, turned)
		}
		between := store.ItemQuery{Kind: store.RecordingItem, Start: Epoch.Add(2 * time.Second), End: Epoch.Add(5 * time.Second), PageSize: size, Newest: true}
		if got := f.itemIDs(TenantA, between); !slices.Equal(got, turned[4:7]) {
			t.Errorf("the latest first in a span, pages of %d: got %v, want %v", size, got, turned[4:7])
		}
	}
	span := store.ItemQuery{Kind: store.RecordingItem, Start: Epoch.Add(2 * time.Second), End: Epoch.Add(5 * time.Second), PageSize: 2}
	if got := f.itemIDs(TenantA, span); !slices.Equal(got, want[2:5]) {
		t.Errorf("in a span: got %v, want %v", got, want[2:5])
	}
	if got := f.itemIDs(TenantA, store.ItemQuery{Kind: store.RecordingItem, Start: span.End, End: span.Start}); len(got) != 0 {
		t.Errorf("in no span: got %v", got)
	}
	ctx, view := context.Background(), PermitOf(t, TenantA, policy.View, policy.Recording)
	page, err := f.store.Items(ctx, view, store.ItemQuery{Kind: store.RecordingItem, PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []store.ItemQuery{{Kind: store.UploadItem}, {Kind: store.RecordingItem, Call: callX}, {Kind: store.RecordingItem, End: Epoch}, {Kind: store.RecordingItem, Newest: true}} {
		q.PageToken = page.NextPageToken
		_, err := f.store.Items(ctx, view, q)
		wantReason(t, err, policy.InvalidArgument)
	}
	_, err = f.store.Items(ctx, PermitOf(t, TenantB, policy.View, policy.Recording), store.ItemQuery{Kind: store.RecordingItem, PageToken: page.NextPageToken})
	wantReason(t, err, policy.InvalidArgument)
}

// testItemUnique: of many that put the same content at once, one succeeds and
// the others learn its id; once it is deleted the tag is free.
func testItemUnique(t *testing.T, f *fixture) {
	tag := bytes.Repeat([]byte{9}, store.MaxItemUnique)
	var mu sync.Mutex
	var won []string
	lost := map[string]int{}
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			i := item(n, "")
			i.Unique = tag
			out, err := f.put(TenantA, i, 0)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won = append(won, out.ID)
				return
			}
			var e *policy.Error
			if !errors.As(err, &e) || e.Reason != policy.AlreadyExists {
				t.Errorf("got %v", err)
				return
			}
			lost[e.Metadata["id"]]++
		})
	}
	all.Wait()
	if len(won) != 1 || lost[won[0]] != 7 {
		t.Fatalf("won: %v; lost to: %v", won, lost)
	}
	i := item(50, "")
	i.Unique = tag
	f.mustPut(TenantB, i, 0) // another tenant's
	winner, err := f.item(TenantA, store.RecordingItem, won[0])
	if err != nil || !bytes.Equal(winner.Unique, tag) {
		t.Fatalf("the tag is not kept: %v", err)
	}
	f.mustPut(TenantA, store.Item{Kind: store.RecordingItem, ID: won[0]}, 1) // the tag does not change
	_, err = f.put(TenantA, i, 0)
	wantReason(t, err, policy.AlreadyExists)
	if err := f.deleteItem(TenantA, winner, 0); err != nil {
		t.Fatal(err)
	}
	f.mustPut(TenantA, i, 0)
}

// testItemKeys: the keys of an item die with it, or with the version that named
// them last, in the store's own key service and across a restart.
func testItemKeys(t *testing.T, f *fixture) {
	if f.store.Keys == nil {
		t.Skip("SKIP ItemKeys: this store does not show its keys")
	}
	draw := func() store.KeyID {
		id, _, err := f.store.Keys.Draw()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	kept, dropped, deleted, other := draw(), draw(), draw(), draw()
	i, gone := item(1, ""), item(2, "")
	i.Keys, gone.Keys = []store.KeyID{kept, dropped}, []store.KeyID{deleted}
	f.mustPut(TenantA, i, 0)
	f.mustPut(TenantA, gone, 0)
	unrelated := item(3, "")
	unrelated.Keys = []store.KeyID{other}
	f.mustPut(TenantA, unrelated, 0)
	i.Keys = []store.KeyID{kept}
	f.mustPut(TenantA, i, 1)
	if err := f.deleteItem(TenantA, gone, 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, id := range []store.KeyID{dropped, deleted} {
			_, err := f.store.Keys.Open(id)
			wantReason(t, err, policy.Destroyed)
		}
		for _, id := range []store.KeyID{kept, other} {
			if _, err := f.store.Keys.Open(id); err != nil {
				t.Fatalf("a key that is in use is gone: %v", err)
			}
		}
		f.reopen()
	}
	if got, err := f.item(TenantA, store.RecordingItem, i.ID); err != nil || !slices.Equal(got.Keys, i.Keys) {
		t.Errorf("the item names %v, %v", got.Keys, err)
	}
	if _, err := f.store.Purge(context.Background(), TenantA); err != nil {
		t.Fatal(err)
	}
	for _, id := range []store.KeyID{kept, other} {
		_, err := f.store.Keys.Open(id)
		wantReason(t, err, policy.Destroyed)
	}
}

// testItemConversion: one item becomes another in one step, with the keys that
// both name; a refusal leaves all as it was.
func testItemConversion(t *testing.T, f *fixture) {
	ctx, ingest := context.Background(), PermitOf(t, TenantA, policy.Ingest, policy.Recording)
	up := store.Item{Kind: store.UploadItem, ID: itemID(store.UploadItem, 1), Call: callX, Body: []byte("half")}
	into := item(1, callX)
	into.Unique = []byte("tag")
	var shared, lost store.KeyID
	if f.store.Keys != nil {
		for _, id := range []*store.KeyID{&shared, &lost} {
			var err error
			if *id, _, err = f.store.Keys.Draw(); err != nil {
				t.Fatal(err)
			}
		}
		up.Keys, into.Keys = []store.KeyID{shared, lost}, []store.KeyID{shared}
	}
	f.mustPut(TenantA, up, 0)
	for _, refused := range []struct {
		id      string
		version uint64
		want    policy.Reason
	}{{up.ID, 2, policy.ETagMismatch}, {itemID(store.UploadItem, 9), 1, policy.NotFound}} {
		_, err := f.store.ConvertItem(ctx, ingest, store.UploadItem, refused.id, refused.version, into)
		wantReason(t, err, refused.want)
	}
	if _, err := f.item(TenantA, store.RecordingItem, into.ID); !isReason(err, policy.NotFound) {
		t.Fatalf("a refused conversion left its result: %v", err)
	}
	out, err := f.store.ConvertItem(ctx, ingest, store.UploadItem, up.ID, 1, into)
	if err != nil || out.Version != 1 {
		t.Fatalf("converted to version %d, %v", out.Version, err)
	}
	f.reopen()
	_, err = f.item(TenantA, store.UploadItem, up.ID)
	wantReason(t, err, policy.NotFound)
	if got, err := f.item(TenantA, store.RecordingItem, into.ID); err != nil || string(got.Body) != "body of 1" {
		t.Fatalf("the result is %q, %v", got.Body, err)
	}
	f.mustPut(TenantA, up, 0)
	same := item(2, callX)
	same.Unique = into.Unique
	_, err = f.store.ConvertItem(ctx, ingest, store.UploadItem, up.ID, 1, same)
	wantReason(t, err, policy.AlreadyExists)
	if _, err := f.item(TenantA, store.UploadItem, up.ID); err != nil {
		t.Errorf("a refused conversion took what was to be converted: %v", err)
	}
	if f.store.Keys == nil {
		return
	}
	if _, err := f.store.Keys.Open(shared); err != nil {
		t.Errorf("a key that both name is gone: %v", err)
	}
	_, err = f.store.Keys.Open(lost)
	wantReason(t, err, policy.Destroyed)
}

// testItemIsolation: a foreign item looks absent, and keeps out of nobody's way.
func testItemIsolation(t *testing.T, f *fixture) {
	a := f.mustPut(TenantA, item(1, callX), 0)
	_, foreign := f.item(TenantB, store.RecordingItem, a.ID)
	_, absent := f.item(TenantB, store.RecordingItem, itemID(store.RecordingItem, 99))
	_, malformed := f.item(TenantB, store.RecordingItem, "RE/../"+a.ID)
	_, otherKind := f.item(TenantA, store.TranscriptItem, a.ID)
	for _, err := range []error{foreign, absent, malformed, otherKind} {
		if wantReason(t, err, policy.NotFound); err.Error() != absent.Error() {
			t.Errorf("foreign %q and absent %q differ", err, absent)
		}
	}
	wantReason(t, f.deleteItem(TenantB, a, 0), policy.NotFound)
	_, err := f.put(TenantB, a, a.Version)
	wantReason(t, err, policy.NotFound)
	f.mustPut(TenantB, item(1, callX), 0)
	if ids := f.itemIDs(TenantB, store.ItemQuery{Kind: store.RecordingItem, Call: callX}); len(ids) != 1 {
		t.Errorf("tenant B sees %v", ids)
	}
}

// testItemPermits: each kind wants its class, each method its operations.
func testItemPermits(t *testing.T, f *fixture) {
	ctx := context.Background()
	for n, kind := range []store.ItemKind{store.RecordingItem, store.TranscriptItem, store.TranscriptTextItem, store.UploadItem, store.HoldItem, store.CertificateItem, store.OwnershipItem, store.DeletionItem} {
		next := 0
		methods := map[string]struct {
			ops  []policy.Operation
			call func(policy.Permit) error
		}{
			"put": {[]policy.Operation{policy.Ingest, policy.Store, policy.Process, policy.Erase}, func(p policy.Permit) error {
				next++
				_, err := f.store.PutItem(ctx, p, store.Item{Kind: kind, ID: itemID(kind, 1000*n+next)}, 0)
				return err
			}},
			"read": {[]policy.Operation{policy.View, policy.Process, policy.Erase}, func(p policy.Permit) error {
				_, err := f.store.Item(ctx, p, kind, itemID(kind, 1<<20))
				return orNotFound(err)
			}},
			"list": {[]policy.Operation{policy.View, policy.Process, policy.Erase}, func(p policy.Permit) error { _, err := f.store.Items(ctx, p, store.ItemQuery{Kind: kind}); return err }},
			"delete": {[]policy.Operation{policy.Erase}, func(p policy.Permit) error {
				return orNotFound(f.store.DeleteItem(ctx, p, kind, itemID(kind, 1<<20), 0))
			}},
		}
		for name, m := range methods {
			wantReason(t, m.call(policy.Permit{}), policy.PermissionDenied)
			wantReason(t, m.call(PermitOf(t, TenantA, m.ops[0], policy.BillingUsage)), policy.PermissionDenied)
			for _, op := range policy.Operations() {
				err := m.call(PermitOf(t, TenantA, op, kind.Class()))
				if slices.Contains(m.ops, op) && err != nil || !slices.Contains(m.ops, op) && !isReason(err, policy.PermissionDenied) {
					t.Errorf("%s of a %s under %s: %v", name, kind, op, err)
				}
			}
		}
	}
}

func orNotFound(err error) error {
	if isReason(err, policy.NotFound) {
		return nil
	}
	return err
}
