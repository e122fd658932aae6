package system

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/dataplane/backup"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/testcluster"
	"github.com/domicile-io/domicile/policy"
)

// vault is a region's node with a repository, and its operator.
type vault struct {
	t      *testing.T
	c      *testcluster.Cluster
	data   string // data_dir
	folder string // of the repository
	keys   string // the key table's copy
	region *client.Region
	more   func() // what else is lost with the machine; nil: nothing
}

func openVault(t *testing.T) *vault {
	t.Helper()
	folder := t.TempDir()
	return openVaultWith(t, folder, func(c *dataplane.Config) { c.Backup.Folder = folder })
}

// openVaultWith is one whose backups come to lie in a folder of this machine, as edit
// says.
func openVaultWith(t *testing.T, folder string, edit func(*dataplane.Config)) *vault {
	t.Helper()
	v := &vault{t: t, folder: folder, keys: filepath.Join(t.TempDir(), "keys")}
	root := t.TempDir()
	dir, err := os.MkdirTemp("", "vault") // short, for the socket's path
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	v.c = start(t, testcluster.Options{Dir: dir, EditRegion: func(_ *dev.Environment, c *dataplane.Config) error {
		if c.Region == "ie1" {
			c.Backup, v.data = dataplane.BackupConfig{Interval: 24 * time.Hour}, c.DataDir
			c.Keys.Copy, c.Keys.RootFile = v.keys, filepath.Join(root, "root.key") // a device of its own
			edit(c)
		}
		return nil
	}})
	_, v.region = place(t, v.c, "acme-ie", "ie1", "IE", nil)
	until(t, 30*time.Second, "the first snapshot, by itself", func() error {
		if n := len(v.list()); n == 0 {
			return errors.New("there is none")
		}
		return nil
	})
	return v
}

