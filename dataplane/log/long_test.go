package log

import (
	"context"
	"flag"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
)

var leaves = flag.Int("log.leaves", 5_000, "how many leaves TestALongLogIsReadInParts makes")

// counting counts what is read of a log.
type counting struct {
	store.Log
	leaves, hashes atomic.Int64
}

func (c *counting) LogLeaf(ctx context.Context, index uint64) (store.LogLeaf, error) {
	c.leaves.Add(1)
	return c.Log.LogLeaf(ctx, index)
}

func (c *counting) LogHashOf(ctx context.Context, number uint64) ([32]byte, error) {
	c.hashes.Add(1)
	return c.Log.LogHashOf(ctx, number)
}

// A log of any length opens, grows, is signed and proved by reading a few blocks
// of leaves and a number of hashes that grows with its logarithm.
func TestALongLogIsReadInParts(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	ctx := context.Background()
	began := time.Now()
	for n := 0; n < *leaves; n += maxEntries {
		some := make([]store.Entry, maxEntries)
		for i := range some {
			some[i] = entry("hold.put")
		}
		if err := r.s.Note(ctx, some...); err != nil {
			t.Fatal(err)
		}
		r.round()
	}
	filled := time.Since(began)
	r.checkpoint()
	r.close()

	r = open(t, dir)
	counted := &counting{Log: r.s}
	r.log.o.Store = counted
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began = time.Now()
	if err := r.log.Note(ctx, entry("hold.release")); err != nil {
		t.Fatal(err)
	}
	r.round()
	_, _, at := r.checkpoint()
	opened := time.Since(began)
	if l, h := counted.leaves.Load(), counted.hashes.Load(); l > 6*audit.Block || h > 256 {
		t.Errorf("opening and growing a log of %d read %d leaves and %d hashes", at.Size, l, h)
	}
	counted.leaves.Store(0)
	began = time.Now()
	if _, err := r.log.Prove(ctx, storetest.TenantA, at.Size/3); err != nil {
		t.Fatal(err)
	}
	proved := time.Since(began)
	if l := counted.leaves.Load(); l > 4*audit.Block {
		t.Errorf("a proof in a log of %d read %d leaves", at.Size, l)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("%d leaves in %s; open, grow and sign %s, a proof %s, %d KiB more heap", at.Size, filled.Round(time.Millisecond), opened.Round(time.Microsecond), proved.Round(time.Microsecond), (int64(after.HeapAlloc)-int64(before.HeapAlloc))/1024)
}
