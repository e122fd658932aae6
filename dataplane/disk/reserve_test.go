package disk

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/domicile-io/domicile/internal/chaos"
)

// On a disk that others have filled to the last block, the reserve gives room to
// what destroys and to writes of the node's own, part by part, to nobody else, and
// is filled again afterwards.
func TestReserve(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: a volume of its own needs root and loop devices")
	}
	dir := t.TempDir()
	v, err := chaos.NewVolume(filepath.Join(dir, "image"), filepath.Join(dir, "disk"), 256<<20)
	if err != nil {
		t.Skipf("SKIPPED: no volume of its own: %v", err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	const whole, part = 16 << 20, 2 << 20
	r, err := OpenReserve(New(v.Dir), v.Dir, whole)
	if err != nil {
		t.Fatal(err)
	}
	holds := func(want int64, when string) {
		t.Helper()
		if has, _, failed := r.State(); has != want || failed != nil {
			t.Errorf("%s: %d bytes are in reserve, want %d: %v", when, has, want, failed)
		}
	}
	holds(whole, "at first")
	if err := v.Fill(); err != nil {
		t.Fatal(err)
	}
	write := func() error { return os.WriteFile(filepath.Join(v.Dir, "ours"), make([]byte, 1<<20), 0o600) }
	r.Tick()
	if err := write(); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full, or the reserve was given to nobody: %v", err)
	}
	if err := r.Retry(write); err != nil {
		t.Errorf("a write of ours finds no room: %v", err)
	}
	holds(whole-part, "after a write of ours")
	if err := v.Fill(); err != nil { // others take what was given
		t.Fatal(err)
	}
	end := r.Use()
	holds(whole-2*part, "while something destroys")
	r.Tick()
	holds(whole-2*part, "with room for it")
	if err := v.Fill(); err != nil {
		t.Fatal(err)
	}
	r.Tick()
	holds(whole-3*part, "with no room again")
	end()
	if err := v.Fill(); err != nil {
		t.Fatal(err)
	}
	r.Tick()
	holds(whole-3*part, "when nobody destroys")

	if r, err = OpenReserve(New(v.Dir), v.Dir, whole); err != nil {
		t.Fatal(err)
	}
	holds(whole-4*part, "a start on a full disk")
	for range 4 {
		r.Spend()
	}
	holds(0, "all spent")
	if r.Spend() {
		t.Error("there is more to spend than there was")
	}
	if err := v.Free(); err != nil {
		t.Fatal(err)
	}
	r.Tick()
	holds(whole, "with room again")
}

// How large it is by itself, when it is filled, and that none is possible. Nothing
// here depends on how full the machine's disk is.
func TestReserveSizes(t *testing.T) {
	const gib = int64(1 << 30)
	for name, c := range map[string]struct{ total, free, want, wants, has int64 }{
		"100 GiB":             {100 * gib, 50 * gib, 0, gib, 0},
		"10 GiB":              {10 * gib, gib / 8, 0, 10 * gib / 50, 0},
		"4 GiB":               {4 * gib, gib / 8, 0, reserveLeast, 0},
		"512 MiB":             {gib / 2, gib / 8, 0, gib / 16, 0},
		"as configured":       {100 * gib, 50 * gib, 1 << 20, 1 << 20, 1 << 20},
		"none":                {100 * gib, 50 * gib, -1, 0, 0},
		"91 %, not filled":    {100 * gib, 9 * gib, 1 << 20, 1 << 20, 0},
		"little is left free": {gib, 256<<20 + 1<<19, 1 << 20, 1 << 20, 0},
	} {
		g := New("/data")
		g.statfs = func(_ string, st *unix.Statfs_t) error {
			*st = unix.Statfs_t{Bsize: 1, Blocks: uint64(c.total), Bfree: uint64(c.free), Bavail: uint64(c.free)}
			return nil
		}
		dir := t.TempDir()
		if c.wants > 1<<20 {
			dir = filepath.Join(dir, "absent") // only asked for its size
		}
		r, err := OpenReserve(g, dir, c.want)
		if err != nil {
			t.Fatal(err)
		}
		if has, want, _ := r.State(); want != c.wants || has != c.has {
			t.Errorf("%s: %d of %d bytes, want %d of %d", name, has, want, c.has, c.wants)
		}
	}
	var none *Reserve
	none.Use()()
	none.Tick()
	if none.Spend() || none.Retry(func() error { return unix.ENOSPC }) == nil {
		t.Error("a reserve that is none gives something")
	}
}
