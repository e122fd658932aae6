package feed

import (
	"os"
	"testing"
	"time"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// changed is a delta that makes every tenant over; odd ones are as before again
// with every second.
func (b *book) changed(round, tenants int) *controlv1.Push {
	rows := make([]policy.Row, 0, tenants)
	for i := range tenants {
		r := tenantRow(i, "ie1")
		r.Tenant.Policy.MaxStaleness = policy.Seconds(1 + round%2*(1+i))
		rows = append(rows, r)
	}
	return b.delta(nil, rows...)
}

// The cache stays small while its node runs, with the control plane or without,
// and a node that starts from it serves what it served.
func TestTheCacheIsCompactedWhileItIsUsed(t *testing.T) {
	const tenants = 150
	w := newWorld(t)
	v := w.voter("cp")
	b := w.book(tenants)
	n := w.node(v)
	f, s := n.synced(v, b)
	small := n.cacheSize(t)
	for round := 0; f.compactions.Load() < 2; round++ {
		was := f.compactions.Load()
		var p *controlv1.Push
		if round == 5 {
			p = b.delta([]string{"t/" + string(tenantID(tenants-1))}) // goes, and comes again with the next
		} else {
			p = b.changed(round, tenants)
		}
		acked(t, s.push(t, p), b.revision)
		// How much comes beside a compaction is the machine's doing, so nothing does
		// here: pushes that come meanwhile have a test of their own.
		if size := n.cacheSize(t); size-small > minCompact {
			n.compacts(t, f, was)
			small = n.cacheSize(t)
		} else if round > 200 {
			t.Fatalf("the cache has %d bytes after %d rounds of one bundle", size, round)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	revision, hash := f.Current().Revision, f.replica.good.hash
	if size := n.cacheSize(t); size > minCompact {
		t.Errorf("the cache has %d bytes right after it was compacted", size)
	}
	again := n.open()
	if again.Current() == nil || again.Current().Revision != revision || again.replica.good.hash != hash {
		t.Fatalf("started from a compacted cache: %v", again.Current())
	}
	again.Start()
	s = v.next(t)
	if h := s.hello; h.GetLastRevision() != revision {
		t.Errorf("it asks for what follows %d, want %d", h.GetLastRevision(), revision)
	}
	acked(t, s.push(t, b.changed(1, 3)), b.revision)
}

func (n *node) cacheSize(t *testing.T) int64 {
	t.Helper()
	info, err := os.Stat(n.cachePath())
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// compacts waits until there was one compaction more.
func (n *node) compacts(t *testing.T, f *Feed, was int64) {
	t.Helper()
	for late := time.After(soon); f.compactions.Load() == was; {
		select {
		case <-late:
			t.Fatalf("the cache has %d bytes and is not compacted", n.cacheSize(t))
		case <-time.After(time.Millisecond):
		}
	}
}

// A bundle of several parts, of a control plane that was restored once: each part
// says of which cluster epoch it is, or the file would not load.
func TestACompactionOfSeveralPartsLoads(t *testing.T) {
	w := newWorld(t)
	b := w.book(26 * 26)
	b.revision = policy.RevisionOf(2, 7)
	n := w.node(w.voter("cp"))
	f := n.open()
	for _, p := range b.snapshot(100) {
		if refused := f.handle(p); refused != nil {
			t.Fatal(refused)
		}
	}
	if err := f.cache.compact(f.replica.good); err != nil {
		t.Fatal(err)
	}
	if f.cache.frames < 2 {
		t.Errorf("it was written as %d part: too small to show anything", f.cache.frames)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if v := n.open().Current(); v == nil || v.Revision != b.revision {
		t.Errorf("started from a compacted cache: %v", v)
	}
}

// What does not agree with the seal never takes the file's place.
func TestINV34_ACompactionThatIsNotTheBundleChangesNothing(t *testing.T) {
	w := newWorld(t)
	v := w.voter("cp")
	b := w.book(3)
	n := w.node(v)
	f, s := n.synced(v, b)
	acked(t, s.push(t, b.changed(1, 3)), b.revision)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f = n.open()
	was, err := os.ReadFile(n.cachePath())
	if err != nil {
		t.Fatal(err)
	}
	wrong := *f.replica.good
	wrong.rows = wrong.rows.Clone()
	wrong.rows.Put("t/"+string(tenantID(1)), []byte("something else"))
	if err := f.cache.compact(&wrong); err == nil {
		t.Error("a row that the file does not have was passed over")
	}
	later := *f.replica.good
	later.view = later.view.at(later.view.Revision + 1)
	if err := f.cache.compact(&later); err == nil {
		t.Error("a seal of another revision was taken")
	}
	now, err := os.ReadFile(n.cachePath())
	if err != nil {
		t.Fatal(err)
	}
	if string(now) != string(was) {
		t.Error("the file has changed")
	}
	if _, err := os.Stat(n.cachePath() + ".compact"); err == nil {
		t.Error("the draft was left behind")
	}
}

// compact is a compaction from its beginning to its end.
func (c *cache) compact(good *state) error {
	k := c.beginCompaction(good)
	if k.run(); k.err != nil {
		return k.err
	}
	return c.adopt(k)
}
