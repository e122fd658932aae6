package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

const cluster = "CL00000000000000000000000000000001"

// world is a real record store, keyring and folder of blobs, and a repository.
type world struct {
	t      testing.TB
	dir    string
	folder string
	region policy.RegionID
	now    time.Time
	step   func(string) error
	behind *GivenUp // by the latest restore
	silent bool     // notes are not written
	covers int      // that the thief opened

	keys  *local.Keyring
	store *localstore.Store
	blobs *local.Blobs
	book  *Notebook
	known string
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), folder: t.TempDir(), region: storetest.Region, now: time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)}
	w.open()
	t.Cleanup(func() { w.close() })
	return w
}

func (w *world) open() {
	w.t.Helper()
	var err error
	w.keys, err = local.OpenKeyring(local.Options{Dir: filepath.Join(w.dir, "keys"), Region: w.region})
	must(w.t, err)
	w.book, err = NewNotebook(w.options())
	must(w.t, err)
	w.store, err = localstore.Open(localstore.Options{Dir: filepath.Join(w.dir, "records"), Region: w.region, Keys: w.keys,
		Room: func(time.Time) error { return nil }, Backup: w.note})
	must(w.t, err)
	w.blobs, err = local.OpenBlobs(filepath.Join(w.dir, "media"))
	must(w.t, err)
}

func (w *world) note(t policy.TenantID, rows []localstore.Row) {
	if w.known == "" || w.silent {
		return
	}
	n := Note{Tenant: t, Kind: StoreRows}
	for _, r := range rows {
		n.Rows = append(n.Rows, Row{r.Key, r.Value})
	}
	if err := w.book.Write(context.Background(), w.known, n); err != nil {
		w.t.Error(err)
	}
}

func (w *world) close() {
	if w.store == nil {
		return
	}
	if err := errors.Join(w.store.Close(), w.blobs.Close(), w.keys.Close()); err != nil {
		w.t.Error(err)
	}
	w.store = nil
}

func (w *world) options() Options {
	return Options{Place: NewFolder(w.folder), Region: w.region, Cluster: cluster, Keys: w.keys, Now: func() time.Time { return w.now }, Step: w.step, GivenUp: w.behind}
}

// with opens the repository for one piece of work.
func (w *world) with(do func(*Repository) error) error {
	r, err := Open(context.Background(), w.options(), Make)
	if err != nil {
		return err
	}
	if id := r.ID(); id != w.known { // else note reads it beside
		w.known = id
	}
	return errors.Join(do(r), r.Close())
}

func (w *world) source() Source {
	return Source{Records: w.store.Checkpoint, Scratch: filepath.Join(w.dir, "scratch"), Blobs: w.blobs, KeyGeneration: 1, Schema: localstore.Schema,
		Late: []Input{{Part: Exports, Name: "outbox.db", Size: 7, Copy: func(to io.Writer) error { _, err := to.Write([]byte("outbox\n")); return err }}}}
}

func (w *world) create() Snapshot {
	w.t.Helper()
	var head Snapshot
	w.now = w.now.Add(time.Minute)
	must(w.t, w.with(func(r *Repository) (err error) {
		head, err = r.Create(context.Background(), w.source(), CreateOptions{})
		return err
	}))
	return head
}

func (w *world) verify() (v Verified, err error) {
	err = w.with(func(r *Repository) (err error) { v, err = r.Verify(context.Background(), "", nil); return err })
	return v, err
}

func (w *world) append(recs ...record.Record) []store.Appended {
	w.t.Helper()
	out, err := w.store.Append(context.Background(), storetest.Permit(w.t, storetest.TenantA, policy.Ingest), recs)
	must(w.t, err)
	return out
}

func (w *world) load(from, to int) (out []store.Appended) {
	w.t.Helper()
	for n := from; n < to; n++ {
		out = append(out, w.append(storetest.Native(n))...)
	}
	return out
}

// pieces loads in several chunks when it is said to.
func (w *world) pieces(from, to int, pieces bool) (out []store.Appended) {
	w.t.Helper()
	if !pieces {
		return w.load(from, to)
	}
	for n := from; n < to; n += 8 {
		out = append(out, w.load(n, min(n+8, to))...)
		w.close()
		w.open()
	}
	return out
}

