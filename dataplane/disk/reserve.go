package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/domicile-io/domicile/internal/kernel"
)

// What a node keeps for itself: a fiftieth of its disk (04 §3), of small ones what
// an engine takes at once.
const (
	reservePart  = 50
	reserveLeast = 128 << 20 // bytes
	reserveMost  = 1 << 30   // bytes; no erasure needs more at once
	reserveShare = 8         // at most such a part of a small disk
	reserveSteps = 8         // it is given away in so many parts

	// WarnShare is the used share that an operator should hear of.
	WarnShare = 0.85
	// refillShare is the used share below which a spent reserve is filled again.
	refillShare = 0.90
)

// ReserveFile is the reserve's name in its folder.
const ReserveFile = "reserve"

// Reserve keeps a part of the disk in a file of allocated, empty blocks, so that
// what destroys finds room on a disk that others have filled. It is given away in
// parts: when a write of the node's own finds no room ([Reserve.Retry],
// [Reserve.Spend]) and while something that destroys is under way ([Reserve.Use]).
// Nothing is taken in meanwhile: the gauge says full long before. A nil Reserve has
// nothing to give. It is safe for concurrent use.
type Reserve struct {
	gauge *Gauge
	path  string
	want  int64

	mu     sync.Mutex
	has    int64
	users  int   // of what is under way and may use it
	failed error // why it is not whole, though there would be room
}

// OpenReserve makes the file in dir, or takes over what is left of it. want is its
// size in bytes; 0: 2 % of the disk, at least 128 MiB or an eighth of a small one,
// at most 1 GiB; negative: none, and what there was is given up. On a disk with no
// room for it, it is filled when there is; on one that is full, a part is given away
// at once, for the start.
func OpenReserve(g *Gauge, dir string, want int64) (*Reserve, error) {
	r := &Reserve{gauge: g, path: filepath.Join(dir, ReserveFile), want: max(want, 0)}
	g.Forget()
	room, err := g.now()
	if err != nil {
		return nil, err
	}
	if want == 0 {
		total := int64(room.Total)
		r.want = min(max(total/reservePart, min(reserveLeast, total/reserveShare)), reserveMost)
	}
	info, err := os.Stat(r.path)
	switch {
	case err == nil:
		r.has = info.Size()
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("open the disk's reserve: %w", err)
	}
	if r.has > r.want {
		return r, r.resize(r.want)
	}
	r.Tick()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.makeRoom()
	return r, nil
}

func (r *Reserve) resize(to int64) error {
	if err := os.Truncate(r.path, to); err != nil {
		return fmt.Errorf("give the disk's reserve away: %w", err)
	}
	r.has = to
	r.gauge.Forget()
	return nil
}

// refill takes what is missing, while there is plenty. A file system that cannot
// allocate ahead has no reserve.
func (r *Reserve) refill() {
	missing := r.want - r.has
	room, err := r.gauge.now()
	if err != nil || missing <= 0 || room.Free < uint64(missing) {
		return
	}
	room.Free -= uint64(missing)
	if room.Used() >= refillShare || room.Full() {
		return
	}
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		r.failed = err
		return
	}
	defer func() { _ = f.Close() }()
	if r.failed = kernel.Allocate(f, r.want); r.failed != nil {
		_ = f.Truncate(r.has)
		return
	}
	r.has = r.want
	r.gauge.Forget()
}

// Use says that something that destroys is under way until the returned function
// is called, and makes room for it.
func (r *Reserve) Use() (end func()) {
	if r == nil {
		return func() {}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.users++
	r.makeRoom()
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.users--
	})
}

// InUse reports whether something that destroys is under way.
func (r *Reserve) InUse() bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.users > 0
}

func (r *Reserve) part() int64 { return max(r.want/reserveSteps, 1) }

// makeRoom gives a part away when less than that is free.
func (r *Reserve) makeRoom() {
	room, err := r.gauge.now()
	if err == nil && r.has > 0 && room.Free < uint64(r.part()) {
		_ = r.resize(max(0, r.has-r.part())) // what cannot be given away is still there
	}
}

// Spend gives a part away because a write of the node's own found no room, and
// reports whether there was one to give. The gauge asks anew.
func (r *Reserve) Spend() bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gauge.Forget()
	return r.has > 0 && r.resize(max(0, r.has-r.part())) == nil
}

// Retry runs a write, and runs it again for each part that is given away while it
// finds no room. It must be one that can be done again from its beginning.
func (r *Reserve) Retry(write func() error) error {
	err := write()
	for errors.Is(err, unix.ENOSPC) && r.Spend() {
		err = write()
	}
	return err
}

// Tick is called every second or so: it gives a part to what is under way, and
// fills the reserve again when there is room.
func (r *Reserve) Tick() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users > 0 {
		r.makeRoom()
	} else {
		r.refill()
	}
}

// State is what is kept and what should be, in bytes, and why it cannot be kept.
func (r *Reserve) State() (has, want int64, failed error) {
	if r == nil {
		return 0, 0, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.has, r.want, r.failed
}
