package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// kept is what a test knows of a keyring's contents.
type kept struct {
	keys  map[store.KeyID][32]byte
	gone  []store.KeyID
	names map[string][32]byte
}

// populate draws keys over several blocks and names, and destroys some.
func populate(t *testing.T, k *Keyring) *kept {
	t.Helper()
	out := &kept{keys: map[store.KeyID][32]byte{}, names: map[string][32]byte{}}
	out.more(t, k, tableBlock+40)
	return out
}

func (c *kept) more(t *testing.T, k *Keyring, n int) {
	t.Helper()
	for i := range n {
		id, key, err := k.Draw()
		check(t, err)
		if _, twice := c.keys[id]; twice {
			t.Fatalf("key %v was drawn twice", id)
		}
		if i%3 == 1 {
			check(t, k.Destroy([]store.KeyID{id}))
			c.gone = append(c.gone, id)
			continue
		}
		c.keys[id] = key
	}
	for i := range 5 {
		name := fmt.Sprintf("pseudonym/%d/%d", i, n)
		key, err := k.Named(name)
		check(t, err)
		c.names[name] = key
	}
}

// look demands that all is as it was.
func (c *kept) look(t *testing.T, k *Keyring) {
	t.Helper()
	for id, want := range c.keys {
		if got, err := k.Open(id); err != nil || got != want {
			t.Fatalf("key %v: the same %v, %v", id, got == want, err)
		}
	}
	for _, id := range c.gone {
		if _, err := k.Open(id); !isReason(err, policy.Destroyed) {
			t.Fatalf("destroyed key %v: %v", id, err)
		}
	}
	for name, want := range c.names {
		if got, err := k.Named(name); err != nil || got != want {
			t.Fatalf("%s: the same %v, %v", name, got == want, err)
		}
	}
}

func TestRotationKeepsSurvivors(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir)
	c := populate(t, k)
	for n := range 4 {
		gen := retire(t, k)
		check(t, k.Rotate(t.Context()))
		c.look(t, k)
		fate, err := k.Fate(gen)
		check(t, err)
		if gen != uint64(n+1) || fate.Destroyed.IsZero() || !fate.IsFinal(fate.Destroyed.Add(policy.KeysFor)) || fate.IsFinal(fate.Destroyed) {
			t.Errorf("generation %d: %+v", gen, fate)
		}
		c.more(t, k, 20)
		if n == 3 {
			break // the last birth's ready keys are known to be unused
		}
		if n%2 == 1 {
			check(t, k.Close())
			k = open(t, dir)
			c.look(t, k)
		}
	}
	for id := range c.keys {
		check(t, k.Destroy([]store.KeyID{id}))
	}
	check(t, k.Rotate(t.Context()))
	files, err := filepath.Glob(filepath.Join(dir, "*-*"))
	check(t, err)
	if len(files) > 7 { // names, sheet, the current birth, and births whose process ended: what was ready then is not known to be unused
		t.Errorf("files of tables without a survivor are left: %v", files)
	}
	if _, err := k.Fate(99); !isReason(err, policy.Internal) {
		t.Errorf("a generation that never was: %v", err)
	}
}

// TestRotationSurvivesEveryCrash copies the folders after each step of a
// rotation, as a crash there would leave them, and opens the copies.
func TestRotationSurvivesEveryCrash(t *testing.T) {
	for _, withCopy := range []bool{false, true} {
		t.Run(fmt.Sprintf("copy=%v", withCopy), func(t *testing.T) {
			root := t.TempDir()
			o := Options{Dir: filepath.Join(root, "now", "main"), Region: "ie1", Refresh: time.Hour, RotateSpacing: 1000 * time.Hour}
			if withCopy {
				o.Copy = filepath.Join(root, "now", "copy")
			}
			var images []string
			var at int
			o.step = func(name string) {
				image := filepath.Join(root, fmt.Sprintf("%02d-%s", at, name))
				at++
				copyTree(t, filepath.Join(root, "now"), image)
				images = append(images, image)
			}
			k, err := OpenKeyring(o)
			check(t, err)
			c := populate(t, k)
			check(t, k.Rotate(t.Context()))
			c.more(t, k, 30)
			images, at = nil, 50
			gen := retire(t, k)
			check(t, k.Rotate(t.Context()))
			check(t, k.Close())
			if len(images) != 7 {
				t.Fatalf("%d steps were seen: %v", len(images), images)
			}
			for _, image := range images {
				o := Options{Dir: filepath.Join(image, "main"), Region: "ie1", Refresh: time.Hour, RotateSpacing: 1000 * time.Hour}
				if withCopy {
					o.Copy = filepath.Join(image, "copy")
				}
				k, err := OpenKeyring(o)
				if err != nil {
					t.Errorf("%s: %v", filepath.Base(image), err)
					continue
				}
				c.look(t, k)
				k.chores(t.Context())
				if k.Status().Generation == gen+1 { // what was begun is finished
					fate, err := k.Fate(gen)
					check(t, err)
					if fate.Destroyed.IsZero() || fate.Final.IsZero() {
						t.Errorf("%s: generation %d is not destroyed: %+v", filepath.Base(image), gen, fate)
					}
				}
				check(t, k.Rotate(t.Context()))
				c.look(t, k)
				check(t, k.Close())
			}
		})
	}
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	check(t, filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o600)
	}))
}

