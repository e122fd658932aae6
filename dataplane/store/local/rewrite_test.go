package local_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"pgregory.net/rapid"

	keyring "github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// stuckKeys destroy nothing while stuck, as when the process dies before.
type stuckKeys struct {
	store.Keys
	stuck atomic.Bool
}

func (k *stuckKeys) Destroy(ids []store.KeyID) error {
	if k.stuck.Load() {
		return errors.New("injected: the process dies before it destroys keys")
	}
	return k.Keys.Destroy(ids)
}

// mentions counts the stored records that hold a text anywhere.
func mentions(t *testing.T, s *local.Store, text string) (n int) {
	t.Helper()
	err := s.Everything(context.Background(), storetest.Permit(t, storetest.TenantA, policy.Process), func(r record.Record) error {
		if strings.Contains(string(record.Append(record.Form{}, &r).Text), text) {
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestINV21_RewriteCutShort: the rewrite is durable, the process ends before the
// keys are destroyed. The next start destroys them: a copy of the folder that
// was made before opens the chunk no more.
func TestINV21_RewriteCutShort(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	var keys *stuckKeys
	s, stop := openAt(t, dir, func(o *local.Options) {
		keys = &stuckKeys{Keys: o.Keys}
		o.Keys = keys
	})
	out, err := ingest(t, s, storetest.Native(1), storetest.Native(2))
	if err != nil {
		t.Fatal(err)
	}
	if n := mentions(t, s, "call-1"); n != 1 {
		t.Fatalf("%d records mention the call before: the test would show nothing", n)
	}
	stop()
	if err := os.CopyFS(filepath.Join(dir, "copy"), os.DirFS(filepath.Join(dir, "records"))); err != nil {
		t.Fatal(err)
	}
	s, stop = openAt(t, dir, func(o *local.Options) {
		keys = &stuckKeys{Keys: o.Keys}
		o.Keys = keys
	})
	keys.stuck.Store(true)
	erase := storetest.Permit(t, storetest.TenantA, policy.Erase)
	if _, err := s.Rewrite(ctx, erase, store.Rewrite{Calls: []string{out[0].ID}}); err == nil || !strings.Contains(err.Error(), "injected") {
		t.Fatalf("the key was not destroyed and nobody says so: %v", err)
	}
	if n := mentions(t, s, "call-1"); n != 0 {
		t.Fatalf("%d records still mention the call", n)
	}
	stop()
	copied := func() error {
		s, stop := openAt(t, dir, func(o *local.Options) { o.Dir = filepath.Join(dir, "copy") })
		defer stop()
		_, err := s.Call(ctx, storetest.Permit(t, storetest.TenantA, policy.View), out[0].ID)
		return err
	}
	if err := copied(); err != nil {
		t.Fatalf("the copy does not open before the key is destroyed: %v: the test shows nothing", err)
	}
	s, stop = openAt(t, dir, nil)
	if n := len(listAll(t, s, store.Query{})); n != 1 {
		t.Fatalf("%d calls are left, want 1", n)
	}
	stop()
	wantReason(t, copied(), policy.Destroyed)
}

// TestINV21_RewriteNotDurable: the commit does not reach the disk. No key is
// destroyed, so that what was there is there after the restart.
func TestINV21_RewriteNotDurable(t *testing.T) {
	dir, fault := t.TempDir(), &toggled{}
	keys, err := keyring.OpenKeyring(keyring.Options{Dir: filepath.Join(dir, "keys"), Region: storetest.Region})
	if err != nil {
		t.Fatal(err)
	}
	s, err := local.Open(local.Options{Dir: filepath.Join(dir, "records"), Region: storetest.Region, Keys: keys, FS: errorfs.Wrap(vfs.Default, fault)})
	if err != nil {
		t.Fatal(err)
	}
	out, err := ingest(t, s, storetest.Native(1), storetest.Native(2))
	if err != nil {
		t.Fatal(err)
	}
	fault.on.Store(true)
	_, err = s.Rewrite(context.Background(), storetest.Permit(t, storetest.TenantA, policy.Erase), store.Rewrite{Calls: []string{out[0].ID}})
	wantReason(t, err, policy.OutcomeUnknown)
	_ = s.Close() // says again what failed
	if err := keys.Close(); err != nil {
		t.Fatal(err)
	}
	s, _ = openAt(t, dir, nil)
	if n := len(listAll(t, s, store.Query{})); n != 2 {
		t.Fatalf("%d calls, want both", n)
	}
}

// TestINV21_RewriteLeavesNothingButTheRest appends events of few calls in many
// versions, redacts and drops some, and wants counters and what is stored to
// agree with it.
func TestINV21_RewriteLeavesNothingButTheRest(t *testing.T) {
	s, _ := openAt(t, t.TempDir(), nil)
	ctx := context.Background()
	rapid.Check(t, func(rt *rapid.T) {
		raw, err := policy.NewID(policy.KindTenant, rand.Reader)
		if err != nil {
			rt.Fatal(err)
		}
		tenant := policy.TenantID(raw)
		gone, goneKeys := map[string]bool{}, map[string]bool{}
		for range rapid.IntRange(1, 4).Draw(rt, "rounds") {
			var recs []record.Record
			for range rapid.IntRange(1, 12).Draw(rt, "records") {
				recs = append(recs, drawEvent(rt))
			}
			got, err := s.Append(ctx, storetest.Permit(t, tenant, policy.Ingest), recs)
			if err != nil {
				rt.Fatal(err)
			}
			var ids []string
			for _, a := range got {
				if gone[a.ID] && a.State != store.Duplicate {
					rt.Fatalf("a call that was dropped is %s", a.State)
				}
				if rapid.IntRange(0, 2).Draw(rt, "rewrite") == 0 {
					ids = append(ids, a.ID)
				}
			}
			w := store.Rewrite{Calls: ids, KeepCounts: rapid.Bool().Draw(rt, "keep counts"),
				Redact: func(r *record.Record) { r.CallerName, r.From, r.Native = "", record.Party{}, nil },
				Fate: func(c store.Call) store.Fate {
					fate := store.Fate(c.ID[2] % 3)
					if fate == store.Drop {
						gone[c.ID], goneKeys[c.Record.Key.NativeID+string(c.Record.Key.Source)] = true, true
					}
					return fate
				}}
			if _, err := s.Rewrite(ctx, storetest.Permit(t, tenant, policy.Erase), w); err != nil {
				rt.Fatal(err)
			}
		}
		err = s.Everything(context.Background(), storetest.Permit(t, tenant, policy.Process), func(r record.Record) error {
			if goneKeys[r.Key.NativeID+string(r.Key.Source)] {
				rt.Fatal("a record of a dropped call is still stored")
			}
			return nil
		})
		if err != nil {
			rt.Fatal(err)
		}
		rollups, err := s.Rollups(ctx, storetest.Permit(t, tenant, policy.View), "0001-01-01", "9999-12-31")
		want, err2 := s.Recount(ctx, storetest.Permit(t, tenant, policy.Process))
		if err := errors.Join(err, err2); err != nil {
			rt.Fatal(err)
		}
		if fmt.Sprint(rollups) != fmt.Sprint(want) {
			rt.Fatalf("counters %v\nrecount  %v", rollups, want)
		}
	})
}

// A payload that is let go leaves no key for a copy of the folder.
func TestINV21_UnquarantinedLeavesNoKeyForACopy(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	s, stop := openAt(t, dir, nil)
	var ids []string
	for range 2 {
		out, err := s.Quarantine(ctx, storetest.Permit(t, storetest.TenantA, policy.Ingest), []store.Quarantined{{Source: record.Asterisk, Payload: []byte("broken")}})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, out...)
	}
	stop()
	if err := os.CopyFS(filepath.Join(dir, "copy"), os.DirFS(filepath.Join(dir, "records"))); err != nil {
		t.Fatal(err)
	}
	s, stop = openAt(t, dir, nil)
	if err := s.Unquarantine(ctx, storetest.Permit(t, storetest.TenantA, policy.Erase), ids[0]); err != nil {
		t.Fatal(err)
	}
	stop()
	s, _ = openAt(t, dir, func(o *local.Options) { o.Dir = filepath.Join(dir, "copy") })
	_, _, err := s.Quarantines(ctx, storetest.Permit(t, storetest.TenantA, policy.View), 10, "")
	wantReason(t, err, policy.Destroyed)
}

// TestINV21_ReindexLeavesNoKeyForACopy: a copy of the folder of before has the
// hashes of everybody's numbers, and nobody can compute one any more.
func TestINV21_ReindexLeavesNoKeyForACopy(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	s, stop := openAt(t, dir, nil)
	if _, err := ingest(t, s, storetest.Native(1)); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := os.CopyFS(filepath.Join(dir, "copy"), os.DirFS(filepath.Join(dir, "records"))); err != nil {
		t.Fatal(err)
	}
	s, stop = openAt(t, dir, nil)
	if err := s.Reindex(ctx, storetest.Permit(t, storetest.TenantA, policy.Erase)); err != nil {
		t.Fatal(err)
	}
	stop()
	s, stop = openAt(t, dir, func(o *local.Options) { o.Dir = filepath.Join(dir, "copy") })
	if owners, err := s.Owners(ctx, storetest.Permit(t, storetest.TenantA, policy.View), "+353861234567", ""); err != nil || len(owners) != 0 {
		t.Fatalf("a copy of before leads to %d owners, %v", len(owners), err)
	}
	stop()
	s, _ = openAt(t, dir, nil)
	if owners, err := s.Owners(ctx, storetest.Permit(t, storetest.TenantA, policy.View), "+353861234567", ""); err != nil || len(owners) != 1 {
		t.Fatalf("%d owners, %v", len(owners), err)
	}
}

// A rebuild that is cut short leaves everything as it was, and its own key dies.
func TestINV21_ReindexCutShort(t *testing.T) {
	dir := t.TempDir()
	s, stop := openAt(t, dir, nil)
	out, err := ingest(t, s, storetest.Native(1), storetest.Native(2))
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithCancel(context.Background())
	cancel()
	erase := storetest.Permit(t, storetest.TenantA, policy.Erase)
	if err := s.Reindex(short, erase); err == nil {
		t.Fatal("a rebuild that nobody waits for ended")
	}
	for range 2 {
		again, err := ingest(t, s, storetest.Native(1))
		if err != nil || again[0].State != store.Duplicate || again[0].ID != out[0].ID {
			t.Fatalf("%+v, %v", again, err)
		}
		if err := s.Reindex(context.Background(), erase); err != nil {
			t.Fatal(err)
		}
		stop()
		s, stop = openAt(t, dir, nil)
	}
}
