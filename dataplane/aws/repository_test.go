package aws

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/dataplane/backup"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/record"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// vault is a real record store, recordings in one bucket, and a repository in another.
type vault struct {
	t        *testing.T
	g        *gateway
	media    *S3
	backups  S3Config
	dir      string // of the repository's bucket
	scratch  string
	cluster  string
	region   policy.RegionID
	keys     *local.Keyring
	store    *localstore.Store
	step     func(string) error
	known    string
	recorded int
}

func newVault(t *testing.T) *vault {
	t.Helper()
	g := startGateway(t, "eu-west-1")
	v := &vault{t: t, g: g, media: g.open(g.bucket("eu-west-1", "media")), backups: g.bucket("eu-west-1", "backups"), dir: filepath.Join(g.dir, "backups"),
		scratch: filepath.Join(t.TempDir(), "scratch"), cluster: "CL" + strings.Repeat("0", 32), region: storetest.Region}
	dir := t.TempDir()
	var err error
	v.keys, err = local.OpenKeyring(local.Options{Dir: filepath.Join(dir, "keys"), Region: v.region})
	check(t, err)
	v.store, err = localstore.Open(localstore.Options{Dir: filepath.Join(filepath.Dir(v.scratch), "records"), Region: v.region, Keys: v.keys})
	check(t, err)
	t.Cleanup(func() { _ = errors.Join(v.store.Close(), v.keys.Close()) })
	return v
}

func (v *vault) options() backup.Options {
	return backup.Options{Place: v.g.placeIn(v.backups, "A"), Region: v.region, Cluster: v.cluster, Keys: v.keys, Known: v.known, Step: v.step}
}

func (v *vault) with(use backup.Use, do func(*backup.Repository) error) error {
	r, err := backup.Open(v.t.Context(), v.options(), use)
	if err != nil {
		return err
	}
	v.known = r.ID()
	return errors.Join(do(r), r.Close())
}

// load takes calls and recordings in.
func (v *vault) load(n int) {
	v.t.Helper()
	for range n {
		v.recorded++
		_, err := v.store.Append(v.t.Context(), storetest.Permit(v.t, storetest.TenantA, policy.Ingest), []record.Record{storetest.Native(v.recorded)})
		check(v.t, err)
		_, err = v.media.Create(v.t.Context(), fmt.Sprintf("TN1/RE%d/0", v.recorded), strings.NewReader(fmt.Sprintf("sealed sound %d", v.recorded)))
		check(v.t, err)
	}
}

func (v *vault) create() (head backup.Snapshot, err error) {
	err = v.with(backup.Make, func(r *backup.Repository) (err error) {
		head, err = r.Create(v.t.Context(), backup.Source{Records: v.store.Checkpoint, Scratch: v.scratch, Blobs: v.media, KeyGeneration: 1, Schema: localstore.Schema}, backup.CreateOptions{})
		return err
	})
	return head, err
}

func (v *vault) must() backup.Snapshot {
	v.t.Helper()
	head, err := v.create()
	check(v.t, err)
	return head
}

func (v *vault) verify() (found backup.Verified, err error) {
	err = v.with(backup.Read, func(r *backup.Repository) (err error) { found, err = r.Verify(v.t.Context(), "", nil); return err })
	return found, err
}

func (v *vault) extract(id, into string) error {
	return v.with(backup.Read, func(r *backup.Repository) error {
		_, err := r.Extract(v.t.Context(), id, backup.Target{Folder: into}, nil)
		return err
	})
}

// stored are the files of the bucket on the server's disk, below a folder.
func (v *vault) stored(folder string) (paths []string) {
	v.t.Helper()
	check(v.t, filepath.WalkDir(filepath.Join(v.dir, folder), func(path string, d os.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && d.Type().IsRegular() {
			paths = append(paths, path)
		}
		return err
	}))
	return paths
}

