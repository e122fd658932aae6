package local

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// twoPlaces are options of a keyring with a copy that does nothing by itself.
func twoPlaces(t *testing.T) Options {
	t.Helper()
	dir := t.TempDir()
	return Options{Dir: filepath.Join(dir, "main"), Copy: filepath.Join(dir, "copy"), RootFile: filepath.Join(dir, "root.key"),
		Region: "ie1", Refresh: time.Hour, RotateSpacing: 1000 * time.Hour}
}

func openWith(t *testing.T, o Options) *Keyring {
	t.Helper()
	k, err := OpenKeyring(o)
	check(t, err)
	t.Cleanup(func() { k.Close() })
	return k
}

// equal demands that both places hold the same.
func equal(t *testing.T, o Options) {
	t.Helper()
	files, err := os.ReadDir(o.Dir)
	check(t, err)
	others, err := os.ReadDir(o.Copy)
	check(t, err)
	if len(files) != len(others) {
		t.Errorf("%d files and %d in the copy", len(files), len(others))
	}
	for _, f := range files {
		a, err := os.ReadFile(filepath.Join(o.Dir, f.Name()))
		check(t, err)
		b, err := os.ReadFile(filepath.Join(o.Copy, f.Name()))
		check(t, err)
		if !bytes.Equal(a, b) {
			t.Errorf("%s differs", f.Name())
		}
	}
}

// The main place is lost with everything in it, at any moment: what was drawn
// opens from the copy.
func TestTheCopyReplacesALostTable(t *testing.T) {
	o := twoPlaces(t)
	k := openWith(t, o)
	c := populate(t, k)
	check(t, k.Rotate(t.Context()))
	c.more(t, k, 30)
	// No Close: what is acknowledged now must survive now.
	image := filepath.Join(t.TempDir(), "copy")
	copyTree(t, o.Copy, image)
	alone := o
	alone.Dir, alone.Copy = filepath.Join(t.TempDir(), "main"), image
	saved := openWith(t, alone)
	c.look(t, saved)
	equal(t, alone)
	check(t, k.Close())
	equal(t, o)

	check(t, os.RemoveAll(o.Dir))
	k = openWith(t, o)
	c.look(t, k)
	check(t, k.Rotate(t.Context()))
	c.look(t, k)
	equal(t, o)
}

func TestEveryFileIsMendedFromTheOther(t *testing.T) {
	for _, victim := range []string{"main", "copy"} {
		for _, name := range []string{"sheet-00000002", "names-00000002", "table-00000001-00000002", "table-00000002-00000002", generationsFile, historyFile} {
			o := twoPlaces(t)
			k := openWith(t, o)
			c := populate(t, k)
			check(t, k.Rotate(t.Context()))
			c.more(t, k, 30)
			check(t, k.Close())
			path := filepath.Join(filepath.Dir(o.Dir), victim, name)
			good, err := os.ReadFile(path)
			check(t, err)
			bad := bytes.Clone(good)
			for at := 0; at < len(bad); at += 97 {
				bad[at] ^= 0x10
			}
			for _, b := range [][]byte{bad, good[:len(good)/2], nil} {
				check(t, os.WriteFile(path, b, 0o600))
				k, err := OpenKeyring(o)
				if err != nil {
					t.Fatalf("%s of %s: %v", name, victim, err)
				}
				c.look(t, k)
				check(t, k.Close())
				equal(t, o)
			}
		}
	}
}

// A damaged entry is found while the keyring is in use, and mended.
func TestVerifyMendsInUse(t *testing.T) {
	o := twoPlaces(t)
	k := openWith(t, o)
	c := populate(t, k)
	flip := func(dir string, at int64) {
		f, err := os.OpenFile(filepath.Join(dir, "table-00000001-00000001"), os.O_RDWR, 0)
		check(t, err)
		b := make([]byte, 1)
		_, err = f.ReadAt(b, at)
		check(t, err)
		b[0] ^= 1
		_, err = f.WriteAt(b, at)
		check(t, errors.Join(err, f.Close()))
	}
	flip(o.Dir, offset(2)+20)
	flip(o.Copy, offset(5)+20)
	k.cache.Purge()
	c.look(t, k) // mends what it touches
	flip(o.Dir, offset(8)+20)
	k.verify()
	if s := k.Status(); s.Mended != 2 || s.Corrupt != 0 || s.Verified.IsZero() {
		t.Errorf("%+v", s)
	}
	equal(t, o)
	flip(o.Dir, offset(11)+20)
	flip(o.Copy, offset(11)+21)
	k.verify()
	if s := k.Status(); s.Corrupt != 1 {
		t.Errorf("%+v", s)
	}
	check(t, k.Destroy([]store.KeyID{{Generation: 1, Index: 12}})) // so that the table is written anew
	if err := k.Rotate(t.Context()); err == nil || !strings.Contains(err.Error(), "damaged in every place") {
		t.Errorf("a rotation dropped a damaged key: %v", err)
	}
}

