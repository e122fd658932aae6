package power

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/internal/canary"
	"github.com/domicile-io/domicile/internal/chaos"
)

// fileKinds are the kinds of files of a node's data_dir, by pattern.
var fileKinds = []string{"records/*.sst", "records/*.log", "records/MANIFEST-*", "records/closed", "keys/table-*", "keys/names-*", "keys/sheet-*", "keys/generations", "keys/history", "keys/root.key",
	"erasures/*", "egress/egress.ledger", "bundle/bundle.cache", "bundle/contact", "media/*/*/*", "exports/outbox.db", "exports/received.db"}

// filled is what a node holds for tests of its files.
type filled struct {
	s      *site
	region *client.Region
	calls  map[string]data.NewCall
	sound  []byte
	wavID  string
}

// fill stores records, a recording, something for the quarantine, and an erasure.
func fill(t *testing.T, s *site) *filled {
	t.Helper()
	_, region := s.place("acme-ie", atHome(sealedClasses()))
	f := &filled{s: s, region: region, calls: map[string]data.NewCall{}}
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	b := &book{seed: 1}
	r := b.begin()
	for range 5 {
		first := r.take(200)
		var calls []data.NewCall
		for i := range 200 {
			c := b.call(r, first+i)
			calls, f.calls[c.NativeID] = append(calls, c), c
		}
		_, err := region.Batch(ctx, client.Upload{Body: bytes.NewReader(lines(calls...))})
		check(t, err)
	}
	f.sound = b.wav(r, 1)
	got, err := region.UploadRecording(ctx, "", bytes.NewReader(f.sound), int64(len(f.sound)), nil)
	check(t, err)
	f.wavID = got.ID
	gone := newCall("gone")
	gone.From = "+353879999999"
	_, err = region.CreateCall(ctx, gone)
	check(t, err)
	c, err := region.EraseSubject(ctx, data.SubjectRef{Number: gone.From})
	check(t, err)
	until(t, startLimit, "an erasure is executed", func() error {
		if c, err = region.Certificate(ctx, c.ID); err != nil || c.State == "pending" {
			return fmt.Errorf("%s %w", c.State, err)
		}
		return nil
	})
	return f
}

// serves reads everything. What is shown must be what was sent; wrong says that it
// is not, and missing what is neither shown nor reported.
func (f *filled) serves() (shown, corrupt int, failed, wrong error) {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	for q := (client.Filter{PageSize: 1000}); ; {
		page, err := f.region.Calls(ctx, q)
		if err != nil {
			failed = err
			break
		}
		corrupt += page.Corrupt
		for i := range page.Calls {
			c := &page.Calls[i]
			want, ok := f.calls[c.NativeID]
			if !ok && !strings.HasPrefix(c.NativeID, "erased-") {
				return shown, corrupt, failed, fmt.Errorf("a call that nobody sent: %s", c.NativeID)
			}
			if ok {
				if err := same(c, &want); err != nil {
					return shown, corrupt, failed, err
				}
				shown++
			}
		}
		if q.PageToken = page.NextPageToken; q.PageToken == "" {
			break
		}
	}
	body, err := f.region.RecordingMedia(ctx, f.wavID, 0)
	if err == nil {
		var sound []byte
		sound, err = io.ReadAll(body)
		_ = body.Close()
		if err == nil && !bytes.Equal(sound, f.sound) {
			return shown, corrupt, failed, errors.New("the recording is another")
		}
	}
	return shown, corrupt, errors.Join(failed, err), nil
}

// A byte flips in each kind of file of a stopped node. Nothing false is served,
// nothing vanishes without a word: the node does not start and says which file and
// what to do, or it serves all, or it reports what it lacks.
func TestINV34_FlippedBytesInEveryKindOfFile(t *testing.T) {
	s := openSite(t, siteOptions{})
	f := fill(t, s)
	check(t, s.node.Stop())
	good := filepath.Join(s.dir, "good")
	draw := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	_ = os.Remove(filepath.Join(s.data, "admin.sock"))
	check(t, chaos.Copy(s.data, good))
	everyFileIsOfAKind(t, good)
	for _, kind := range fileKinds {
		t.Run(strings.ReplaceAll(kind, "/", "_"), func(t *testing.T) {
			check(t, os.RemoveAll(s.data))
			check(t, chaos.Copy(good, s.data))
			paths, err := filepath.Glob(filepath.Join(s.data, kind))
			check(t, err)
			paths = notEmpty(paths)
			if len(paths) == 0 {
				t.Skipf("SKIPPED: a node that was stopped cleanly has no %s", kind)
			}
			path := paths[draw.IntN(len(paths))]
			at, err := chaos.Flip(path, 1, 0, draw)
			check(t, err)
			begin := logSize(s)
			what := fmt.Sprintf("%s, byte %d", filepath.Base(path), at[0])
			if err := s.start(); err != nil {
				_ = s.reap()
				said := logFrom(s, begin)
				if len(strings.TrimSpace(said)) == 0 || !strings.Contains(said, "domicile-dataplane:") {
					t.Errorf("%s: the node does not start and does not say why: %s", what, said)
				}
				t.Logf("%s: refuses to start: %s", what, lastLine(said))
				return
			}
			shown, corrupt, failed, wrong := f.serves()
			if wrong != nil {
				t.Errorf("%s: %v", what, wrong)
			}
			if shown+corrupt < len(f.calls) && failed == nil {
				t.Errorf("%s: %d calls are shown and %d reported, of %d: some vanished", what, shown, corrupt, len(f.calls))
			}
			t.Logf("%s: starts; %d calls shown, %d reported, %v", what, shown, corrupt, failed)
			check(t, s.node.Kill())
		})
	}
	check(t, os.RemoveAll(s.data))
	check(t, chaos.Copy(good, s.data))
	check(t, s.start())
	if shown, corrupt, failed, wrong := f.serves(); shown != len(f.calls) || corrupt != 0 || failed != nil || wrong != nil {
		t.Fatalf("the untouched folder: %d, %d, %v, %v", shown, corrupt, failed, wrong)
	}
}

