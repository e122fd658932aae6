package main

import (
	"runtime"
	"testing"
)

func TestRoomGrowsWithWhatIsHeld(t *testing.T) {
	for held, want := range map[uint64]int64{0: roomAtLeast, 50 << 20: roomAtLeast, 1 << 30: 2 << 30} {
		if got := room(held); got != want {
			t.Errorf("room for %d is %d, want %d", held, got, want)
		}
	}
	for held, want := range map[uint64]int{0: garbageMost, 16 << 20: 799, 32 << 20: garbage, 1 << 30: garbage} {
		if got := percent(held); got != want {
			t.Errorf("%d %% may be left beside %d, want %d", got, held, want)
		}
	}
	keep := make([]byte, 64<<20)
	runtime.GC()
	if got := held(); got < 64<<20 {
		t.Errorf("%d bytes are said to be held with 64 MiB in use", got)
	}
	runtime.KeepAlive(keep)
}
