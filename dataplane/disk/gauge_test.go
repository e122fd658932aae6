package disk

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/domicile-io/domicile/policy"
)

func TestRoomIsKept(t *testing.T) {
	const gib = 1 << 30
	for name, c := range map[string]struct {
		room Room
		full bool
	}{
		"large, 94 %":            {Room{100 * gib, 6 * gib}, false},
		"large, 95 %":            {Room{100 * gib, 5 * gib}, true},
		"1 GiB, 255 MiB free":    {Room{gib, 255 << 20}, true},
		"1 GiB, 256 MiB free":    {Room{gib, 256 << 20}, false},
		"tiny, a quarter free":   {Room{64 << 20, 16 << 20}, false},
		"tiny, less than that":   {Room{64 << 20, 16<<20 - 1}, true},
		"one that does not tell": {Room{}, false},
	} {
		if got := c.room.Full(); got != c.full {
			t.Errorf("%s: full %v", name, got)
		}
	}
}

func TestGaugeAsksOnceASecond(t *testing.T) {
	free, questions, broken := uint64(50), 0, error(nil)
	g := New("/data")
	g.statfs = func(_ string, st *unix.Statfs_t) error {
		questions++
		// 100 blocks, 10 of them root's alone
		*st = unix.Statfs_t{Bsize: 1 << 30, Blocks: 100, Bfree: free + 10, Bavail: free}
		return broken
	}
	now := time.Unix(1e9, 0)
	full := func() bool { return errors.Is(g.Check(now), &policy.Error{Reason: policy.StorageFull}) }
	if full() {
		t.Error("a disk with room is full")
	}
	free = 2
	now = now.Add(999 * time.Millisecond)
	if full() || questions != 1 {
		t.Errorf("asked %d times within a second", questions)
	}
	now = now.Add(time.Millisecond)
	if !full() {
		t.Error("2 of 90 blocks are room enough")
	}
	now = now.Add(-time.Hour) // a clock that goes back
	if full(); questions != 3 {
		t.Errorf("asked %d times, want 3", questions)
	}
	broken, now = errors.New("input/output error"), now.Add(time.Second)
	if full() {
		t.Error("a gauge that cannot be read stops the intake")
	}
}
