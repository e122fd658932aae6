package wipe

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

const mask = 0xa5

// held counts a pattern in the memory of this process. It is given masked, so that
// the question itself does not count.
func held(t *testing.T, masked []byte) (n int) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip("SKIPPED: this system shows a process no memory of its own")
	}
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	buf := make([]byte, 1<<20)
	for _, line := range strings.Split(string(maps), "\n") {
		var from, to int64
		var rights string
		if got, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &rights); got != 3 || !strings.HasPrefix(rights, "rw") {
			continue
		}
		for at := from; at < to; at += int64(len(buf)) {
			k, err := mem.ReadAt(buf[:min(int64(len(buf)), to-at)], at)
			if err != nil && err != io.EOF {
				break
			}
			for i := range buf[:k] {
				buf[i] ^= mask
			}
			n += bytes.Count(buf[:k], masked)
		}
	}
	clear(buf)
	return n
}

// secret is 16 bytes that stand in no program, masked.
func secret() (masked []byte) {
	masked = make([]byte, 16)
	for i := range 2 {
		binary.LittleEndian.PutUint64(masked[8*i:], uint64(time.Now().UnixNano())*0x9e3779b97f4a7c15^uint64(i)<<17)
	}
	return masked
}

// litter leaves a secret in places of every size, and keeps some that have nothing of
// it, so that most pages stay.
func litter(masked []byte) (kept [][]byte) {
	for size := 24; size < 100_000; size += size/7 + 8 {
		for n := range 200 {
			b := make([]byte, size)
			for i, x := range masked {
				b[size/2-8+i] = x ^ mask
			}
			if n%50 == 0 {
				kept = append(kept, make([]byte, size))
			}
		}
	}
	return kept
}

// What was let go is overwritten, though its pages are in use.
func TestINV21_WhatWasLetGoIsOverwritten(t *testing.T) {
	masked := secret()
	littered := make(chan [][]byte)
	go func() { littered <- litter(masked) }() // whose stack ends with it
	kept := <-littered
	before := held(t, masked)
	if before < 1000 {
		t.Fatalf("void: only %d of what was let go are there before", before)
	}
	Free()
	after := held(t, masked)
	t.Logf("%d places held what was let go, %d hold it", before, after)
	if after > before/20 { // stacks, and what another processor had in hand
		t.Error("that is more than a twentieth")
	}
	runtime.KeepAlive(kept)
}

// shortTexts leaves a secret in very many places as small as a number's text, beside
// some that stay in each page.
func shortTexts(masked []byte) (kept [][]byte) {
	for n := range 2 << 20 {
		b := make([]byte, len(masked))
		for i, x := range masked {
			b[i] = x ^ mask
		}
		if n%64 == 0 {
			clear(b)
			kept = append(kept, b)
		}
	}
	return kept
}

// There are as many free places of the smallest size as in a node's heap: none is left
// because taking it costs more than it holds.
func TestINV21_ShortTextsAreOverwritten(t *testing.T) {
	masked := secret()
	littered := make(chan [][]byte)
	was := debug.SetGCPercent(-1) // else the collector's turns say how many there are
	go func() { littered <- shortTexts(masked) }()
	kept := <-littered
	debug.SetGCPercent(was)
	runtime.GC()
	before := held(t, masked)
	if before < 100_000 {
		t.Fatalf("void: only %d of what was let go are there before", before)
	}
	Free()
	after := held(t, masked)
	t.Logf("%d places held what was let go, %d hold it", before, after)
	if after > before/1000 {
		t.Error("that is more than a thousandth")
	}
	runtime.KeepAlive(kept)
}