// A copy that is away stops nothing but the end of old generations; when it is
// back, it is made whole first.
func TestACopyThatIsAway(t *testing.T) {
	o := twoPlaces(t)
	k := openWith(t, o)
	c := populate(t, k)
	hang := func(n int) {
		k.places.mu.Lock()
		k.places.hung += n
		k.places.mu.Unlock()
	}
	hang(1)
	k.places.fallBehind(errAway)
	c.more(t, k, tableBlock+10)
	gen := retire(t, k)
	if err := k.Rotate(t.Context()); err == nil || !strings.Contains(err.Error(), "waits for the copy") {
		t.Fatalf("a generation was destroyed that the copy still needs: %v", err)
	}
	c.look(t, k)
	fate, err := k.Fate(gen)
	check(t, err)
	if !fate.Destroyed.IsZero() || !fate.Final.IsZero() || k.Status().Copy == "up" {
		t.Errorf("%+v %+v", fate, k.Status())
	}
	c.more(t, k, 10)
	hang(-1)
	k.chores(t.Context()) // it is back
	if s := k.Status(); s.Copy != "up" {
		t.Fatalf("%+v", s)
	}
	k.chores(t.Context())
	if fate, err = k.Fate(gen); err != nil || fate.Destroyed.IsZero() {
		t.Errorf("%+v, %v", fate, err)
	}
	c.look(t, k)
	check(t, k.Close())
	equal(t, o)
	check(t, os.RemoveAll(o.Dir))
	c.look(t, openWith(t, o))
}

func TestCopyRefusals(t *testing.T) {
	o, other := twoPlaces(t), twoPlaces(t)
	check(t, openWith(t, o).Close())
	check(t, openWith(t, other).Close())
	mixed := o
	mixed.Copy = other.Copy
	if _, err := OpenKeyring(mixed); err == nil || !strings.Contains(err.Error(), "another keyring") {
		t.Errorf("another keyring's copy: %v", err)
	}
	fresh := o
	fresh.Dir, fresh.Copy, fresh.Existing = filepath.Join(t.TempDir(), "x"), "", true
	if _, err := OpenKeyring(fresh); err == nil || !strings.Contains(err.Error(), "no key table") {
		t.Errorf("a new keyring beside old records: %v", err)
	}
	k := openWith(t, o)
	held := other
	held.Copy = o.Copy
	if _, err := OpenKeyring(held); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a copy that another process writes: %v", err)
	}
	check(t, k.Close())
}

// TestINV38_RestoresRepeatNoKey restores every old image of the table and goes
// on from there: no key is handed out that was handed out before, in any of the
// lines of history, so that no (key, nonce) pair can come again.
func TestINV38_RestoresRepeatNoKey(t *testing.T) {
	root := t.TempDir()
	seen := map[[32]byte]string{}
	use := func(k *Keyring, line string, n int) {
		t.Helper()
		for range n {
			_, key := draw(t, k)
			if was, twice := seen[key]; twice {
				t.Fatalf("a key of %s was handed out again in %s", was, line)
			}
			seen[key] = line
		}
	}
	now := filepath.Join(root, "now")
	o := Options{Dir: filepath.Join(now, "main"), Copy: filepath.Join(now, "copy"), Region: "ie1", Refresh: time.Hour, RotateSpacing: 1000 * time.Hour}
	k := openWith(t, o)
	var images []string
	for n, step := range []func(){func() {}, func() { use(k, "now", 3) }, func() { use(k, "now", tableBlock) }, func() { check(t, k.Rotate(t.Context())) }, func() { use(k, "now", 3) },
		func() { check(t, k.Close()); k = openWith(t, o); use(k, "now", 5) }} {
		step()
		image := filepath.Join(root, string(rune('a'+n)))
		copyTree(t, now, image)
		images = append(images, image)
		use(k, "now", 7) // what the image does not know of
	}
	check(t, k.Close())
	for _, image := range images {
		for range 2 { // the same image twice: two lines that know nothing of each other
			line := filepath.Join(t.TempDir(), "line")
			copyTree(t, image, line)
			k := openWith(t, Options{Dir: filepath.Join(line, "main"), Copy: filepath.Join(line, "copy"), Region: "ie1", Refresh: time.Hour, RotateSpacing: 1000 * time.Hour})
			use(k, image, 2*tableBlock)
			check(t, k.Rotate(t.Context()))
			use(k, image, 10)
			check(t, k.Close())
		}
	}
	if _, err := OpenKeyring(Options{Dir: filepath.Join(images[0], "main"), Copy: o.Copy, Region: "ie1", Refresh: time.Hour}); err != nil && isReason(err, policy.Internal) {
		t.Errorf("an old table beside the newer copy: %v", err)
	}
}

// The copy missed that a key was destroyed: the mark wins, in both directions.
func TestADestroyedKeyStaysDestroyedInBothPlaces(t *testing.T) {
	for _, stale := range []string{"main", "copy"} {
		o := twoPlaces(t)
		k := openWith(t, o)
		c := populate(t, k)
		check(t, k.Close())
		path := filepath.Join(filepath.Dir(o.Dir), stale, tableName(1, 1))
		before, err := os.ReadFile(path)
		check(t, err)
		k = openWith(t, o)
		for id := range c.keys {
			check(t, k.Destroy([]store.KeyID{id}))
			c.gone = append(c.gone, id)
			delete(c.keys, id)
			if len(c.gone) > 100 {
				break
			}
		}
		check(t, k.Close())
		check(t, os.WriteFile(path, before, 0o600))
		k = openWith(t, o)
		c.look(t, k)
		check(t, k.Close())
		equal(t, o)
	}
}
