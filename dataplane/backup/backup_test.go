package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// A snapshot copies what no earlier one has, and each alone is the whole.
func TestSnapshotsAreIncrementalAndWhole(t *testing.T) {
	w := newWorld(t)
	w.load(0, 50)
	w.blob("TN1/RE1/0", strings.Repeat("sealed sound ", 10_000))
	first := w.create()
	before := w.calls()
	w.load(50, 60)
	w.blob("TN1/RE2/0", "other sealed sound")
	second := w.create()
	after := w.calls()
	if first.Parent != "" || second.Parent != first.ID || second.Number != 2 {
		t.Errorf("heads %+v, %+v", first, second)
	}
	if second.Copied >= second.Bytes/2 || second.Copied == 0 || first.Copied != first.Bytes {
		t.Errorf("copied %d of %d, then %d of %d", first.Copied, first.Bytes, second.Copied, second.Bytes)
	}
	if v, err := w.verify(); err != nil || v.Snapshots != 2 || v.Objects == 0 {
		t.Errorf("%+v, %v", v, err)
	}
	if r := w.restore(first.ID, nil); r.Calls != 50 || r.Lost+r.Forgotten+r.Unknown != 0 {
		t.Errorf("%+v", r)
	}
	same(t, "the first", w.calls(), before)
	if r := w.restore("", nil); r.Calls != 60 {
		t.Errorf("%+v", r)
	}
	same(t, "the newest", w.calls(), after)
	in, err := w.blobs.Open(context.Background(), "TN1/RE1/0", 0, -1)
	must(t, err)
	if b, err := io.ReadAll(in); err != nil || len(b) != 130_000 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	in.Close()
	// What sources send again is a duplicate, and what is new gets ids of its own.
	for n, a := range w.load(0, 70) {
		if want := store.Duplicate; (a.State == want) != (n < 60) {
			t.Errorf("call %d is %s", n, a.State)
		}
	}
	w.create()
	if v, err := w.verify(); err != nil || v.Snapshots != 3 {
		t.Errorf("%+v, %v", v, err)
	}
}

// No key, and nothing personal, is in a repository.
func TestINV01_NothingInTheClearAndNoKeys(t *testing.T) {
	w := newWorld(t)
	w.load(0, 20)
	w.create()
	w.close()
	var secrets [][]byte
	for _, name := range tree(t, filepath.Join(w.dir, "keys")) {
		b, err := os.ReadFile(name)
		must(t, err)
		for i := 0; i+32 <= len(b); i += 32 {
			if !bytes.Equal(b[i:i+32], make([]byte, 32)) {
				secrets = append(secrets, b[i:i+32])
			}
		}
	}
	if len(secrets) < 10 {
		t.Fatalf("%d pieces of the key table: the test shows nothing", len(secrets))
	}
	for _, word := range []string{"353861234567", "0861234567", "Aoife", "call-1", "m/schema", "MANIFEST"} {
		secrets = append(secrets, []byte(word))
	}
	for _, path := range tree(t, w.folder) {
		b, err := os.ReadFile(path)
		must(t, err)
		for _, s := range secrets {
			if bytes.Contains(b, s) {
				t.Errorf("%s holds %q", path, s)
			}
		}
	}
}

// Every byte of every file of a repository is vouched for.
func TestINV34_FlippedBytesAreFound(t *testing.T) {
	w := newWorld(t)
	out := w.load(0, 30)
	w.blob("TN1/RE1/0", "sealed sound")
	w.create()
	_, err := w.store.Rewrite(context.Background(), storetest.Permit(t, storetest.TenantA, policy.Erase), store.Rewrite{Calls: []string{out[3].ID}})
	must(t, err) // so that there is a note
	w.load(30, 40)
	w.create()
	kinds := map[string]int{}
	for _, path := range tree(t, w.folder) {
		rel, _ := filepath.Rel(w.folder, path)
		good, err := os.ReadFile(path)
		must(t, err)
		if len(good) == 0 {
			continue // the lock
		}
		kinds[strings.Split(rel, "/")[0]]++
		places := []int{0, len(good) / 2, len(good) - 1}
		for range 4 {
			places = append(places, rand.IntN(len(good)))
		}
		damage := map[string][]byte{"cut": good[:len(good)-1], "empty": {}, "longer": append(bytes.Clone(good), 0)}
		for _, at := range places {
			bad := bytes.Clone(good)
			bad[at] ^= 1 << rand.IntN(8)
			damage[fmt.Sprintf("byte %d of %d", at, len(good))] = bad
		}
		for what, bad := range damage {
			must(t, os.WriteFile(path, bad, 0o600))
			if _, err := w.verify(); err == nil {
				t.Errorf("%s, %s: not found", rel, what)
			}
		}
		must(t, os.Remove(path))
		if _, err := w.verify(); err == nil && !strings.HasPrefix(rel, "notes/") && !strings.HasPrefix(rel, "snapshots/") {
			t.Errorf("%s is missing, and that is not found", rel)
		}
		must(t, os.WriteFile(path, good, 0o600))
	}
	if kinds["objects"] < 5 || kinds["snapshots"] != 2 || kinds["notes"] == 0 || kinds[identityFile] != 1 {
		t.Errorf("what was damaged: %v", kinds)
	}
	if _, err := w.verify(); err != nil {
		t.Errorf("put back as it was: %v", err)
	}
}

