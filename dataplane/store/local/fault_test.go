package local_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	keyring "github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

func ingest(t testing.TB, s *local.Store, recs ...record.Record) ([]store.Appended, error) {
	t.Helper()
	return s.Append(context.Background(), storetest.Permit(t, storetest.TenantA, policy.Ingest), recs)
}

func wantReason(t *testing.T, err error, want policy.Reason) {
	t.Helper()
	if !errors.Is(err, &policy.Error{Reason: want}) {
		t.Fatalf("got error %v, want reason %s", err, want)
	}
}

// fill stores every kind of row.
func fill(t *testing.T, s *local.Store) {
	t.Helper()
	for n := range 40 {
		r := storetest.Native(n)
		r.To = record.Party{Raw: "0877654321"}
		if _, err := ingest(t, s, r, storetest.Acc(n, "INVITE", 200, storetest.Epoch)); err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	_, err := s.Quarantine(ctx, storetest.Permit(t, storetest.TenantA, policy.Ingest),
		[]store.Quarantined{{Source: record.Asterisk, Instance: "Aoife Canary", Payload: []byte("Aoife Canary,+353861234567")}})
	if err != nil {
		t.Fatal(err)
	}
	err = s.PutFeed(ctx, storetest.PermitOf(t, storetest.TenantA, policy.Store, policy.AccountConfig),
		store.Feed{Source: record.Twilio, Name: "Aoife Canary", SignatureSecret: "secret-canary"})
	if err != nil {
		t.Fatal(err)
	}
	putItem(t, s, "Aoife Canary", 0)
}

// TestINV01_NothingPersonalInTheFiles scans every file of store and keyring,
// before and after compaction into tables; the positive control plants a canary.
func TestINV01_NothingPersonalInTheFiles(t *testing.T) {
	dir := t.TempDir()
	s, stop := openAt(t, dir, nil)
	fill(t, s)
	canaries := []string{"353861234567", "0861234567", "0877654321", "3531555", "Aoife", "Canary", "call-1", "27232@", "secret-canary", "native_id", "SIPp"}
	scan := func() (hits []string) {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			for _, c := range canaries {
				if bytes.Contains(data, []byte(c)) {
					hits = append(hits, filepath.Base(path)+" holds "+c)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return hits
	}
	if hits := scan(); hits != nil {
		t.Errorf("open store: %v", hits)
	}
	stop()
	s, stop = openAt(t, dir, nil) // replays the log into tables
	if n := len(listAll(t, s, store.Query{PageSize: 1000})); n != 80 {
		t.Fatalf("%d calls, want 80: the scan would show nothing", n)
	}
	stop()
	if hits := scan(); hits != nil {
		t.Errorf("closed store: %v", hits)
	}
	if err := os.WriteFile(filepath.Join(dir, "records", "planted"), []byte("x0861234567x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if len(scan()) != 1 {
		t.Fatal("the scan does not find a planted canary")
	}
}

// TestINV34_FlippedBytesAreNotServed flips one byte at a time, in every file,
// and wants each answer to be right or an error: never other data, never fewer
// calls without an error.
func TestINV34_FlippedBytesAreNotServed(t *testing.T) {
	dir := t.TempDir()
	s, stop := openAt(t, dir, nil)
	fill(t, s)
	stop()
	s, stop = openAt(t, dir, nil)
	want := map[string]string{}
	for _, c := range listAll(t, s, store.Query{PageSize: 1000}) {
		want[c.ID] = string(c.Record.Native)
	}
	// One more, so that the newest log is not empty.
	last, err := ingest(t, s, storetest.Native(999))
	if err != nil {
		t.Fatal(err)
	}
	want[last[0].ID] = string(storetest.Native(999).Native)
	stop()
	detected, total := 0, 0
	for _, path := range filesOf(t, dir) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		step := max(1, len(data)/5)
		for at := step / 2; at < len(data); at += step {
			total++
			if flipAndRead(t, dir, path, at, want) {
				detected++
			}
		}
	}
	if detected < total/4 {
		t.Errorf("only %d of %d flips had any effect: the test reads too little", detected, total)
	}
	t.Logf("%d of %d flips were refused, the others hit bytes that nothing depends on", detected, total)
}

func filesOf(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.Contains(strings.ToLower(d.Name()), "lock") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// flipAndRead copies the folder, flips one byte of one file and reads all; it
// reports whether that was refused.
func flipAndRead(t *testing.T, dir, path string, at int, want map[string]string) bool {
	t.Helper()
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	rel, _ := filepath.Rel(dir, path)
	target := filepath.Join(copied, rel)
	data, err := os.ReadFile(target)
	if err != nil {
		t.Fatal(err)
	}
	data[at] ^= 0x10
	_ = os.Chmod(filepath.Join(copied, "keys", "root.key"), 0o600)
	if err := os.WriteFile(target, data, 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := keyring.OpenKeyring(keyring.Options{Dir: filepath.Join(copied, "keys"), Region: storetest.Region})
	if err != nil {
		return true
	}
	defer keys.Close()
	s, err := local.Open(local.Options{Dir: filepath.Join(copied, "records"), Region: storetest.Region, Keys: keys})
	if err != nil {
		return true
	}
	defer s.Close()
	p, err := s.List(context.Background(), storetest.Permit(t, storetest.TenantA, policy.View), store.Query{PageSize: 1000})
	if err != nil {
		wantReason(t, err, policy.Internal)
		return true
	}
	if p.Corrupt > 0 && len(p.Calls)+p.Corrupt == len(want) {
		for _, c := range p.Calls {
			if string(c.Record.Native) != want[c.ID] {
				t.Errorf("%s: a flip at byte %d changed a call", rel, at)
			}
		}
		return true
	}
	got := map[string]string{}
	for _, c := range p.Calls {
		got[c.ID] = string(c.Record.Native)
	}
	for id, native := range want {
		if got[id] != native {
			t.Errorf("%s: a flip at byte %d of %d went unnoticed: call missing or changed, %d of %d calls served", rel, at, len(data), len(got), len(want))
			return false
		}
	}
	return false
}

// TestINV33_NoAcknowledgementAfterAFailedSync: the first failed sync makes the
// store unhealthy, and nothing is acknowledged from then on.
func TestINV33_NoAcknowledgementAfterAFailedSync(t *testing.T) {
	failing := &toggled{}
	keys, err := keyring.OpenKeyring(keyring.Options{Dir: t.TempDir(), Region: storetest.Region})
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	s, err := local.Open(local.Options{Dir: t.TempDir(), Region: storetest.Region, Keys: keys, FS: errorfs.Wrap(vfs.Default, failing)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() // its error is the injected one
	if _, err := ingest(t, s, storetest.Native(1)); err != nil {
		t.Fatal(err)
	}
	failing.on.Store(true)
	_, err = ingest(t, s, storetest.Native(2))
	wantReason(t, err, policy.OutcomeUnknown)
	failing.on.Store(false)
	_, err = ingest(t, s, storetest.Native(3))
	wantReason(t, err, policy.OutcomeUnknown)
	if s.Healthy() == nil {
		t.Fatal("the store calls itself healthy")
	}
}

func TestStorageFull(t *testing.T) {
	var full error
	s, _ := openAt(t, t.TempDir(), func(o *local.Options) {
		o.Room = func(time.Time) error { return full }
	})
	if _, err := ingest(t, s, storetest.Native(1)); err != nil {
		t.Fatal(err)
	}
	full = policy.Errorf(policy.StorageFull, "the disk is full")
	_, err := ingest(t, s, storetest.Native(2))
	wantReason(t, err, policy.StorageFull)
	if n := len(listAll(t, s, store.Query{})); n != 1 {
		t.Fatalf("reads on a full disk: %d calls, want 1", n)
	}
	full = nil
	if _, err := ingest(t, s, storetest.Native(2)); err != nil {
		t.Fatal(err)
	}
}

func TestForeignKeyringAndRegionAreRefused(t *testing.T) {
	dir := t.TempDir()
	s, stop := openAt(t, dir, nil)
	fill(t, s)
	stop()
	other, err := keyring.OpenKeyring(keyring.Options{Dir: t.TempDir(), Region: storetest.Region})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := local.Open(local.Options{Dir: filepath.Join(dir, "records"), Region: storetest.Region, Keys: other}); err == nil {
		t.Fatal("a store opened with another keyring")
	}
	if _, err := keyring.OpenKeyring(keyring.Options{Dir: filepath.Join(dir, "keys"), Region: "au1"}); err == nil {
		t.Fatal("a keyring opened in another region")
	}
}

// TestINV34_FlippedLogAfterACrash flips bytes of the log of a store that was
// not closed. Flips before the last group are refused; the last group is what a
// crash may tear, and nothing on this disk alone can tell the two apart.
func TestINV34_FlippedLogAfterACrash(t *testing.T) {
	dir := t.TempDir()
	s, _ := openAt(t, dir, nil)
	want := map[string]string{}
	for n := range 20 {
		out, err := ingest(t, s, storetest.Native(n))
		if err != nil {
			t.Fatal(err)
		}
		want[out[0].ID] = string(storetest.Native(n).Native)
	}
	image := t.TempDir()
	if err := os.CopyFS(image, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, path := range filesOf(t, image) {
		if !strings.HasSuffix(path, ".log") {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		used := len(bytes.TrimRight(data, "\x00"))
		for at := 100; at < used*8/10; at += used / 10 {
			if flipAndRead(t, image, path, at, want) {
				refused++
			}
		}
	}
	if refused < 5 {
		t.Fatalf("%d flips were refused: the test reads too little", refused)
	}
}

// TestINV34_FlippedManifest flips bytes all over the list of tables. Pebble
// alone takes a damaged last entry for the torn end of a crash, and forgets the
// tables that it added.
func TestINV34_FlippedManifest(t *testing.T) {
	dir := t.TempDir()
	s, stop := openAt(t, dir, nil)
	out, err := ingest(t, s, storetest.Native(1))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{out[0].ID: string(storetest.Native(1).Native)}
	stop()
	manifests, err := filepath.Glob(filepath.Join(dir, "records", "MANIFEST-*"))
	if err != nil || len(manifests) == 0 {
		t.Fatalf("no manifest: %v", err)
	}
	refused := 0
	for _, path := range manifests {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(data); at += 3 {
			if flipAndRead(t, dir, path, at, want) {
				refused++
			}
		}
	}
	if refused < 10 {
		t.Fatalf("%d flips were refused: the test reads too little", refused)
	}
	// As after a crash: nothing says how the manifest was, but no entry may be changed.
	if err := os.Remove(filepath.Join(dir, "records", "closed")); err != nil {
		t.Fatal(err)
	}
	newest := manifests[len(manifests)-1]
	info, err := os.Stat(newest)
	if err != nil {
		t.Fatal(err)
	}
	if !flipAndRead(t, dir, newest, int(info.Size())-1, want) {
		t.Fatal("a changed last entry was taken for a torn one")
	}
}

// TestINV33_DuplicateWaitsForItsFirstCopy: the sync of the first copies hangs,
// then fails; the duplicates that were looked up meanwhile must fail with it, be
// they many or be the first copies so many that more were waited for already.
func TestINV33_DuplicateWaitsForItsFirstCopy(t *testing.T) {
	many := make([]record.Record, 300) // as many as make a group begin while a sync runs
	for n := range many {
		many[n] = storetest.Native(0)
	}
	t.Run("many", func(t *testing.T) { waitsForItsFirstCopy(t, many[:1], many) })
	t.Run("one", func(t *testing.T) { waitsForItsFirstCopy(t, many, many[:1]) })
}

func waitsForItsFirstCopy(t *testing.T, first, again []record.Record) {
	var armed atomic.Bool
	var once sync.Once
	entered, release := make(chan struct{}), make(chan struct{})
	keys, err := keyring.OpenKeyring(keyring.Options{Dir: t.TempDir(), Region: storetest.Region})
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	s, err := local.Open(local.Options{Dir: t.TempDir(), Region: storetest.Region, Keys: keys,
		FS: stalled(&armed, func() error {
			once.Do(func() { close(entered) })
			<-release
			return errors.New("injected: the disk does not sync")
		})})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() // its error is the injected one
	unstall := sync.OnceFunc(func() { close(release) })
	defer unstall()
	armed.Store(true)
	results := make(chan error, 2)
	send := func(recs ...record.Record) { _, err := ingest(t, s, recs...); results <- err }
	go send(first...)
	<-entered
	for committing() {
		runtime.Gosched()
	}
	go send(again...)
	// A read that sees the first copy shows that the second group may see it too.
	for len(listAll(t, s, store.Query{})) != 1 {
		runtime.Gosched()
	}
	select {
	case err := <-results:
		t.Fatalf("answered before the sync: %v", err)
	case <-time.After(50 * time.Millisecond): // a wrong acknowledgement takes a millisecond
	}
	unstall()
	for range 2 {
		wantReason(t, <-results, policy.OutcomeUnknown)
	}
}

// committing reports that a tenant's committer is at work: it neither waits nor has ended.
func committing() bool {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for _, goroutine := range strings.Split(string(stacks), "\n\n") {
		if strings.Contains(goroutine, "sealed.(*tenant).run(") {
			if state, _, _ := strings.Cut(goroutine, "\n"); !strings.Contains(state, "[select") {
				return true
			}
		}
	}
	return false
}
