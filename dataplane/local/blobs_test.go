package local_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
)

func TestBlobConformance(t *testing.T) {
	storetest.RunBlobs(t, func(t *testing.T, dir string) store.Blobs {
		b, err := local.OpenBlobs(filepath.Join(dir, "media"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
}

// What a crash left half written is nobody's, and is cleared at the next start.
func TestBlobsClearWhatACrashLeft(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "media")
	b, err := local.OpenBlobs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Create(context.Background(), "TNa/REb/c", bytes.NewReader([]byte("whole"))); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, ".new", "0123")
	if err := os.WriteFile(half, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err = local.OpenBlobs(dir); err != nil {
		t.Fatal(err)
	}
	if list, err := b.List(context.Background(), "", "", 10); err != nil || len(list) != 1 || list[0].Name != "TNa/REb/c" {
		t.Errorf("listed %v, %v", list, err)
	}
	if _, err := os.Stat(half); err == nil {
		t.Error("the half-written file is still there")
	}
	if err := b.Delete(context.Background(), "TNa/REb/c"); err != nil {
		t.Fatal(err)
	}
	n := 0
	_ = filepath.WalkDir(dir, func(string, fs.DirEntry, error) error { n++; return nil })
	if n != 2 { // the folder and its staging
		t.Errorf("%d entries are left of an empty store", n)
	}
}