// A repository of another region, cluster or format is refused, and so is what
// was carried from one into another.
func TestINV07_WhatIsForeignIsRefused(t *testing.T) {
	w := newWorld(t)
	w.load(0, 5)
	head := w.create()
	o := w.options()
	o.Cluster = "CL00000000000000000000000000000002"
	if _, err := Open(context.Background(), o, Read); !errors.Is(err, ErrForeign) {
		t.Errorf("another cluster: %v", err)
	}
	o = w.options()
	o.Region = "us1"
	if _, err := Open(context.Background(), o, Read); !errors.Is(err, ErrForeign) {
		t.Errorf("another region: %v", err)
	}
	// Its label rewritten, nothing of it opens.
	label := filepath.Join(w.folder, identityFile)
	good, err := os.ReadFile(label)
	must(t, err)
	must(t, os.WriteFile(label, bytes.Replace(good, []byte("ie1"), []byte("us1"), 1), 0o600))
	r, err := Open(context.Background(), o, Read)
	if err == nil {
		_, err = r.Extract(context.Background(), "", Target{Folder: t.TempDir()}, nil)
		r.Close()
	}
	if err == nil {
		t.Error("a repository that was relabelled is restored")
	}
	must(t, os.WriteFile(label, bytes.Replace(good, []byte(`"format":2`), []byte(`"format":3`), 1), 0o600))
	if _, err := Open(context.Background(), w.options(), Read); err == nil || !strings.Contains(err.Error(), "format 3") {
		t.Errorf("a later format: %v", err)
	}
	must(t, os.WriteFile(label, good, 0o600))
	// A later format of a snapshot.
	path := filepath.Join(w.folder, snapshotsDir, head.ID+snapshotExt)
	raw, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, bytes.Replace(raw, []byte(`"format":2`), []byte(`"format":9`), 1), 0o600))
	err = w.with(func(r *Repository) error {
		_, err := r.Extract(context.Background(), "", Target{Folder: t.TempDir()}, nil)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "format 9") {
		t.Errorf("a later format of a snapshot: %v", err)
	}
	// Another repository's disk in the place of ours, and an empty folder.
	must(t, os.WriteFile(path, raw, 0o600))
	o = w.options()
	o.Known = strings.Repeat("0", 32)
	if _, err := Open(context.Background(), o, Make); err == nil || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("another repository: %v", err)
	}
	empty := t.TempDir()
	o.Place = NewFolder(empty)
	if _, err := Open(context.Background(), o, Make); err == nil || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("an empty folder: %v", err)
	}
	if left := tree(t, empty); len(left) > 0 {
		t.Errorf("something was made in the empty folder: %v", left)
	}
}

func TestPruneKeepsWhatTheNewestNeed(t *testing.T) {
	w := newWorld(t)
	for n := range 5 {
		out := w.load(10*n, 10*n+10)
		_, err := w.store.Rewrite(context.Background(), storetest.Permit(t, storetest.TenantA, policy.Erase), store.Rewrite{Calls: []string{out[1].ID}})
		must(t, err)
		w.create()
	}
	want := w.calls()
	must(t, os.WriteFile(filepath.Join(w.folder, incomingDir, "left"), []byte("by a crash"), 0o600))
	var dry, out Pruned
	must(t, w.with(func(r *Repository) (err error) { dry, err = r.Prune(context.Background(), 2, true); return err }))
	if v, err := w.verify(); err != nil || v.Snapshots != 5 {
		t.Errorf("a dry run removed something: %+v, %v", v, err)
	}
	must(t, w.with(func(r *Repository) (err error) { out, err = r.Prune(context.Background(), 2, false); return err }))
	if len(out.Snapshots) != 3 || out.Objects == 0 || out.Notes == 0 || fmt.Sprint(dry) != fmt.Sprint(out) {
		t.Errorf("%+v, and dry %+v", out, dry)
	}
	if v, err := w.verify(); err != nil || v.Snapshots != 2 {
		t.Errorf("%+v, %v", v, err)
	}
	if left := tree(t, filepath.Join(w.folder, incomingDir)); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	w.restore("", nil)
	same(t, "after prune", w.calls(), want)
	// While a snapshot that stays is damaged, nothing goes.
	ids, err := os.ReadDir(filepath.Join(w.folder, snapshotsDir))
	must(t, err)
	path := filepath.Join(w.folder, snapshotsDir, ids[1].Name())
	raw, err := os.ReadFile(path)
	must(t, err)
	raw[len(raw)-5] ^= 1
	must(t, os.WriteFile(path, raw, 0o600))
	before := len(tree(t, w.folder))
	if err := w.with(func(r *Repository) error { _, err := r.Prune(context.Background(), 1, false); return err }); err == nil || len(tree(t, w.folder)) != before {
		t.Errorf("pruned beside damage: %v", err)
	}
}

