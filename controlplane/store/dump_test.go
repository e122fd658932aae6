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
