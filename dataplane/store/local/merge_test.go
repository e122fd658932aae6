package local_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	keyring "github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/sealed"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// alone appends calls one by one, each in a chunk of its own, and gives their ids.
func alone(t testing.TB, s *local.Store, clock *storetest.Clock, from, to int) (ids []string) {
	t.Helper()
	for n := from; n < to; n++ {
		out, err := ingest(t, s, storetest.Native(n))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, out[0].ID)
		clock.Advance(61 * time.Second)
	}
	return ids
}

func clocked(clock *storetest.Clock) func(*local.Options) {
	return func(o *local.Options) { o.Now = clock.Now }
}

// A quiet tenant's records take less room once they are merged, stay where they
// are named, and are merged once.
func TestMergeTakesLessRoom(t *testing.T) {
	clock := storetest.NewClock()
	dir := t.TempDir()
	s, stop := openAt(t, dir, clocked(clock))
	ids := alone(t, s, clock, 0, 300)
	before := listAll(t, s, store.Query{})
	if m, err := s.Merge(context.Background(), storetest.TenantA, sealed.MergeOptions{After: 24 * time.Hour}); err != nil || m.Covers != 0 {
		t.Fatalf("what is young was merged: %+v, %v", m, err)
	}
	var all sealed.Merged
	for more := true; more; {
		m, err := s.Merge(context.Background(), storetest.TenantA, sealed.MergeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		all.Add(m)
		more = m.More
	}
	t.Logf("%+v: %.2f of what it was", all, float64(all.After)/float64(all.Before))
	if all.Covers == 0 || all.Frames < 200 || all.After*2 > all.Before {
		t.Fatalf("merged: %+v", all)
	}
	if m, err := s.Merge(context.Background(), storetest.TenantA, sealed.MergeOptions{}); err != nil || m.Covers != 0 {
		t.Fatalf("merged again: %+v, %v", m, err)
	}
	for range 2 {
		after := listAll(t, s, store.Query{})
		if fmt.Sprint(after) != fmt.Sprint(before) {
			t.Fatal("a list is not what it was")
		}
		for n, id := range ids {
			c, err := s.Call(context.Background(), storetest.Permit(t, storetest.TenantA, policy.View), id)
			if err != nil || c.Record.Key.NativeID != fmt.Sprintf("call-%d", n) {
				t.Fatalf("call %d: %s, %v", n, c.Record.Key.NativeID, err)
			}
		}
		stop()
		s, stop = openAt(t, dir, clocked(clock))
	}
	again, err := ingest(t, s, storetest.Native(3))
	if err != nil || again[0].State != store.Duplicate || again[0].ID != ids[3] {
		t.Fatalf("%+v, %v", again, err)
	}
}

// A busy tenant whose records come one by one fills chunks that are longer than a
// cover: each is covered by several, which are sealed anew together.
func TestMergeOfOneLongChunk(t *testing.T) {
	clock := storetest.NewClock()
	s, _ := openAt(t, t.TempDir(), clocked(clock))
	var ids []string
	for n := range 400 {
		out, err := ingest(t, s, storetest.Native(n))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, out[0].ID)
	}
	clock.Advance(2 * time.Hour)
	alone(t, s, clock, 400, 401)
	m, err := s.Merge(context.Background(), storetest.TenantA, sealed.MergeOptions{After: time.Minute})
	if err != nil || m.Covers < 3 || m.Frames != 400 {
		t.Fatalf("%+v, %v", m, err)
	}
	erase := storetest.Permit(t, storetest.TenantA, policy.Erase)
	done, err := s.Rewrite(context.Background(), erase, store.Rewrite{Calls: []string{ids[5], ids[399]}})
	if err != nil || done.Dropped != 2 || done.Keys != 1 || done.Chunks != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	if n := len(listAll(t, s, store.Query{})); n != 399 {
		t.Fatalf("%d calls", n)
	}
	// And once more, and then all.
	if done, err = s.Rewrite(context.Background(), erase, store.Rewrite{Calls: ids[100:200]}); err != nil || done.Dropped != 100 {
		t.Fatalf("%+v, %v", done, err)
	}
	if done, err = s.Rewrite(context.Background(), erase, store.Rewrite{Calls: ids}); err != nil || done.Dropped != 298 {
		t.Fatalf("%+v, %v", done, err)
	}
	if covers, pointers := s.Covered(storetest.TenantA); covers != 0 || pointers != 0 {
		t.Fatalf("%d covers and %d pointers are left of nothing", covers, pointers)
	}
}

