package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, dir string) *Journal {
	t.Helper()
	j, err := Open(Options{Dir: dir, SegmentSize: 4096})
	check(t, err)
	return j
}

// record is what number i holds; lengths vary.
func record(i uint64) []byte { return bytes.Repeat([]byte{byte(i)}, 1+int(i*37%200)) }

// fill appends batches of the given size up to number last.
func fill(t testing.TB, j *Journal, batch int, last uint64) {
	t.Helper()
	for next := j.Last() + 1; next <= last; {
		var all [][]byte
		for i := range uint64(batch) {
			if next+i <= last {
				all = append(all, record(next+i))
			}
		}
		check(t, j.Append(next, all))
		next += uint64(len(all))
	}
}

func holds(t testing.TB, j *Journal, first, last uint64) {
	t.Helper()
	if j.First() != first || j.Last() != last {
		t.Fatalf("it holds %d to %d, want %d to %d", j.First(), j.Last(), first, last)
	}
	for i := first; i <= last && i > 0; i++ {
		got, err := j.Read(i)
		check(t, err)
		if !bytes.Equal(got, record(i)) {
			t.Fatalf("record %d: %s", i, cmp.Diff(got, record(i)))
		}
	}
	for _, i := range []uint64{first - 1, last + 1} {
		if _, err := j.Read(i); i != 0 && first != 0 && !errors.Is(err, ErrNotFound) {
			t.Errorf("record %d: %v, want none", i, err)
		}
	}
}

func TestRecordsStayOverManyFiles(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	holds(t, j, 0, 0)
	fill(t, j, 7, 300)
	holds(t, j, 1, 300)
	check(t, j.Close())
	j = open(t, dir)
	holds(t, j, 1, 300)
	if len(j.segments) < 5 {
		t.Errorf("void: only %d files", len(j.segments))
	}
	fill(t, j, 1, 310)
	check(t, j.Close())
	j = open(t, dir)
	holds(t, j, 1, 310)
	check(t, j.Close())
}

func TestTruncateAndDrop(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	fill(t, j, 5, 200)
	check(t, j.TruncateAfter(77)) // in the middle of a file, others behind it
	holds(t, j, 1, 77)
	check(t, j.Close())
	j = open(t, dir)
	holds(t, j, 1, 77)
	fill(t, j, 3, 150)
	check(t, j.DropBefore(120))
	holds(t, j, 120, 150)
	check(t, j.Close())
	j = open(t, dir)
	holds(t, j, j.First(), 150)
	if j.First() > 120 || j.First() < 60 {
		t.Errorf("after a restart the first is %d", j.First())
	}
	check(t, j.DropBefore(151))
	holds(t, j, 0, 0)
	check(t, j.Append(1000, [][]byte{record(1000)}))
	check(t, j.Close())
	j = open(t, dir)
	holds(t, j, 1000, 1000)
	check(t, j.Append(2000, [][]byte{record(2000)})) // a snapshot stands in the place of what is skipped
	holds(t, j, 2000, 2000)
	if err := j.Append(2000, [][]byte{record(2000)}); err == nil {
		t.Error("a record was written twice")
	}
	check(t, j.Close())
}

// image copies a journal's folder, as a crash leaves it.
func image(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	check(t, os.CopyFS(to, os.DirFS(from)))
	return to
}

// age makes a mark as old as a power cut may leave it.
func age(t testing.TB, dir string, index uint64) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "synced"), os.O_WRONLY, 0)
	check(t, err)
	check(t, (&mark{file: f}).write(index, 0))
	check(t, f.Close())
}

// spoil changes bytes of the file that holds a record.
func spoil(t testing.TB, j *Journal, dir string, index uint64, how func(frame []byte)) {
	t.Helper()
	for _, s := range j.segments {
		if index < s.base || index >= s.end() {
			continue
		}
		path := filepath.Join(dir, filepath.Base(s.path))
		raw, err := os.ReadFile(path)
		check(t, err)
		how(raw[s.offsets[index-s.base]:])
		check(t, os.WriteFile(path, raw, 0o600))
		return
	}
	t.Fatalf("no file holds %d", index)
}