// A crash at any point of taking or removing a snapshot leaves all that was
// there before, and the next try succeeds.
func TestCrashesLeaveEarlierSnapshotsWhole(t *testing.T) {
	w := newWorld(t)
	w.load(0, 10)
	first := w.create()
	want := w.calls()
	points := 0
	for n := 1; ; n++ {
		w.load(10*n, 10*n+3)
		step, seen := crashAt(n)
		w.step = step
		w.now = w.now.Add(1e9)
		err := w.with(func(r *Repository) error {
			_, err := r.Create(context.Background(), w.source(), CreateOptions{})
			return err
		})
		w.step = nil
		if _, err := w.verify(); err != nil {
			t.Fatalf("crash %d: %v", n, err)
		}
		if err == nil {
			points = *seen
			break
		}
		if !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
	}
	if points < 4 {
		t.Fatalf("%d points", points)
	}
	w.create()
	for n := 1; ; n++ {
		step, _ := crashAt(n)
		w.step = step
		err := w.with(func(r *Repository) error { _, err := r.Prune(context.Background(), 2, false); return err })
		w.step = nil
		if v, err := w.verify(); err != nil || v.Snapshots < 2 {
			t.Fatalf("crash %d: %+v, %v", n, v, err)
		}
		if err == nil {
			break
		}
	}
	now := w.calls()
	w.restore("", nil)
	same(t, "the newest", w.calls(), now)
	if err := w.with(func(r *Repository) error {
		_, err := r.Extract(context.Background(), first.ID, Target{Folder: t.TempDir()}, nil)
		return err
	}); err == nil {
		t.Error("a snapshot that was removed is restored")
	}
	_ = want
}

// A snapshot that lacks a file, or holds a changed one, is not restored.
func TestExtractRefusesWhatIsNotWhole(t *testing.T) {
	w := newWorld(t)
	w.load(0, 10)
	w.create()
	for _, path := range tree(t, filepath.Join(w.folder, objectsDir)) {
		good, err := os.ReadFile(path)
		must(t, err)
		bad := bytes.Clone(good)
		bad[len(bad)-1] ^= 0x80
		for _, damage := range []func() error{func() error { return os.WriteFile(path, bad, 0o600) }, func() error { return os.Remove(path) }} {
			must(t, damage())
			into := t.TempDir()
			err := w.with(func(r *Repository) error {
				_, err := r.Extract(context.Background(), "", Target{Folder: into}, nil)
				return err
			})
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("%s: %v", filepath.Base(path), err)
			}
			if _, err := os.Stat(path); err != nil && len(tree(t, into)) > 0 {
				t.Error("files were written although one is missing")
			}
		}
		must(t, os.WriteFile(path, good, 0o600))
	}
}

// Snapshots that are taken while records come in hold everything that was
// acknowledged before, and nothing in halves.
func TestINV33_SnapshotDuringIngest(t *testing.T) {
	w := newWorld(t)
	stop, ended := make(chan struct{}), make(chan int)
	acked := make(chan int, 1<<16)
	go func() {
		n := 0
		for ; ; n++ {
			select {
			case <-stop:
				ended <- n
				return
			default:
			}
			_, err := w.store.Append(context.Background(), storetest.Permit(t, storetest.TenantA, policy.Ingest), []record.Record{storetest.Native(n)})
			if err != nil {
				t.Error(err)
			}
			acked <- n
		}
	}()
	for len(acked) < 50 {
	}
	var before []int
	for range 3 {
		before = append(before, len(acked))
		w.create()
	}
	close(stop)
	<-ended
	list, err := func() (out []Snapshot, err error) {
		err = w.with(func(r *Repository) (err error) { out, err = r.Snapshots(context.Background()); return err })
		return out, err
	}()
	must(t, err)
	for i, s := range list {
		r := w.restore(s.ID, nil)
		if r.Calls < uint64(before[i]) || r.Lost+r.Unknown != 0 {
			t.Errorf("snapshot %d holds %d calls of %d that were acknowledged before: %+v", i, r.Calls, before[i], r)
		}
		names := map[string]bool{}
		for _, c := range w.calls() {
			names[c.Record.Key.NativeID] = true
		}
		for n := range before[i] {
			if !names[fmt.Sprintf("call-%d", n)] {
				t.Errorf("snapshot %d lacks call-%d", i, n)
			}
		}
	}
}