// A snapshot in a bucket is incremental and whole, recordings of another bucket
// included; it comes back to the byte.
func TestBackupsInABucketAreIncrementalAndWhole(t *testing.T) {
	v := newVault(t)
	v.load(20)
	first := v.must()
	v.load(3)
	second := v.must()
	if second.Parent != first.ID || second.Copied >= second.Bytes || second.Files < 23 {
		t.Errorf("%+v, then %+v", first, second)
	}
	if found, err := v.verify(); err != nil || found.Snapshots != 2 {
		t.Errorf("%+v, %v", found, err)
	}
	for id, want := range map[string]int{first.ID: 20, second.ID: 23} {
		into := t.TempDir()
		check(t, v.extract(id, into))
		got, err := filepath.Glob(filepath.Join(into, "media", "TN1", "*", "0"))
		if err != nil || len(got) != want {
			t.Errorf("%d recordings come back, want %d", len(got), want)
		}
		raw, err := os.ReadFile(filepath.Join(into, "media", "TN1", "RE7", "0"))
		if err != nil || string(raw) != "sealed sound 7" {
			t.Errorf("%q, %v", raw, err)
		}
		s, err := localstore.Open(localstore.Options{Dir: filepath.Join(into, "records"), Region: v.region, Keys: v.keys})
		check(t, err)
		n := 0
		check(t, s.Everything(t.Context(), storetest.Permit(t, storetest.TenantA, policy.Process), func(record.Record) error { n++; return nil }))
		if check(t, s.Close()); n != want {
			t.Errorf("%d records come back, want %d", n, want)
		}
	}
	var out backup.Pruned
	check(t, v.with(backup.Write, func(r *backup.Repository) (err error) { out, err = r.Prune(t.Context(), 1, false); return err }))
	if found, err := v.verify(); err != nil || found.Snapshots != 1 || len(out.Snapshots) != 1 {
		t.Errorf("%+v, %+v, %v", out, found, err)
	}
}

// A crash at any point, and a store that dies at any point, leave what was there
// before, and no snapshot that is not whole.
func TestINV33_CrashesLeaveABucketsBackupsWhole(t *testing.T) {
	v := newVault(t)
	v.load(5)
	v.must()
	crashed := errors.New("crash")
	at := func(n int, dies bool) (points int, err error) {
		v.step = func(point string) error {
			switch points++; {
			case points != n:
			case dies:
				v.g.server.Stop()
			default:
				return crashed
			}
			return nil
		}
		_, err = v.create()
		v.step = nil
		if dies {
			v.g.server.Start()
		}
		if found, err := v.verify(); err != nil || found.Snapshots == 0 {
			t.Fatalf("point %d, the store dies %v: %+v, %v", n, dies, found, err)
		}
		return points, err
	}
	v.load(3)
	points := 0
	for n := 1; ; n++ {
		seen, err := at(n, false)
		points = max(points, seen)
		if err == nil { // the crash before was after the snapshot had appeared
			break
		}
		if !errors.Is(err, crashed) {
			t.Fatal(err)
		}
	}
	if points < 6 {
		t.Fatalf("%d points: the test shows nothing", points)
	}
	v.load(3)
	for _, n := range []int{1, points - 3} {
		if _, err := at(n, true); err == nil {
			t.Errorf("point %d of %d: a snapshot was taken while the store was away", n, points)
		}
	}
	v.must()
	check(t, v.with(backup.Write, func(r *backup.Repository) error { _, err := r.Prune(t.Context(), 1, false); return err }))
	if found, err := v.verify(); err != nil || found.Snapshots != 1 {
		t.Errorf("%+v, %v", found, err)
	}
	if left := v.stored(marks); len(left) != 0 {
		t.Errorf("marks are left: %v", left)
	}
}