func flip(frame []byte)  { frame[headerSize] ^= 0x10 }
func erase(frame []byte) { clear(frame[:headerSize]) }

// Of what the disk may lose, only the last batch can be taken for one that a crash
// cut short, and only when the mark is old, as after a power cut.
func TestINV34_WhatWasSyncedIsNotLostUnseen(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	defer j.Close()
	fill(t, j, 5, 103) // the last batch is 101, 102, 103
	for _, x := range []struct {
		name    string
		mark    uint64
		index   uint64
		how     func([]byte)
		damaged bool
	}{
		{"flipped, in an earlier file", 103, 3, flip, true},
		{"flipped, in the last file", 103, 98, flip, true},
		{"flipped, the batch before the last", 0, 96, flip, true},
		{"erased, the batch before the last", 0, 100, erase, true},
		{"flipped, first of the last batch, the program was killed", 103, 101, flip, true},
		{"erased, last of the last batch, the program was killed", 103, 103, erase, true},
		{"erased, first of the last batch, the power was cut", 100, 101, erase, false},
		{"flipped, second of the last batch, the power was cut", 100, 102, flip, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			copied := image(t, dir)
			age(t, copied, x.mark)
			spoil(t, j, copied, x.index, x.how)
			k, err := Open(Options{Dir: copied, SegmentSize: 4096})
			if errors.Is(err, ErrDamaged) != x.damaged {
				t.Fatalf("opened with %v, want damage seen: %v", err, x.damaged)
			}
			if err == nil {
				fill(t, k, 2, 140)
				check(t, k.Close())
				k = open(t, copied)
				holds(t, k, 1, 140)
				check(t, k.Close())
			}
		})
	}
}

// Whatever is changed or cut in its files, a journal is refused or holds everything.
func TestINV34_DamageIsSeenWhereverItIs(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	fill(t, j, 5, 103)
	check(t, j.Close())
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	check(t, err)
	draw := rand.New(rand.NewPCG(7, 7))
	refused := 0
	for n := range 300 {
		copied := image(t, dir)
		path := filepath.Join(copied, filepath.Base(names[draw.IntN(len(names))]))
		raw, err := os.ReadFile(path)
		check(t, err)
		if at := draw.IntN(len(raw)); n%3 == 0 {
			raw = raw[:at]
		} else {
			raw[at] ^= 1 << draw.IntN(8)
		}
		check(t, os.WriteFile(path, raw, 0o600))
		k, err := Open(Options{Dir: copied, SegmentSize: 4096})
		if err != nil {
			refused++
			continue
		}
		holds(t, k, 1, 103)
		check(t, k.Close())
	}
	if refused < 50 {
		t.Errorf("void: only %d of 300 were refused", refused)
	}
}

// A truncation that a crash cut short is done again, whatever of it reached the disk.
func TestACrashWhileTruncating(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	fill(t, j, 5, 103)
	for n, lost := range [][]uint64{{}, {60}, {60, 61}, {103}, {60, 103}, {80}} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			copied := image(t, dir)
			f, err := os.OpenFile(filepath.Join(copied, "synced"), os.O_WRONLY, 0)
			check(t, err)
			check(t, (&mark{file: f}).write(59, 60))
			check(t, f.Close())
			for _, i := range lost {
				spoil(t, j, copied, i, erase)
			}
			k := open(t, copied)
			holds(t, k, 1, 59)
			fill(t, k, 4, 130)
			check(t, k.Close())
			k = open(t, copied)
			holds(t, k, 1, 130)
			check(t, k.Close())
		})
	}
	check(t, j.Close())
}

func BenchmarkAppend(b *testing.B) {
	j, err := Open(Options{Dir: b.TempDir()})
	check(b, err)
	data := bytes.Repeat([]byte{'x'}, 1024)
	for b.Loop() {
		check(b, j.Append(j.Last()+1, [][]byte{data}))
	}
	check(b, j.Close())
}
