// Package disk knows how full a node's disk is, and from when on nothing more is
// taken in: what is left is the room in which erasure and what rewrites still work.
package disk

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/domicile-io/domicile/policy"
)

// A disk is full when FullShare of it is used, and a small one also when less is
// free than an engine of records takes at once: a log file allocated ahead, a table
// being written and what merges them. Of a disk too small for that a quarter is kept.
const (
	FullShare = 0.95
	KeptBytes = 256 << 20
	keptPart  = 4

	asked = time.Second
)

// Gauge watches the file system of a folder. It asks at most once a second, because
// every ingest asks it. It is safe for concurrent use.
type Gauge struct {
	path   string
	statfs func(string, *unix.Statfs_t) error

	mu    sync.Mutex
	asked time.Time
	room  Room
	err   error
}

// Room is what a file system has, in bytes, as an unprivileged process sees it.
type Room struct{ Total, Free uint64 }

// Used is the used share in [0, 1].
func (r Room) Used() float64 {
	if r.Total == 0 {
		return 0
	}
	return 1 - float64(r.Free)/float64(r.Total)
}

// Full reports whether nothing more is taken in.
func (r Room) Full() bool {
	return r.Total > 0 && (r.Used() >= FullShare || r.Free < min(KeptBytes, r.Total/keptPart))
}

// New makes a gauge of the file system that path is on.
func New(path string) *Gauge { return &Gauge{path: path, statfs: unix.Statfs} }

// Room is what there is, at most a second old.
func (g *Gauge) Room(now time.Time) (Room, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if since := now.Sub(g.asked); since >= 0 && since < asked {
		return g.room, g.err
	}
	g.asked = now
	var st unix.Statfs_t
	if g.err = g.statfs(g.path, &st); g.err != nil {
		g.err = fmt.Errorf("ask how full %s is: %w", g.path, g.err)
		return g.room, g.err
	}
	size := uint64(st.Bsize)
	g.room = Room{Total: (st.Blocks - st.Bfree + st.Bavail) * size, Free: st.Bavail * size}
	return g.room, nil
}

// Forget makes the next question a new one: a write found no room.
func (g *Gauge) Forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = time.Time{}
}

// now asks the file system, however lately it was asked.
func (g *Gauge) now() (Room, error) {
	g.Forget()
	return g.Room(time.Now())
}

// Check answers STORAGE_FULL when nothing more is taken in. A gauge that cannot be
// read stops nothing: the write itself will say.
func (g *Gauge) Check(now time.Time) error {
	room, err := g.Room(now)
	if err != nil || !room.Full() {
		return nil
	}
	return policy.Errorf(policy.StorageFull, "the node's disk is %.0f %% full, %d MiB are free; free some or move the region to a larger one, then send this again", 100*room.Used(), room.Free>>20)
}