// Every object of a bucket that is changed, cut or missing is found, and not restored.
func TestINV34_DamageInABucketIsFound(t *testing.T) {
	v := newVault(t)
	v.load(6)
	head := v.must()
	paths := append(v.stored("objects"), v.stored("snapshots")...)
	if len(paths) < 8 {
		t.Fatalf("%d files: the test shows nothing", len(paths))
	}
	for _, path := range paths {
		good, err := os.ReadFile(path)
		check(t, err)
		bad := bytes.Clone(good)
		bad[len(bad)/2] ^= 4
		for what, damage := range map[string]func() error{
			"changed": func() error { return os.WriteFile(path, bad, 0o600) },
			"cut":     func() error { return os.WriteFile(path, good[:len(good)-1], 0o600) },
			"missing": func() error { return os.Remove(path) },
		} {
			check(t, damage())
			if _, err := v.verify(); err == nil && !(what == "missing" && strings.Contains(path, "/snapshots/")) {
				t.Errorf("%s is %s, and that is not found", filepath.Base(path), what)
			}
			if err := v.extract(head.ID, t.TempDir()); err == nil {
				t.Errorf("%s is %s, and restored", filepath.Base(path), what)
			}
			check(t, os.WriteFile(path, good, 0o600))
		}
	}
	if _, err := v.verify(); err != nil {
		t.Errorf("put back as it was: %v", err)
	}
}

// A bucket of another region, another region's backup, another's bucket with other
// things in it, and an empty one in the place of ours.
func TestINV07_ForeignBucketsAreRefused(t *testing.T) {
	v := newVault(t)
	v.load(2)
	v.must()
	right := v.backups
	refuses := func(what, says string) {
		t.Helper()
		if _, err := v.create(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want %q", what, err, says)
		}
	}
	v.region = "us1"
	refuses("another region's backup", "another region")
	v.region = storetest.Region
	v.backups = v.g.config("eu-west-1", "media")
	known := v.known
	v.known = ""
	refuses("a bucket of recordings", "not empty")
	v.known = known
	v.backups = v.g.bucket("eu-west-1", "empty")
	refuses("an empty bucket", "this node's repository is")
	v.backups = right
	v.backups.Region = "us-east-1"
	refuses("a bucket of another region", "open the backup bucket backups")
	elsewhere, ca, login := tlsServer(t, redirecting{map[string]http.HandlerFunc{"location": xml(`<LocationConstraint>us-west-2</LocationConstraint>`)}})
	v.backups = S3Config{Account: Account{Region: "eu-west-1", Endpoint: elsewhere, CA: ca, CredentialsFile: login}, Bucket: "backups", Compatible: true}
	refuses("a bucket that says it is elsewhere", "LOCATION")
	v.backups = right
	if head, err := v.create(); err != nil || head.Number != 2 {
		t.Errorf("%+v, %v", head, err)
	}
}

// Nothing of what is sent is in the clear, no key is in it, and every byte crossed a
// connection of class BACKUP.
func TestINV05_BackupsInABucketAreCountedAndSealed(t *testing.T) {
	v := newVault(t)
	v.load(5)
	door, client := clientFor(t, policy.Backup, v.backups.CA, v.backups.Destinations()...)
	b, err := NewS3(v.backups, client)
	check(t, err)
	o := v.options()
	o.Place = NewPlace(PlaceOptions{Bucket: b, Owner: "A", Spool: t.TempDir()})
	r, err := backup.Open(t.Context(), o, backup.Make)
	check(t, err)
	head, err := r.Create(t.Context(), backup.Source{Records: v.store.Checkpoint, Scratch: v.scratch, Blobs: v.media, KeyGeneration: 1, Schema: localstore.Schema}, backup.CreateOptions{})
	check(t, errors.Join(err, r.Close(), b.Close()))
	var out, in int64
	for _, e := range door.Entries() {
		if e.Class != policy.Backup {
			t.Errorf("a connection of class %s", e.Class)
		}
		out, in = out+e.BytesOut, in+e.BytesIn
	}
	if out < int64(head.Stored) || in < int64(head.Stored) {
		t.Errorf("%d bytes out and %d in are in the ledger; %d were sent and read back", out, in, head.Stored)
	}
	for _, path := range v.stored("") {
		raw, err := os.ReadFile(path)
		check(t, err)
		for _, word := range []string{"sealed sound", "353861234567", "call-1", "TN1/RE1", "MANIFEST"} {
			if bytes.Contains(raw, []byte(word)) {
				t.Errorf("%s holds %q", path, word)
			}
		}
	}
}