// TestRotationThatFailsChangesNothing puts folders where a rotation wants to
// make its files.
func TestRotationThatFailsChangesNothing(t *testing.T) {
	for _, name := range []string{"table-00000001-00000002", "table-00000002-00000002", "names-00000002"} {
		dir := t.TempDir()
		k := open(t, dir)
		c := populate(t, k)
		gen := retire(t, k)
		check(t, os.MkdirAll(filepath.Join(dir, name, "full"), 0o700))
		if err := k.Rotate(t.Context()); err == nil {
			t.Fatalf("%s: the rotation succeeded", name)
		}
		c.look(t, k)
		c.more(t, k, 10)
		if s := k.Status(); s.Generation != gen || s.LastError == "" || !s.Asked {
			t.Errorf("%s: %+v", name, s)
		}
		check(t, os.RemoveAll(filepath.Join(dir, name)))
		check(t, k.Rotate(t.Context()))
		c.look(t, k)
		check(t, k.Close())
		c.look(t, open(t, dir))
	}
	// Where the sheet itself cannot be put, nothing more is handed out, and the
	// next start goes on with the old generation.
	dir := t.TempDir()
	k := open(t, dir)
	c := populate(t, k)
	check(t, os.Mkdir(filepath.Join(dir, "sheet-00000002.new"), 0o700))
	if err := k.Rotate(t.Context()); err == nil || k.Healthy() == nil {
		t.Fatalf("a sheet that cannot be written: %v, healthy %v", err, k.Healthy())
	}
	check(t, k.Close())
	check(t, os.Remove(filepath.Join(dir, "sheet-00000002.new")))
	c.look(t, open(t, dir))
}

func TestRotationBesideDrawsOpensAndDestructions(t *testing.T) {
	k := open(t, t.TempDir())
	ctx, stop := context.WithCancel(t.Context())
	var mu sync.Mutex
	all := &kept{keys: map[store.KeyID][32]byte{}, names: map[string][32]byte{}}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			var mine []store.KeyID
			for n := 0; ctx.Err() == nil; n++ {
				id, key, err := k.Draw()
				if err != nil {
					t.Errorf("draw: %v", err)
					return
				}
				mine = append(mine, id)
				mu.Lock()
				all.keys[id] = key
				mu.Unlock()
				if n%7 == w {
					gone := mine[len(mine)/2]
					if err := k.Destroy([]store.KeyID{gone}); err != nil {
						t.Errorf("destroy: %v", err)
					}
					mu.Lock()
					delete(all.keys, gone)
					all.gone = append(all.gone, gone)
					mu.Unlock()
				}
				if _, err := k.Open(mine[n/2]); err != nil && !isDestroyed(err) {
					t.Errorf("open: %v", err)
				}
				if n%64 == 0 {
					if _, err := k.Named(fmt.Sprintf("n/%d/%d", w, n)); err != nil {
						t.Errorf("named: %v", err)
					}
				}
			}
		})
	}
	for range 8 {
		if err := k.Rotate(t.Context()); err != nil {
			t.Errorf("rotate: %v", err)
		}
	}
	stop()
	wg.Wait()
	all.look(t, k)
	k.cache.Purge()
	all.look(t, k)
	if s := k.Status(); s.Generation != 9 || s.Rotations != 8 {
		t.Errorf("%+v", s)
	}
}

