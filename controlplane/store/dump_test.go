package store

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func dumpOf(t testing.TB, s *Store) []byte {
	t.Helper()
	snap, err := s.Snapshot()
	check(t, err)
	var b bytes.Buffer
	check(t, snap.Dump(&b))
	check(t, snap.Close())
	return b.Bytes()
}

func TestADumpIsTheState(t *testing.T) {
	f := empty(t)
	_, err := f.Apply(history(t))
	check(t, err)
	dump := dumpOf(t, f.Store)
	path := filepath.Join(t.TempDir(), "state.db")
	check(t, LoadDump(path, bytes.NewReader(dump)))
	loaded, err := Open(Options{Path: path})
	check(t, err)
	defer loaded.Close()
	want, at, err := f.StateHash()
	check(t, err)
	have, index, err := loaded.StateHash()
	check(t, err)
	if have != want || index != at {
		t.Errorf("loaded state has hash %s at %d, want %s at %d", have, index, want, at)
	}
	if !bytes.Equal(dumpOf(t, loaded), dump) {
		t.Error("the dump of a loaded dump is another")
	}
	if err := LoadDump(path, bytes.NewReader(dump)); err == nil {
		t.Error("an existing state was overwritten")
	}
}

func TestINV34_ADamagedDumpIsNotLoaded(t *testing.T) {
	f := empty(t)
	_, err := f.Apply(history(t))
	check(t, err)
	dump := dumpOf(t, f.Store)
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	refused := func(what string, b []byte) {
		t.Helper()
		if err := LoadDump(path, bytes.NewReader(b)); err == nil {
			s, err := Open(Options{Path: path})
			if err == nil {
				_ = s.Close()
				t.Errorf("%s was loaded", what)
			}
			_ = os.Remove(path)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Fatalf("%s left %v behind", what, left)
		}
	}
	refused("nothing", nil)
	refused("a byte too many", append(bytes.Clone(dump), 0))
	for at := 0; at < len(dump); at += 41 {
		refused("a cut dump", dump[:at])
		b := bytes.Clone(dump)
		b[at] ^= 0x10
		refused("a flipped byte", b)
	}
}

// FuzzLoadDump: what is loaded is a state whose dump is what was read, to the byte;
// of what is refused nothing stays.
func FuzzLoadDump(f *testing.F) {
	s := empty(f)
	dump := dumpOf(f, s.Store)
	f.Add(dump)
	f.Add(dump[:len(dump)/2])
	f.Add([]byte(dumpMagic))
	f.Add(append([]byte(dumpMagic), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "state.db")
		if err := LoadDump(path, bytes.NewReader(data)); err != nil {
			if _, err := os.Lstat(path); err == nil {
				t.Fatal("a refused dump left its file behind")
			}
			return
		}
		if !isState(t, path, data) {
			t.Fatal("the dump of what was loaded is another")
		}
	})
}