// TestINV21_ErasedFromACover: copies of the folder of before and after the merge
// open nothing of who is erased, with every key that can still be had; everybody
// else is served.
func TestINV21_ErasedFromACover(t *testing.T) {
	clock, dir, ctx := storetest.NewClock(), t.TempDir(), context.Background()
	s, stop := openAt(t, dir, clocked(clock))
	ids := alone(t, s, clock, 0, 60)
	copyOf := func(name string) {
		stop()
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(dir, "records"))); err != nil {
			t.Fatal(err)
		}
		s, stop = openAt(t, dir, clocked(clock))
	}
	copyOf("plain")
	if m := storetest.MergeAll(t, s, storetest.TenantA); m.Frames != 59 {
		t.Fatalf("%+v", m)
	}
	copyOf("covered")
	opens := func(name, id string) error {
		stop()
		s, stop := openAt(t, dir, func(o *local.Options) { o.Now, o.Dir = clock.Now, filepath.Join(dir, name) })
		defer stop()
		_, err := s.Call(ctx, storetest.Permit(t, storetest.TenantA, policy.View), id)
		return err
	}
	for _, name := range []string{"plain", "covered"} {
		if err := opens(name, ids[20]); err != nil {
			t.Fatalf("the copy does not open before: %v: the test shows nothing", err)
		}
	}
	s, stop = openAt(t, dir, clocked(clock))
	if _, err := s.Rewrite(ctx, storetest.Permit(t, storetest.TenantA, policy.Erase), store.Rewrite{Calls: []string{ids[20]}}); err != nil {
		t.Fatal(err)
	}
	if n := len(listAll(t, s, store.Query{})); n != 59 {
		t.Fatalf("%d calls", n)
	}
	for _, name := range []string{"plain", "covered"} {
		wantReason(t, opens(name, ids[20]), policy.Destroyed)
	}
	// A plain copy that is lived on with: its chunk's key alone kills the cover.
	s, stop = openAt(t, dir, clocked(clock))
	if n := mentions(t, s, "call-20"); n != 0 {
		t.Fatalf("%d records mention it", n)
	}
}

// TestINV21_AnOldCopyThatIsLivedOnWith: a backup of before a merge is put back, and
// somebody is erased in it. The cover that the lost disk had is dead with the key of
// his chunk.
func TestINV21_AnOldCopyThatIsLivedOnWith(t *testing.T) {
	clock, dir, ctx := storetest.NewClock(), t.TempDir(), context.Background()
	s, stop := openAt(t, dir, clocked(clock))
	ids := alone(t, s, clock, 0, 30)
	stop()
	old := filepath.Join(dir, "old")
	if err := os.CopyFS(old, os.DirFS(filepath.Join(dir, "records"))); err != nil {
		t.Fatal(err)
	}
	s, stop = openAt(t, dir, clocked(clock))
	storetest.MergeAll(t, s, storetest.TenantA)
	stop()
	in := func(o *local.Options) { o.Now, o.Dir = clock.Now, old }
	s, stop = openAt(t, dir, in)
	if _, err := s.Rewrite(ctx, storetest.Permit(t, storetest.TenantA, policy.Erase), store.Rewrite{Calls: []string{ids[7]}}); err != nil {
		t.Fatal(err)
	}
	if n := len(listAll(t, s, store.Query{})); n != 29 {
		t.Fatalf("%d calls", n)
	}
	stop()
	s, _ = openAt(t, dir, clocked(clock)) // the lost disk
	_, err := s.Call(ctx, storetest.Permit(t, storetest.TenantA, policy.View), ids[7])
	wantReason(t, err, policy.Destroyed)
}

// TestINV21_PurgeOfCovers: the end of a tenant destroys what covers stand under.
func TestINV21_PurgeOfCovers(t *testing.T) {
	clock, dir, ctx := storetest.NewClock(), t.TempDir(), context.Background()
	s, stop := openAt(t, dir, clocked(clock))
	ids := alone(t, s, clock, 0, 20)
	storetest.MergeAll(t, s, storetest.TenantA)
	stop()
	if err := os.CopyFS(filepath.Join(dir, "copy"), os.DirFS(filepath.Join(dir, "records"))); err != nil {
		t.Fatal(err)
	}
	s, stop = openAt(t, dir, clocked(clock))
	if p, err := s.Purge(ctx, storetest.TenantA); err != nil || p.Calls != 20 || p.Keys < 20 {
		t.Fatalf("%+v, %v", p, err)
	}
	if covers, pointers := s.Covered(storetest.TenantA); covers+pointers != 0 {
		t.Fatalf("%d covers and %d pointers are left", covers, pointers)
	}
	stop()
	s, _ = openAt(t, dir, func(o *local.Options) { o.Now, o.Dir = clock.Now, filepath.Join(dir, "copy") })
	for _, id := range ids {
		_, err := s.Call(ctx, storetest.Permit(t, storetest.TenantA, policy.View), id)
		wantReason(t, err, policy.Destroyed)
	}
}

