package journal

import (
	"errors"
	"os"
	"testing"

	"github.com/domicile-io/domicile/internal/kernel"
)

// Written records can be read at once, count as synced only after a sync, and say
// in their batch how far the journal was synced when they were written.
func TestWriteReturnsBeforeTheSync(t *testing.T) {
	j := open(t, t.TempDir())
	check(t, j.Append(1, [][]byte{record(1), record(2)}))
	check(t, j.Write(3, [][]byte{record(3)}))
	check(t, j.Write(4, [][]byte{record(4)}))
	holds(t, j, 1, 4)
	if got := j.Synced(); got != 2 {
		t.Fatalf("synced up to %d, want 2", got)
	}
	waited := make(chan error, 1)
	go func() { waited <- j.Await(4) }()
	check(t, j.Sync())
	check(t, <-waited)
	check(t, j.Write(5, [][]byte{record(5)}))
	for i, want := range map[uint64]uint64{2: 1, 3: 3, 4: 3, 5: 5} {
		if got := batchOf(t, j, i); got != want {
			t.Errorf("record %d has batch %d, want %d", i, got, want)
		}
	}
	check(t, j.Close())
	if err := j.Await(6); !errors.Is(err, errClosed) {
		t.Errorf("waiting on a closed journal: %v", err)
	}
}

func batchOf(t *testing.T, j *Journal, index uint64) uint64 {
	t.Helper()
	s := j.segments[len(j.segments)-1]
	raw := make([]byte, headerSize+512)
	_, err := s.file.ReadAt(raw, int64(s.offsets[index-s.base]))
	check(t, err)
	h, _, ok := parseFrame(raw)
	if !ok {
		t.Fatalf("record %d does not stand there", index)
	}
	return h.batch
}

// Several writes that no sync has covered may be torn anywhere, also with a later
// one whole: that is what a crash leaves, and no damage.
func TestACrashTearsUnsyncedWritesAnywhere(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	check(t, j.Append(1, [][]byte{record(1), record(2)}))
	check(t, j.Write(3, [][]byte{record(3)}))
	at := j.tail().offsets[2]
	check(t, j.Write(4, [][]byte{record(4)}))
	path := j.tail().path
	// The process ends without its last sync: the files are closed under it.
	j.spare.stop()
	check(t, j.closeFiles())
	f, err := os.OpenFile(path, os.O_RDWR, 0o600)
	check(t, err)
	_, err = f.WriteAt(make([]byte, 64), int64(at))
	check(t, errors.Join(err, f.Close()))
	j = open(t, dir)
	defer j.Close()
	holds(t, j, 1, 2)
}

// What a killed process had written and not synced counts once it is opened, so it
// is synced then.
func TestOpenSyncsWhatItFinds(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	check(t, j.Append(1, [][]byte{record(1)}))
	check(t, j.Write(2, [][]byte{record(2)}))
	j.spare.stop()
	check(t, j.closeFiles())
	j = open(t, dir)
	defer j.Close()
	holds(t, j, 1, 2)
	if j.Synced() != 2 || j.mark.index != 2 {
		t.Errorf("synced up to %d, marked up to %d, want 2", j.Synced(), j.mark.index)
	}
}

// A truncation of what is not synced leaves nothing of it, and what stays counts
// as synced.
func TestTruncatingUnsyncedRecords(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	check(t, j.Append(1, [][]byte{record(1)}))
	check(t, j.Write(2, [][]byte{record(2), record(3), record(4)}))
	check(t, j.TruncateAfter(2))
	if got := j.Synced(); got != 2 {
		t.Fatalf("synced up to %d, want 2", got)
	}
	check(t, j.Write(3, [][]byte{record(3)}))
	check(t, j.DropBefore(9))
	check(t, j.Write(20, [][]byte{record(20)}))
	if got := j.Synced(); got != 19 {
		t.Fatalf("synced up to %d, want 19: nothing is before 20", got)
	}
	check(t, j.Close())
	j = open(t, dir)
	defer j.Close()
	holds(t, j, 20, 20)
}

// The kernel reports a write that it lost once; the next sync of the same file
// succeeds. So nothing becomes durable after a sync that failed, whoever asks: a
// voter that stops syncs as it hands over and as it closes its log.
func TestINV33_AFailedSyncIsNeverForgotten(t *testing.T) {
	lost := errors.New("the kernel lost a write")
	j := open(t, t.TempDir())
	fill(t, j, 1, 1)
	check(t, j.Write(2, [][]byte{record(2)}))
	j.syncFile = func(*os.File) error { return lost }
	if err := j.Sync(); !errors.Is(err, lost) {
		t.Fatalf("Sync: %v", err)
	}
	j.syncFile = kernel.Datasync
	for _, again := range []struct {
		name string
		do   func() error
	}{
		{"Sync", j.Sync},
		{"Await", func() error { return j.Await(2) }},
		{"Append", func() error { return j.Append(3, [][]byte{record(3)}) }},
		{"TruncateAfter", func() error { return j.TruncateAfter(1) }},
		{"Close", j.Close},
	} {
		if err := again.do(); !errors.Is(err, lost) {
			t.Errorf("%s after a sync that failed: %v", again.name, err)
		}
		if j.Synced() != 1 || j.mark.index != 1 {
			t.Fatalf("after %s it counts as synced up to %d, marked up to %d, want 1", again.name, j.Synced(), j.mark.index)
		}
	}
}