// TestINV21_OldCopiesOpenNothingAfterRotation is an adversary that has kept the
// table's files of every moment, and has the root key and whatever the
// custodian still holds.
func TestINV21_OldCopiesOpenNothingAfterRotation(t *testing.T) {
	root := t.TempDir()
	now := filepath.Join(root, "now")
	o := Options{Dir: filepath.Join(now, "main"), Copy: filepath.Join(now, "copy"), Region: "ie1", Refresh: time.Hour, RotateSpacing: 1000 * time.Hour}
	k, err := OpenKeyring(o)
	check(t, err)
	id, key := draw(t, k)
	neighbour, other := draw(t, k)
	old := filepath.Join(root, "old")
	copyTree(t, now, old)
	check(t, k.Destroy([]store.KeyID{id}))
	later := filepath.Join(root, "later")
	copyTree(t, now, later)
	gen := retire(t, k)
	check(t, k.Rotate(t.Context()))
	check(t, k.Close())
	for _, folder := range []string{old, later} {
		for _, side := range []string{"main", "copy"} {
			// Old files, and what can still be had: the root key, today's slots.
			for _, file := range []string{rootFile, generationsFile} {
				b, err := os.ReadFile(filepath.Join(now, "main", file))
				check(t, err)
				check(t, os.WriteFile(filepath.Join(folder, side, file), b, 0o600))
			}
			k, err := OpenKeyring(Options{Dir: filepath.Join(folder, side), Region: "ie1", Refresh: time.Hour, RotateSpacing: 1000 * time.Hour})
			if err == nil {
				got, err := k.Open(id)
				t.Errorf("%s/%s opens: the destroyed key %v, %v", filepath.Base(folder), side, got == key, err)
				k.Close()
			} else if !isReason(err, policy.Destroyed) {
				t.Errorf("%s/%s: %v", filepath.Base(folder), side, err)
			}
		}
	}
	k, err = OpenKeyring(o)
	check(t, err)
	defer k.Close()
	if got, err := k.Open(neighbour); err != nil || got != other {
		t.Errorf("a neighbour: %v", err)
	}
	if fate, err := k.Fate(gen); err != nil || fate.Destroyed.IsZero() {
		t.Errorf("%+v, %v", fate, err)
	}
}

func TestRotationBySchedule(t *testing.T) {
	var clock atomic.Int64
	clock.Store(time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC).UnixNano())
	k, err := OpenKeyring(Options{Dir: t.TempDir(), Region: "ie1", Refresh: time.Hour, RotateEvery: 12 * time.Hour, RotateSpacing: time.Hour,
		Now: func() time.Time { return time.Unix(0, clock.Load()) }})
	check(t, err)
	defer k.Close()
	want := func(gen uint64) {
		t.Helper()
		k.chores(t.Context())
		if s := k.Status(); s.Generation != gen {
			t.Fatalf("after %s the generation is %d, want %d", k.o.Now(), s.Generation, gen)
		}
	}
	want(1)
	clock.Add(int64(12*time.Hour - time.Second))
	want(1)
	clock.Add(int64(time.Second))
	want(2)
	gen := retire(t, k) // an erasure asks; others may come within the hour
	clock.Add(int64(59 * time.Minute))
	want(2)
	clock.Add(int64(time.Minute))
	want(3)
	if fate, err := k.Fate(gen); err != nil || fate.Destroyed.IsZero() {
		t.Errorf("%+v %v", fate, err)
	}
	want(3)
}

var errAway = errors.New("nobody answers")

// Keys that are drawn, and destroyed, after the tables were carried and before
// the new sheet is in place go over too.
func TestKeysDrawnDuringARotationGoOver(t *testing.T) {
	var k *Keyring
	c := &kept{keys: map[store.KeyID][32]byte{}, names: map[string][32]byte{}}
	o := Options{Dir: t.TempDir(), Region: "ie1", Refresh: time.Hour, RotateSpacing: 1000 * time.Hour}
	o.step = func(name string) {
		if name == "planned" || name == "created" || name == "carried" {
			c.more(t, k, 2*tableBlock)
			if gen := retire(t, k); gen != k.Status().Generation+1 {
				t.Errorf("after %s generation %d has to end, want the one that begins", name, gen)
			}
		}
	}
	k, err := OpenKeyring(o)
	check(t, err)
	defer k.Close()
	c.more(t, k, 10)
	check(t, k.Rotate(t.Context()))
	k.cache.Purge()
	c.look(t, k)
	if !k.tables[1].dirty {
		t.Error("a table in which keys were destroyed meanwhile counts as clean")
	}
	check(t, k.Rotate(t.Context()))
	k.cache.Purge()
	c.look(t, k)
}

// What an erasure asked for is asked for still after a crash, until it was done.
func TestINV21_AnAskedRotationOutlivesACrash(t *testing.T) {
	o := Options{Dir: t.TempDir(), Region: "ie1"}
	open := func() *Keyring {
		k, err := OpenKeyring(o)
		check(t, err)
		t.Cleanup(func() { k.Close() })
		return k
	}
	k := open()
	if k.Status().Asked {
		t.Fatal("a new table is to be replaced")
	}
	gen := retire(t, k)
	check(t, k.Close()) // nothing is written at the end
	k = open()
	if !k.Status().Asked || k.due() == "" {
		t.Fatal("what was asked for is forgotten: the generation would end by schedule only")
	}
	check(t, k.Rotate(t.Context()))
	if fate, err := k.Fate(gen); err != nil || fate.Destroyed.IsZero() {
		t.Errorf("generation %d was not destroyed: %+v, %v", gen, fate, err)
	}
	check(t, k.Close())
	if k = open(); k.Status().Asked {
		t.Error("what was done is asked for again")
	}
}

func retire(t *testing.T, k *Keyring) uint64 {
	t.Helper()
	gen, err := k.Retire()
	check(t, err)
	return gen
}