// merge merges all but the newest chunk.
func (w *world) merge() {
	w.t.Helper()
	if m := storetest.MergeAll(w.t, w.store, storetest.TenantA); m.Covers == 0 {
		w.t.Error("nothing was merged: the test shows nothing")
	}
}

func (w *world) blob(name, content string) {
	w.t.Helper()
	_, err := w.blobs.Create(context.Background(), name, bytes.NewReader([]byte(content)))
	must(w.t, err)
}

// restore replaces what is stored by a snapshot.
func (w *world) restore(id string, owners []store.Owner) localstore.PutBackReport {
	w.t.Helper()
	w.close()
	into := filepath.Join(w.t.TempDir(), "into")
	must(w.t, os.Mkdir(into, 0o700))
	keys, err := local.OpenKeyring(local.Options{Dir: filepath.Join(w.dir, "keys"), Region: w.region, Existing: true})
	must(w.t, err)
	w.keys = keys
	var notes []localstore.Row
	must(w.t, w.with(func(r *Repository) error {
		head, err := r.Extract(context.Background(), id, Target{Folder: into}, nil)
		if err != nil {
			return err
		}
		behind, err := r.Behind(context.Background(), head)
		if err != nil {
			return err
		}
		w.behind = &behind
		return r.Notes(context.Background(), head.Notes, func(n Note) error {
			for _, row := range n.Rows {
				notes = append(notes, localstore.Row{Key: row.Key, Value: row.Value})
			}
			return nil
		})
	}))
	s, err := localstore.Open(localstore.Options{Dir: filepath.Join(into, "records"), Region: w.region, Keys: keys})
	must(w.t, err)
	report, err := s.PutBack(context.Background(), localstore.PutBack{Notes: notes, Forgotten: func(policy.TenantID) store.Forgotten { return store.Forgotten{Owners: owners} }})
	must(w.t, err)
	must(w.t, errors.Join(s.Close(), keys.Close()))
	for _, dir := range []string{"records", "media"} {
		must(w.t, os.RemoveAll(filepath.Join(w.dir, dir)))
		if err := os.Rename(filepath.Join(into, dir), filepath.Join(w.dir, dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.t.Fatal(err)
		}
	}
	w.open()
	return report
}

// calls lists everything that can be read, by id.
func (w *world) calls() map[string]store.Call {
	w.t.Helper()
	out := map[string]store.Call{}
	for token := ""; ; {
		p, err := w.store.List(context.Background(), storetest.Permit(w.t, storetest.TenantA, policy.View), store.Query{PageSize: 1000, PageToken: token})
		must(w.t, err)
		if p.Corrupt > 0 {
			w.t.Fatalf("%d calls are corrupt", p.Corrupt)
		}
		for _, c := range p.Calls {
			out[c.ID] = c
		}
		if token = p.NextPageToken; token == "" {
			return out
		}
	}
}

// tree lists the files of a folder.
func tree(t testing.TB, dir string) (out []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			out = append(out, path)
		}
		return err
	}))
	return out
}

func same(t testing.TB, what string, got, want map[string]store.Call) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d calls, want %d", what, len(got), len(want))
	}
	for id, c := range want {
		g, ok := got[id]
		if !ok {
			t.Errorf("%s: call %s (%s) is missing", what, id, c.Record.Key.NativeID)
			continue
		}
		if a, b := record.Append(record.Form{}, &g.Record), record.Append(record.Form{}, &c.Record); !a.Equal(b) || g.ID != c.ID || !g.ListedAt.Equal(c.ListedAt) || !g.IngestedAt.Equal(c.IngestedAt) || g.Versions != c.Versions {
			t.Errorf("%s: call %s is not what it was", what, id)
		}
	}
}

var errCrash = errors.New("a crash")

func crashAt(n int) (func(string) error, *int) {
	seen := 0
	return func(point string) error {
		if seen++; seen == n {
			return fmt.Errorf("%w at %s", errCrash, point)
		}
		return nil
	}, &seen
}
