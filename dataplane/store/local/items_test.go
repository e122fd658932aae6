package local_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	keyring "github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

const itemID = "RE000102030405060708090a0b0c0d0e0f"

func putItem(t *testing.T, s *local.Store, body string, ifVersion uint64) {
	t.Helper()
	i := store.Item{Kind: store.RecordingItem, ID: itemID, Unique: []byte("keyed tag"), Body: []byte(body)}
	if _, err := s.PutItem(context.Background(), storetest.PermitOf(t, storetest.TenantA, policy.Ingest, policy.Recording), i, ifVersion); err != nil {
		t.Fatal(err)
	}
}

// A copy of the records from before an item was replaced opens nothing of the
// replaced version with the keyring of after it, and what is there is not served.
func TestINV21_ReplacedItemLeavesNoKeyForACopy(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	s, stop := openAt(t, dir, nil)
	putItem(t, s, "first Aoife Canary", 0)
	stop()
	if err := os.CopyFS(filepath.Join(dir, "copy"), os.DirFS(filepath.Join(dir, "records"))); err != nil {
		t.Fatal(err)
	}
	s, stop = openAt(t, dir, nil)
	putItem(t, s, "second", 1)
	stop()
	for _, path := range filesOf(t, dir) {
		if data, err := os.ReadFile(path); err != nil || bytes.Contains(data, []byte("Canary")) {
			t.Errorf("%s holds an item in clear (%v)", filepath.Base(path), err)
		}
	}
	s, _ = openAt(t, dir, func(o *local.Options) { o.Dir = filepath.Join(dir, "copy") })
	_, err := s.Item(ctx, storetest.PermitOf(t, storetest.TenantA, policy.View, policy.Recording), store.RecordingItem, itemID)
	wantReason(t, err, policy.NotFound)
}

// failingKeys are keys that cannot be destroyed for now, as in a crash between
// a deletion and the end of its keys.
type failingKeys struct {
	store.Keys
	failing bool
}

func (k *failingKeys) Destroy(ids []store.KeyID) error {
	if k.failing {
		return policy.Errorf(policy.NotReady, "injected: the key service is away")
	}
	return k.Keys.Destroy(ids)
}

// The keys of a deleted item that a crash spared are destroyed at the next start.
func TestINV21_KeysThatACrashSparedAreDestroyedAtStart(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	ring, err := keyring.OpenKeyring(keyring.Options{Dir: filepath.Join(dir, "keys"), Region: storetest.Region})
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	keys := &failingKeys{Keys: ring, failing: true}
	open := func() *local.Store {
		s, err := local.Open(local.Options{Dir: filepath.Join(dir, "records"), Region: storetest.Region, Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	blob, _, err := keys.Draw()
	if err != nil {
		t.Fatal(err)
	}
	i := store.Item{Kind: store.RecordingItem, ID: itemID, Keys: []store.KeyID{blob}}
	if _, err := s.PutItem(ctx, storetest.PermitOf(t, storetest.TenantA, policy.Ingest, policy.Recording), i, 0); err != nil {
		t.Fatal(err)
	}
	erase := storetest.PermitOf(t, storetest.TenantA, policy.Erase, policy.Recording)
	wantReason(t, s.DeleteItem(ctx, erase, store.RecordingItem, itemID, 0), policy.NotReady)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Open(blob); err != nil {
		t.Fatalf("the fault had no effect: %v", err)
	}
	keys.failing = false
	s = open()
	defer s.Close()
	_, err = keys.Open(blob)
	wantReason(t, err, policy.Destroyed)
}

// A damaged header that names another tenant's key does not lead a purge to it.
func TestINV34_PurgeBelievesNoDamagedItem(t *testing.T) {
	s, _ := openAt(t, t.TempDir(), nil)
	ctx := context.Background()
	putItem(t, s, "of the first", 0)
	other := store.Item{Kind: store.RecordingItem, ID: itemID, Body: []byte("of the second")}
	if _, err := s.PutItem(ctx, storetest.PermitOf(t, storetest.TenantB, policy.Ingest, policy.Recording), other, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.MisnameItems(storetest.TenantA, storetest.TenantB); err != nil {
		t.Fatal(err)
	}
	if gone, err := s.Purge(ctx, storetest.TenantA); err != nil || gone.Items != 1 {
		t.Fatalf("purged %+v, %v", gone, err)
	}
	got, err := s.Item(ctx, storetest.PermitOf(t, storetest.TenantB, policy.View, policy.Recording), store.RecordingItem, itemID)
	if err != nil || string(got.Body) != "of the second" {
		t.Fatalf("another tenant's item after the purge: %q, %v", got.Body, err)
	}
}
