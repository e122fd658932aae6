package local_test

import (
	"context"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	keyring "github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// cutter is a disk that takes nothing any more after so many writes and syncs of
// its log: what it has then is what a machine that stopped there has.
type cutter struct {
	armed atomic.Bool
	left  atomic.Int64
}

func (c *cutter) MaybeError(op errorfs.Op) error {
	if !c.armed.Load() || !strings.HasSuffix(op.Path, ".log") || op.Kind.ReadOrWrite() == errorfs.OpIsRead {
		return nil
	}
	if c.left.Add(-1) < 0 {
		return errorfs.ErrInjected
	}
	return nil
}

func (*cutter) String() string { return "cutter" }

// INV27: wherever a machine stops, there is a change if and only if there is its
// entry, and records if and only if there is the batch that their receipts are of.
func TestINV27_CutShortThereAreBothOrNeither(t *testing.T) {
	seen := map[bool]bool{}
	for cut := int64(0); !seen[true] || !seen[false]; cut++ {
		if cut > 64 {
			t.Fatalf("after %d cuts only %v was seen: the disk was not cut", cut, seen)
		}
		there := cutAt(t, cut)
		seen[there] = true
	}
}

func cutAt(t *testing.T, cut int64) (there bool) {
	t.Helper()
	dir := t.TempDir()
	keys, err := keyring.OpenKeyring(keyring.Options{Dir: filepath.Join(dir, "keys"), Region: storetest.Region})
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	disk := &cutter{}
	o := local.Options{Dir: filepath.Join(dir, "records"), Region: storetest.Region, Keys: keys, FS: errorfs.Wrap(vfs.Default, disk)}
	s, err := local.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	permit := storetest.PermitOf(t, storetest.TenantA, policy.Erase, policy.AccountConfig)
	const id = "LH000102030405060708090a0b0c0d0e0f"
	told := store.WithEntry(ctx, store.Entry{Action: "hold.put", Resource: id, Tenant: storetest.TenantA})
	disk.left.Store(cut)
	disk.armed.Store(true)
	_, putErr := s.PutItem(told, permit, store.Item{Kind: store.HoldItem, ID: id, Body: []byte("1")}, 0)
	_, ingestErr := s.Append(ctx, storetest.Permit(t, storetest.TenantA, policy.Ingest), []record.Record{storetest.Native(1)})
	_ = s.Close() // its error is the disk's
	o.FS = nil
	if s, err = local.Open(o); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, itemErr := s.Item(ctx, permit, store.HoldItem, id)
	calls, err := s.List(ctx, storetest.Permit(t, storetest.TenantA, policy.View), store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	noted, err := s.Noted(ctx, 10)
	if err != nil {
		t.Fatal(err)
	}
	entries, batches := 0, 0
	for _, n := range noted {
		if n.Action == store.BatchAction {
			batches++
		} else {
			entries++
		}
	}
	if (itemErr == nil) != (entries == 1) || (len(calls.Calls) == 1) != (batches == 1) {
		t.Errorf("cut after %d writes: item %v with %d entries, %d calls with %d batches", cut, itemErr, entries, len(calls.Calls), batches)
	}
	if putErr == nil && entries != 1 || ingestErr == nil && batches != 1 {
		t.Errorf("cut after %d writes: answered %v and %v, with %d entries and %d batches", cut, putErr, ingestErr, entries, batches)
	}
	return len(calls.Calls) == 1
}
