package local

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/domicile-io/domicile/policy"
)

// Above diskFull nothing more is taken in; what is left is the reserve in which
// erasure and compaction still work.
const (
	diskFull  = 0.95
	diskEvery = time.Second
)

// diskGauge asks how full the disk is, at most once a second.
type diskGauge struct {
	used func() (float64, error)

	mu    sync.Mutex
	asked time.Time
	err   error
}

func newDiskGauge(dir string, used func() (float64, error)) *diskGauge {
	if used == nil {
		used = func() (float64, error) { return statfs(dir) }
	}
	return &diskGauge{used: used}
}

func statfs(dir string) (float64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	if st.Blocks == 0 {
		return 0, nil
	}
	return 1 - float64(st.Bavail)/float64(st.Blocks), nil
}

// check answers STORAGE_FULL at or above diskFull. A gauge that cannot be read
// stops nothing: the write itself will say.
func (d *diskGauge) check(now time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if since := now.Sub(d.asked); since >= 0 && since < diskEvery {
		return d.err
	}
	d.asked, d.err = now, nil
	if share, err := d.used(); err == nil && share >= diskFull {
		d.err = policy.Errorf(policy.StorageFull, "the disk is %.0f %% full; free space or extend it, then send the records again", share*100)
	}
	return d.err
}
