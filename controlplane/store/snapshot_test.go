package store

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func snapshotOf(t testing.TB, s *Store) []byte {
	t.Helper()
	var b bytes.Buffer
	check(t, s.WriteSnapshot(&b))
	return b.Bytes()
}

func TestINV31_SnapshotCarriesTheIdempotencyTable(t *testing.T) {
	from := empty(t)
	log := history(t)
	if _, err := from.Apply(log); err != nil {
		t.Fatal(err)
	}
	want, index, _ := from.StateHash()
	to := empty(t)
	check(t, to.Restore(bytes.NewReader(snapshotOf(t, from.Store))))
	if h, at, err := to.StateHash(); err != nil || h != want || at != index {
		t.Fatalf("restored %s at %d, want %s at %d: %v", h, at, want, index, err)
	}
	if to.Revision() != from.Revision() || len(to.Topology().Regions()) != 5 {
		t.Error("the restored store does not know its revision and regions")
	}
	again := log[1] // the first tenant, under an idempotency key
	again.Index = index + 1
	rs, err := to.Apply([]Entry{again})
	if err != nil || !rs[0].Replayed {
		t.Errorf("%+v, %v", rs, err)
	}
}

func TestSnapshotIsAsOfWhenItWasOpened(t *testing.T) {
	f := seeded(t)
	snap, err := f.Snapshot()
	check(t, err)
	want, _, _ := f.StateHash()
	f.tenant(1, "ie1")
	var b bytes.Buffer
	check(t, snap.Write(&b))
	check(t, snap.Close())
	to := empty(t)
	check(t, to.Restore(&b))
	if h, _, _ := to.StateHash(); h != want {
		t.Error("a later write is in the snapshot")
	}
}

func TestINV34_BadSnapshotStopsTheNode(t *testing.T) {
	f := empty(t)
	if _, err := f.Apply(history(t)); err != nil {
		t.Fatal(err)
	}
	good := snapshotOf(t, f.Store)
	middle := len(good) / 2
	other := empty(t)
	foreign := seed()
	foreign.ClusterID = "CL000000000000000000000000000000ff"
	other.must(foreign)
	for name, c := range map[string][]byte{
		"empty":           nil,
		"no magic":        append([]byte("x"), good[1:]...),
		"cut":             good[:middle],
		"other format":    bytes.Replace(good, []byte(`"format":`), []byte(`"format":1`), 1),
		"former form":     append([]byte(formerSnapshot), good[len(formerSnapshot):]...),
		"unknown field":   bytes.Replace(good, []byte(`"format"`), []byte(`"tamrof"`), 1),
		"flipped byte":    flippedAt(good, middle),
		"more behind":     append(bytes.Clone(good), 0),
		"another cluster": snapshotOf(t, other.Store),
	} {
		t.Run(name, func(t *testing.T) {
			to := seeded(t)
			before, err := os.ReadFile(to.path)
			check(t, err)
			if err := to.Restore(bytes.NewReader(c)); err == nil {
				t.Fatal("restored")
			}
			if _, err := to.Regions(); err == nil {
				t.Error("the node goes on after a failed restore")
			}
			if after, err := os.ReadFile(to.path); err != nil || !bytes.Equal(before, after) {
				t.Error("the old state was touched")
			}
			if _, err := os.Stat(to.path + ".restore"); !os.IsNotExist(err) {
				t.Errorf("the received file was left behind: %v", err)
			}
		})
	}
}

func flippedAt(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 0x10
	return b
}

// Wherever a snapshot is damaged or cut, no state is made of it, and nothing of
// the attempt stays.
func TestINV34_ADamagedSnapshotIsSeenWhereverItIs(t *testing.T) {
	from := empty(t)
	if _, err := from.Apply(history(t)); err != nil {
		t.Fatal(err)
	}
	good, want := snapshotOf(t, from.Store), dumpOf(t, from.Store)
	to, dir := empty(t), t.TempDir()
	path := filepath.Join(dir, "state.db.restore")
	refused := func(what string, at int, b []byte) {
		t.Helper()
		if err := to.receive(path, bytes.NewReader(b)); err == nil {
			if !isState(t, path, want) { // zstd has a bit that means nothing
				t.Errorf("%s at byte %d of %d was taken", what, at, len(good))
			}
			check(t, os.Remove(path))
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Fatalf("%s at byte %d left %v behind", what, at, left)
		}
	}
	for at := 0; at < len(good); at += 1 + at/30 {
		refused("a cut", at, good[:at])
		refused("a flipped byte", at, flippedAt(good, at))
	}
	refused("a cut", len(good)-1, good[:len(good)-1])
}

func isState(t testing.TB, path string, dump []byte) bool {
	t.Helper()
	db, err := openFile(path)
	check(t, err)
	defer func() { check(t, db.Close()) }()
	tx, err := db.Begin(false)
	check(t, err)
	snap := &Snapshot{tx: tx}
	defer func() { check(t, snap.Close()) }()
	var b bytes.Buffer
	check(t, snap.Dump(&b))
	return bytes.Equal(b.Bytes(), dump)
}

func FuzzDecode(f *testing.F) {
	for _, e := range history(f) {
		f.Add(e.Data)
	}
	f.Add([]byte{commandJSON, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Decode(data)
		if err != nil {
			return
		}
		again, err := Encode(c)
		if err != nil {
			if strings.Contains(err.Error(), "not in the closed list") || strings.Contains(err.Error(), "year outside") {
				return // decodes from an absent field, which no proposer can have encoded
			}
			t.Fatalf("decoded %+v and cannot encode it: %v", c, err)
		}
		back, err := Decode(again)
		if err != nil || back.Kind() != c.Kind() {
			t.Fatalf("encoded again it does not decode: %v", err)
		}
	})
}
