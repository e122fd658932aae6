package local

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// open opens a keyring that does nothing by itself.
func open(t *testing.T, dir string) *Keyring {
	t.Helper()
	k, err := OpenKeyring(Options{Dir: dir, Region: "ie1", Refresh: time.Hour, RotateSpacing: 1000 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

func draw(t *testing.T, k *Keyring) (store.KeyID, [32]byte) {
	t.Helper()
	id, key, err := k.Draw()
	if err != nil {
		t.Fatal(err)
	}
	return id, key
}

func isReason(err error, r policy.Reason) bool { return errors.Is(err, &policy.Error{Reason: r}) }

func TestKeysSurviveAndAreNeverDrawnTwice(t *testing.T) {
	dir := t.TempDir()
	all := map[store.KeyID][32]byte{}
	keys := map[[32]byte]bool{}
	for range 3 {
		k := open(t, dir)
		for range tableBlock + 10 {
			id, key := draw(t, k)
			if _, twice := all[id]; twice || keys[key] {
				t.Fatalf("key %v was drawn twice", id)
			}
			all[id], keys[key] = key, true
		}
		k.Close()
	}
	k := open(t, dir)
	for id, want := range all {
		if got, err := k.Open(id); err != nil || got != want {
			t.Fatalf("key %v after reopening: same %v, error %v", id, got == want, err)
		}
	}
	for _, id := range []store.KeyID{{Generation: 1, Index: 1 << 40}, {Generation: 9}, {}} {
		if _, err := k.Open(id); !isReason(err, policy.Internal) {
			t.Errorf("key %v: %v, want INTERNAL", id, err)
		}
	}
}

func TestConcurrentDraws(t *testing.T) {
	k := open(t, t.TempDir())
	var mu sync.Mutex
	seen := map[store.KeyID]bool{}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for n := range 200 {
				id, key, err := k.Draw()
				got, err2 := k.Open(id)
				_, err3 := k.Named(fmt.Sprintf("name/%d", (w+n)%5))
				if err := errors.Join(err, err2, err3); err != nil || got != key {
					t.Errorf("draw: %v", err)
				}
				mu.Lock()
				if seen[id] {
					t.Errorf("key %v was drawn twice", id)
				}
				seen[id] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestNamedKeysSurvive(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir)
	want := map[string][32]byte{}
	for n := range 20 {
		name := fmt.Sprintf("pseudonym/TN%d", n)
		want[name], _ = k.Named(name)
	}
	k.Close()
	// A crash may leave a longer file behind: part of an entry, or zeros.
	f, err := os.OpenFile(filepath.Join(dir, namesName(1)), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.Write(make([]byte, nameEntry+40))
	f.Close()
	k = open(t, dir)
	for name, key := range want {
		if got, err := k.Named(name); err != nil || got != key {
			t.Fatalf("%s changed, error %v", name, err)
		}
	}
	fresh, err := k.Named("another")
	if err != nil {
		t.Fatal(err)
	}
	k.Close()
	if got, _ := open(t, dir).Named("another"); got != fresh {
		t.Fatal("a name added behind a torn tail was lost")
	}
}

// flips are the offsets at which a byte is flipped: all that hold something.
func flips(file string, size int) map[int]bool {
	out := map[int]bool{}
	for at := range min(size, wrapped+20) {
		out[at] = true
	}
	if strings.HasPrefix(file, "table-") {
		for at := range wrapped + 4 {
			out[tableHead+at] = true
		}
	}
	if strings.HasPrefix(file, "sheet-") {
		for at := range size {
			out[at] = true
		}
	}
	return out
}

// TestINV34_ChangedBytesAreRefused flips bytes all over the keyring; what was
// handed out is then the same, or an error.
func TestINV34_ChangedBytesAreRefused(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir)
	id, key := draw(t, k)
	named, _ := k.Named("index")
	k.Close()
	refused := 0
	for _, file := range []string{rootFile, generationsFile, "table-00000001-00000001", "names-00000001", "sheet-00000001"} {
		path := filepath.Join(dir, file)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for at := range flips(file, len(good)) {
			bad := bytes.Clone(good)
			bad[at] ^= 1
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			k, err := OpenKeyring(Options{Dir: dir, Region: "ie1"})
			if err != nil {
				refused++
				continue
			}
			got, err1 := k.Open(id)
			name, err2 := k.Named("index")
			if err1 == nil && got != key || err2 == nil && name != named {
				t.Errorf("%s: a flip of byte %d gave another key", file, at)
			}
			if err1 != nil || err2 != nil {
				refused++
			}
			k.Close()
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if refused < 200 {
		t.Fatalf("only %d flips were refused", refused)
	}
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir)
	if _, err := OpenKeyring(Options{Dir: dir, Region: "ie1"}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a held folder: %v", err)
	}
	k.Close()
	if _, err := OpenKeyring(Options{Dir: dir, Region: "au1"}); err == nil {
		t.Error("another region's keyring opened")
	}
	root := filepath.Join(dir, rootFile)
	if err := os.Chmod(root, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeyring(Options{Dir: dir, Region: "ie1"}); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a readable root key: %v", err)
	}
	if err := os.Remove(root); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeyring(Options{Dir: dir, Region: "ie1"}); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a missing root key: %v", err)
	}
	if _, err := os.Stat(root); err == nil {
		t.Error("a new root key was made beside old files")
	}
}

// TestStolenDisk: without the root key's file, no byte of any key is in the folder.
func TestStolenDisk(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir)
	var secrets [][]byte
	for range 5 {
		_, key := draw(t, k)
		secrets = append(secrets, bytes.Clone(key[:]))
	}
	named, _ := k.Named("pseudonym/TN1")
	secrets = append(secrets, named[:], []byte("pseudonym"))
	generation, err := k.custodian.Unwrap(t.Context(), 1, nil, store.UseNode)
	check(t, err)
	secrets = append(secrets, generation[:], bytes.Clone(k.sheet.tag[:]), bytes.Clone(k.sheet.names[:]), bytes.Clone(k.sheet.tables[0].key[:]))
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Name() == rootFile {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range secrets {
			if bytes.Contains(data, s) || bytes.Contains(data, s[:8]) {
				t.Errorf("%s holds secret %d", f.Name(), i)
			}
		}
	}
	if text := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); strings.Count(text, "[redacted]") != 4 {
		t.Errorf("a keyring prints as %q", text)
	}
}

// What is destroyed opens neither now nor after a restart; its neighbours do.
func TestDestroyedKeysNeverOpenAgain(t *testing.T) {
	dir := t.TempDir()
	k, err := OpenKeyring(Options{Dir: dir, Region: "ie1"})
	check(t, err)
	var ids []store.KeyID
	for range 300 { // over two blocks
		id, _, err := k.Draw()
		check(t, err)
		ids = append(ids, id)
	}
	kept, err := k.Open(ids[1])
	check(t, err)
	gone := []store.KeyID{ids[0], ids[2], ids[299], ids[0]}
	check(t, k.Destroy(gone))
	check(t, k.Destroy(gone))
	secret, err := k.Named("pseudonym/TN1")
	check(t, err)
	other, err := k.Named("store/index")
	check(t, err)
	if n, err := k.Forget([]string{"pseudonym/TN1", "pseudonym/TN2"}); err != nil || n != 1 {
		t.Fatalf("%d names were forgotten, %v", n, err)
	}
	for range 2 {
		for _, id := range gone {
			if _, err := k.Open(id); !errors.Is(err, &policy.Error{Reason: policy.Destroyed}) {
				t.Errorf("key %d: %v", id.Index, err)
			}
		}
		if key, err := k.Open(ids[1]); err != nil || key != kept {
			t.Errorf("a neighbour: %v", err)
		}
		if again, err := k.Named("store/index"); err != nil || again != other {
			t.Errorf("another name: %v", err)
		}
		if again, err := k.Named("pseudonym/TN1"); err != nil || again == secret {
			t.Errorf("a forgotten name has its old key: %v", err)
		}
		check(t, k.Close())
		k, err = OpenKeyring(Options{Dir: dir, Region: "ie1"})
		check(t, err)
	}
	check(t, k.Rotate(t.Context()))
	if again, err := k.Named("store/index"); err != nil || again != other {
		t.Errorf("another name under the next generation: %v", err)
	}
	check(t, k.Close())
	if err := k.Destroy(ids[:1]); err == nil {
		t.Error("a closed keyring destroys")
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
