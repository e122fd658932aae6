package kernel

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestBootTimeGoesOn(t *testing.T) {
	first := BootTime()
	for BootTime() == first {
		time.Sleep(time.Millisecond)
	}
	if BootTime() < first || first <= 0 {
		t.Errorf("%s, then %s", first, BootTime())
	}
}

// What allocates keeps what was there, on each kernel's way.
func TestAllocateKeepsWhatWasThere(t *testing.T) {
	for name, allocate := range map[string]func(*os.File, int64) error{"kernel": Allocate, "by writing": fill} {
		f, err := os.Create(filepath.Join(t.TempDir(), "f"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString("kept"); err != nil {
			t.Fatal(err)
		}
		const size = 3<<20 + 5
		if err := allocate(f, size); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := allocate(f, 10); err != nil { // it has more already
			t.Errorf("%s: %v", name, err)
		}
		if err := Datasync(f); err != nil {
			t.Error(err)
		}
		Uncached(f)
		got, err := os.ReadFile(f.Name())
		if err != nil || len(got) != size || !bytes.HasPrefix(got, []byte("kept\x00")) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

func TestALockIsOfOneDescriptor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := Lock(first); err != nil {
		t.Fatal(err)
	}
	if err := Lock(second); err == nil {
		t.Error("two have it")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Lock(second); err != nil {
		t.Errorf("nobody has it: %v", err)
	}
}

func TestSpace(t *testing.T) {
	free, size, err := Space(t.TempDir())
	if err != nil || size == 0 || free > size {
		t.Errorf("%d of %d bytes, %v", free, size, err)
	}
	if _, _, err := Space(filepath.Join(t.TempDir(), "nowhere")); err == nil {
		t.Error("a folder that is not there has room")
	}
}