// node runs a command of domicile-dataplane.
func (v *vault) node(args ...string) (stdout, stderr string, code int) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "domicile-dataplane"), append(args, "--config", v.c.Process("ie1").Config())...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		v.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func (v *vault) must(args ...string) string {
	v.t.Helper()
	out, errs, code := v.node(args...)
	if code != 0 {
		v.t.Fatalf("domicile-dataplane %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

func (v *vault) refuses(what, says string, args ...string) {
	v.t.Helper()
	if out, errs, code := v.node(args...); code == 0 || !strings.Contains(errs, says) {
		v.t.Errorf("%s: exit code %d\n%s%s\nwant a refusal that says %q", what, code, out, errs, says)
	}
	for _, dir := range []string{"records", "media", "exports", "restored.json", "restore.tmp"} {
		if _, err := os.Stat(filepath.Join(v.data, dir)); err == nil && !v.c.Process("ie1").Running() {
			v.t.Errorf("%s: %s is there", what, dir)
		}
	}
}

func (v *vault) create() (s backup.Snapshot) {
	v.t.Helper()
	check(v.t, json.Unmarshal([]byte(v.must("backup", "create", "-o", "json")), &s))
	return s
}

func (v *vault) list() []backup.Snapshot {
	v.t.Helper()
	out, _, code := v.node("backup", "list", "-o", "json")
	if code != 0 {
		return nil // it is busy with the first one
	}
	var l dataplane.BackupList
	check(v.t, json.Unmarshal([]byte(out), &l))
	return l.Snapshots
}

const erased = "+353867391846"

// load sends calls; each tenth is the person's that is erased later.
func (v *vault) load(from, to int) data.Counts {
	v.t.Helper()
	var body bytes.Buffer
	for n := from; n < to; n++ {
		number := fmt.Sprintf("+35386%07d", 1000000+n)
		if n%10 == 0 {
			number = erased
		}
		line, err := json.Marshal(data.NewCall{NativeID: fmt.Sprintf("v%d", n), From: number, To: "+35315551234", Direction: "inbound", Status: "completed", CallerName: fmt.Sprintf("caller %d", n)})
		check(v.t, err)
		body.Write(append(line, '\n'))
	}
	counts, err := v.region.Batch(v.t.Context(), client.Upload{Body: &body})
	check(v.t, err)
	return counts
}

// calls is everything that the region shows, by id, as JSON.
func (v *vault) calls() map[string]string {
	v.t.Helper()
	out := map[string]string{}
	check(v.t, v.region.AllCalls(v.t.Context(), client.Filter{}, func(c data.Call) error {
		raw, err := json.Marshal(c)
		out[c.ID] = string(raw)
		return err
	}))
	return out
}

func (v *vault) erase() data.Certificate {
	v.t.Helper()
	cert, err := v.region.EraseSubject(v.t.Context(), data.SubjectRef{Number: erased})
	check(v.t, err)
	until(v.t, 60*time.Second, "the erasure is executed", func() error {
		cert, err = v.region.Certificate(v.t.Context(), cert.ID)
		if err == nil && cert.State == "pending" {
			err = errors.New("it is pending")
		}
		return err
	})
	return cert
}

func (v *vault) record(call, sound string) string {
	v.t.Helper()
	wav := append([]byte("RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x00\x00\x00\x00"), sound...)
	r, err := v.region.UploadRecording(v.t.Context(), call, bytes.NewReader(wav), int64(len(wav)), nil)
	check(v.t, err)
	return r.ID
}

func (v *vault) sound(id string) (string, error) {
	r, err := v.region.RecordingMedia(v.t.Context(), id, 0)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

// lose kills the node and removes its data folder, keys and all.
func (v *vault) lose() {
	v.t.Helper()
	check(v.t, v.c.Process("ie1").Kill())
	check(v.t, os.RemoveAll(v.data))
	if v.more != nil {
		v.more()
	}
}

func (v *vault) start() {
	v.t.Helper()
	check(v.t, v.c.Process("ie1").Start())
	ctx, cancel := context.WithTimeout(v.t.Context(), time.Minute)
	defer cancel()
	check(v.t, v.c.Process("ie1").WaitReady(ctx))
}

// The whole of docs/operations/region-backup.md: load, snapshot, more load, an
// incremental one, an erasure; then the machine is lost. What is restored serves;
// the person is gone, everybody else is there to the byte.
func TestINV22_RegionRestoreDrill(t *testing.T) { restoreDrill(openVault(t)) }

func restoreDrill(v *vault) {
	t := v.t
	v.load(0, 300)
	first := v.create()
	var person, other string
	for id, raw := range v.calls() {
		if strings.Contains(raw, erased) {
			person = id
		} else {
			other = id
		}
	}
	kept, gone := v.record(other, strings.Repeat("sound of another ", 5000)), v.record(person, strings.Repeat("sound of the person ", 5000))
	want, err := v.sound(kept)
	check(t, err)
	v.load(300, 400)
	second := v.create()
	if second.Parent != first.ID || second.Copied >= second.Bytes {
		t.Errorf("the second snapshot: %+v", second)
	}
	cert := v.erase()
	held, err := v.region.PutHold(t.Context(), data.HoldRequest{Everybody: true, Reason: "LITIGATION"})
	check(t, err)
	calls := v.calls()
	if n := strings.Count(fmt.Sprint(calls), erased); len(calls) != 400 || n > 0 { // the other party's calls stay, without the person
		t.Fatalf("%d calls, %d times the person", len(calls), n)
	}
	rollups, err := v.region.Rollups(t.Context(), time.Now().UTC().Format(time.DateOnly))
	check(t, err)

	v.refuses("while it runs", "stop it", "restore")
	v.lose()
	report := v.restore()
	if report.Snapshot.ID != second.ID || report.Store.Lost != 0 || report.Store.Unknown != 0 || report.Store.Calls != 400 || report.Later != 1 || report.Store.Renewed == 0 {
		t.Errorf("%+v", report)
	}
	if _, errs, code := v.node("restore"); code == 0 || !strings.Contains(errs, "not empty") {
		t.Errorf("a second time: exit code %d\n%s", code, errs)
	}
	v.start()
	until(t, 60*time.Second, "reads", func() error { _, err := v.region.Calls(t.Context(), client.Filter{}); return err })
	if got := v.calls(); !maps.Equal(got, calls) {
		t.Errorf("%d calls, and %d before; or they are not byte for byte what they were", len(got), len(calls))
	}
	again, err := v.region.Rollups(t.Context(), time.Now().UTC().Format(time.DateOnly))
	check(t, err)
	if fmt.Sprint(again) != fmt.Sprint(rollups) {
		t.Errorf("rollups were %+v and are %+v", rollups, again)
	}
	if got, err := v.sound(kept); err != nil || got != want {
		t.Errorf("a recording is not what it was: %d bytes, %v", len(got), err)
	}
	if _, err := v.sound(gone); !errors.Is(err, &policy.Error{Reason: policy.NotFound}) && !errors.Is(err, &policy.Error{Reason: policy.Destroyed}) {
		t.Errorf("the person's recording: %v", err)
	}
	if page, err := v.region.SearchCalls(t.Context(), data.Search{Number: erased}); err != nil || len(page.Calls) != 0 {
		t.Errorf("the person is found in %d calls, %v", len(page.Calls), err)
	}
	if c, err := v.region.Certificate(t.Context(), cert.ID); err != nil || c.State == "pending" {
		t.Errorf("the certificate: %+v, %v", c, err)
	}
	holds, err := v.region.Holds(t.Context(), "")
	if check(t, err); len(holds.Holds) != 1 || holds.Holds[0].ID != held.ID {
		t.Errorf("holds: %+v", holds)
	}
	// What the sources send again is there already; the person stays forgotten.
	if n := v.load(0, 400); n.Accepted != 0 || n.Duplicates != 400 {
		t.Errorf("sent again: %+v", n)
	}
	if n := v.load(401, 410); n.Accepted != 9 {
		t.Errorf("new calls: %+v", n)
	}
	v.create()
	if out := v.must("backup", "verify"); !strings.Contains(out, "0 missing or changed") {
		t.Error(out)
	}
}

func (v *vault) restore(args ...string) (r dataplane.RestoreReport) {
	v.t.Helper()
	check(v.t, json.Unmarshal([]byte(v.must(append([]string{"restore", "-o", "json"}, args...)...)), &r))
	return r
}

// What is not whole, foreign, or lacks what it needs, is not restored, and
// nothing is left of the try.
func TestRegionRestoreRefuses(t *testing.T) { restoreRefuses(openVault(t)) }

func restoreRefuses(v *vault) {
	t := v.t
	v.load(0, 50)
	v.create()
	v.erase()
	v.create()
	v.lose()

	v.refuses("an unknown snapshot", "there is no snapshot", "restore", "--snapshot", "20260101T000000Z-000009")
	away := v.keys + ".away"
	check(t, os.Rename(v.keys, away))
	check(t, os.RemoveAll(filepath.Join(v.data, "keys"))) // the try before put it back
	v.refuses("no key table", "key table", "restore")
	check(t, os.RemoveAll(v.keys))
	check(t, os.Rename(away, v.keys))
	check(t, os.RemoveAll(filepath.Join(v.data, "keys")))

	ledger := filepath.Join(v.folder, "erasures", "ledger.jsonl")
	good, err := os.ReadFile(ledger)
	check(t, err)
	check(t, os.Remove(ledger))
	v.refuses("no erasure ledger", "erasure ledger", "restore")
	check(t, os.WriteFile(ledger, nil, 0o600))
	v.refuses("an older erasure ledger", "without the others", "restore")
	check(t, os.WriteFile(ledger, bytes.Replace(good, []byte(`"sealed":"`), []byte(`"sealed":"AAAA`), 1), 0o600))
	v.refuses("a damaged erasure ledger", "entry 1", "restore")
	check(t, os.WriteFile(ledger, good, 0o600))
	check(t, os.RemoveAll(filepath.Join(v.data, "erasures")))

	objects, err := filepath.Glob(filepath.Join(v.folder, "objects", "*", "*"))
	check(t, err)
	slices.SortFunc(objects, func(a, b string) int { return int(size(t, b) - size(t, a)) })
	raw, err := os.ReadFile(objects[0])
	check(t, err)
	bad := bytes.Clone(raw)
	bad[len(bad)/3] ^= 4
	check(t, os.WriteFile(objects[0], bad, 0o600))
	v.refuses("a changed file", "damaged", "restore")
	if out, _, code := v.node("backup", "verify"); code == 0 || !strings.Contains(out, filepath.Base(objects[0])) {
		t.Errorf("a changed file is not found: %s", out)
	}
	check(t, os.Remove(objects[0]))
	v.refuses("a missing file", "missing", "restore")
	check(t, os.WriteFile(objects[0], raw, 0o600))

	label := filepath.Join(v.folder, "domicile-backup.json")
	name, err := os.ReadFile(label)
	check(t, err)
	check(t, os.WriteFile(label, bytes.Replace(name, []byte(`"region":"ie1"`), []byte(`"region":"us1"`), 1), 0o600))
	v.refuses("another region's", "another region", "restore")
	check(t, os.WriteFile(label, name, 0o600))

	v.must("restore")
	v.start()
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	check(t, err)
	return info.Size()
}
