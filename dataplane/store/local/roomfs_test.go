package local

import (
	"context"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A merge that finds no room asks for it patiently, everything else at once, and
// each write is tried once more. What a merge is, only pebble says.
func TestMergesAskPatiently(t *testing.T) {
	var mu sync.Mutex
	full, asked := "", map[bool]int{}
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if full != "" && op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, full) {
			return syscall.ENOSPC
		}
		return nil
	}))
	db, err := pebble.Open("db", &pebble.Options{DisableAutomaticCompactions: true, FS: withRoom(fs, func(patient bool) {
		mu.Lock()
		defer mu.Unlock()
		asked[patient]++
		full = "" // there is room now
	})})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	put := func() error { return db.Set([]byte("a"), []byte("1"), pebble.Sync) }
	step := func(what, fills string, patient bool, do func() error) {
		t.Helper()
		if err := put(); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		full = fills
		clear(asked)
		mu.Unlock()
		if err := do(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		mu.Lock()
		defer mu.Unlock()
		if asked[patient] != 1 || asked[!patient] != 0 {
			t.Errorf("%s asked for room %v", what, asked)
		}
	}
	step("a new log", ".log", false, db.Flush)
	step("a memtable", ".sst", false, db.Flush)
	if err := put(); err != nil {
		t.Fatal(err)
	}
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	step("a merge", ".sst", true, func() error {
		if err := db.Flush(); err != nil { // what step has put must not be the table that finds no room
			return err
		}
		mu.Lock()
		full = ".sst"
		clear(asked)
		mu.Unlock()
		return db.Compact(context.Background(), []byte("a"), []byte("b"), false)
	})
}
