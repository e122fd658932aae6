package dataplane

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/domicile-io/domicile/policy"
)

const (
	diskFull  = 0.95 // used share from which nothing new is taken; the rest is for erasure
	diskAsked = time.Second
)

// disk knows how full a folder's file system is. It asks at most once a second,
// because every ingest asks it.
type disk struct {
	path string
	now  func() time.Time

	mu    sync.Mutex
	asked time.Time
	used  float64
	err   error
}

// share is the used share of the file system in [0, 1], as an unprivileged
// process sees it.
func (d *disk) share() (float64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	if !d.asked.IsZero() && now.Sub(d.asked) < diskAsked && now.After(d.asked) {
		return d.used, d.err
	}
	d.asked = now
	var st unix.Statfs_t
	if d.err = unix.Statfs(d.path, &st); d.err != nil {
		d.err = fmt.Errorf("ask how full %s is: %w", d.path, d.err)
		return d.used, d.err
	}
	d.used = 0
	if usable := st.Blocks - st.Bfree + st.Bavail; usable > 0 {
		d.used = 1 - float64(st.Bavail)/float64(usable)
	}
	return d.used, nil
}

// full is why nothing new can be taken, else nil.
func (d *disk) full() error {
	used, err := d.share()
	if err != nil {
		return err
	}
	if used >= diskFull {
		return policy.Errorf(policy.StorageFull, "the node's disk is %.0f %% full; free some or move the region to a larger one", used*100)
	}
	return nil
}