// withoutContent are files whose bytes nothing is read from, or that the engine makes
// anew from its own options.
var withoutContent = []string{"records/LOCK", "records/OPTIONS-*", "records/marker.*"}

// everyFileIsOfAKind fails for a file of which no kind is flipped: one that somebody
// adds must be detected, too.
func everyFileIsOfAKind(t *testing.T, dir string) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || len(notEmpty([]string{path})) == 0 {
			return err
		}
		name, err := filepath.Rel(dir, path)
		for _, kind := range slices.Concat(fileKinds, withoutContent) {
			if ok, _ := filepath.Match(kind, name); ok {
				return err
			}
		}
		t.Errorf("%s is of no kind: put it into fileKinds, and see what a flipped byte in it does", name)
		return err
	}))
}

func notEmpty(paths []string) (out []string) {
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			out = append(out, p)
		}
	}
	return out
}

func logSize(s *site) int64 {
	info, err := os.Stat(s.node.Log())
	if err != nil {
		return 0
	}
	return info.Size()
}

func logFrom(s *site, at int64) string {
	raw, err := os.ReadFile(s.node.Log())
	if err != nil || int64(len(raw)) < at {
		return ""
	}
	return string(raw[at:])
}

func lastLine(text string) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return all[len(all)-1]
}

// A thief has everything of data_dir but the root key, which its custodian keeps
// elsewhere: no personal byte in any encoding, and no key that opens.
func TestINV01_StolenDisk(t *testing.T) {
	s := openSite(t, siteOptions{})
	_, region := s.place("acme-ie", atHome(sealedClasses()))
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	secrets := map[string]string{"number": "+353867391846", "name": "Zqvxwy Braonain Kjwzq", "native id": "zqvw-stolen-kjxqz", "quarantined": "zqvw-quarantined-kjxqz", "erased": "+353867391847", "feed": "zqvwfeedkjxqz"}
	c := newCall(secrets["native id"])
	c.From, c.CallerName = secrets["number"], secrets["name"]
	_, err := region.CreateCall(ctx, c)
	check(t, err)
	_, err = region.Feed(ctx, "freeswitch", secrets["feed"], client.Upload{Body: strings.NewReader(`{"variables":"` + secrets["quarantined"]), ContentType: "application/json"})
	check(t, err)
	gone := newCall("gone")
	gone.From = secrets["erased"]
	_, err = region.CreateCall(ctx, gone)
	check(t, err)
	_, err = region.EraseSubject(ctx, data.SubjectRef{Number: secrets["erased"]})
	check(t, err)
	found, err := region.SearchCalls(ctx, data.Search{Number: secrets["number"]})
	if err != nil || len(found.Calls) != 1 { // it is there, for who may ask
		t.Fatalf("%+v, %v", found, err)
	}
	check(t, s.node.Kill())
	_ = os.Remove(filepath.Join(s.data, "admin.sock"))
	stolen := filepath.Join(s.dir, "stolen")
	check(t, chaos.Copy(s.data, stolen))
	root := filepath.Join(stolen, "keys", "root.key")
	kept, err := os.ReadFile(root)
	check(t, err)
	check(t, os.Remove(root))

	scanner := canary.NewScanner(secrets)
	if scanner.Patterns() < 40*len(secrets) {
		t.Errorf("void: %d patterns for %d secrets", scanner.Patterns(), len(secrets))
	}
	leaks, files, err := scanner.Tree(stolen)
	check(t, err)
	for _, l := range leaks {
		t.Errorf("LEAK %s", l)
	}
	if files < 10 {
		t.Errorf("void: only %d files were looked at", files)
	}
	raw, err := rootIn(stolen, kept)
	check(t, err)
	for _, place := range raw {
		t.Errorf("the root key stands in %s", place)
	}
	if k, err := local.OpenKeyring(local.Options{Dir: filepath.Join(stolen, "keys"), Region: "ie1"}); err == nil {
		_ = k.Close()
		t.Error("the key table opens without its root key")
	}
	// Controls: the scan finds what is there, and the table opens with its root.
	check(t, os.WriteFile(filepath.Join(stolen, "note"), []byte("called "+secrets["number"]), 0o600))
	if leaks, _, err := scanner.Tree(stolen); err != nil || len(leaks) == 0 {
		t.Errorf("void: the scan finds nothing where something is: %v", err)
	}
	check(t, os.WriteFile(root, kept, 0o600))
	k, err := local.OpenKeyring(local.Options{Dir: filepath.Join(stolen, "keys"), Region: "ie1"})
	check(t, err)
	check(t, k.Close())
	t.Logf("%d files, %d patterns", files, scanner.Patterns())
}

// rootIn names files that hold the root key, in hex or as it is.
func rootIn(dir string, root []byte) (found []string, err error) {
	text := bytes.TrimSpace(root)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if bytes.Contains(raw, text) {
			found = append(found, path)
		}
		return err
	})
	return found, err
}