// TestINV33_MergeNotDurable: the commit of a merge does not reach the disk. After
// the restart everything is there once, as it was.
func TestINV33_MergeNotDurable(t *testing.T) {
	dir, fault := t.TempDir(), &toggled{}
	keys, err := keyring.OpenKeyring(keyring.Options{Dir: filepath.Join(dir, "keys"), Region: storetest.Region})
	if err != nil {
		t.Fatal(err)
	}
	clock := storetest.NewClock()
	s, err := local.Open(local.Options{Dir: filepath.Join(dir, "records"), Region: storetest.Region, Keys: keys, Now: clock.Now, FS: errorfs.Wrap(vfs.Default, fault)})
	if err != nil {
		t.Fatal(err)
	}
	alone(t, s, clock, 0, 20)
	fault.on.Store(true)
	_, err = s.Merge(context.Background(), storetest.TenantA, sealed.MergeOptions{All: true})
	wantReason(t, err, policy.OutcomeUnknown)
	_ = s.Close() // says again what failed
	if err := keys.Close(); err != nil {
		t.Fatal(err)
	}
	s, _ = openAt(t, dir, clocked(clock))
	if n := len(listAll(t, s, store.Query{})); n != 20 {
		t.Fatalf("%d calls", n)
	}
	if m := storetest.MergeAll(t, s, storetest.TenantA); m.Frames > 19 {
		t.Fatalf("%+v", m)
	}
	if n := len(listAll(t, s, store.Query{})); n != 20 {
		t.Fatalf("%d calls", n)
	}
}

// Nothing is merged on a full disk.
func TestNoMergeOnAFullDisk(t *testing.T) {
	clock, full := storetest.NewClock(), false
	s, _ := openAt(t, t.TempDir(), func(o *local.Options) {
		o.Now = clock.Now
		o.Room = func(time.Time) error {
			if full {
				return policy.Errorf(policy.StorageFull, "full")
			}
			return nil
		}
	})
	alone(t, s, clock, 0, 20)
	full = true
	_, err := s.Merge(context.Background(), storetest.TenantA, sealed.MergeOptions{All: true})
	wantReason(t, err, policy.StorageFull)
	wantReason(t, s.Reclaim(context.Background(), storetest.TenantA), policy.StorageFull)
}

// TestINV34_AFormerSchemaIsRefused: stores of another schema are not opened.
func TestINV34_AFormerSchemaIsRefused(t *testing.T) {
	dir := t.TempDir()
	s, stop := openAt(t, dir, nil)
	for _, schema := range []byte{1, 2, 3, 4, 6} {
		if err := s.SetSchema(schema); err != nil {
			t.Fatal(err)
		}
		stop()
		keys, err := keyring.OpenKeyring(keyring.Options{Dir: filepath.Join(dir, "keys"), Region: storetest.Region})
		if err != nil {
			t.Fatal(err)
		}
		_, err = local.Open(local.Options{Dir: filepath.Join(dir, "records"), Region: storetest.Region, Keys: keys})
		if err == nil || !strings.Contains(err.Error(), "another version of the program") {
			t.Errorf("schema %d: %v", schema, err)
		}
		if err := keys.Close(); err != nil {
			t.Fatal(err)
		}
		dir = t.TempDir()
		s, stop = openAt(t, dir, nil)
	}
}

// A window takes of a cover what was ingested in it, and nothing else.
func TestWindowCutsThroughACover(t *testing.T) {
	clock := storetest.NewClock()
	s, _ := openAt(t, t.TempDir(), clocked(clock))
	alone(t, s, clock, 0, 12)
	storetest.MergeAll(t, s, storetest.TenantA)
	from := storetest.Epoch.Add(3*61*time.Second - time.Second)
	n := 0
	err := s.Window(context.Background(), storetest.Permit(t, storetest.TenantA, policy.Export), from, from.Add(3*61*time.Second), func(store.Call) error { n++; return nil })
	if err != nil || n != 3 {
		t.Fatalf("a window of %d calls, want 3: %v", n, err)
	}
}
