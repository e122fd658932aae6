//go:build unix

package kernel

import (
	"os"

	"golang.org/x/sys/unix"
)

// Lock takes a file for this descriptor until it is closed, or fails at once while
// another process has it.
func Lock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

// Space gives free and total bytes of the file system under a folder; free is what
// somebody without privileges may still use.
func Space(dir string) (free, size uint64, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, 0, err
	}
	return fs.Bavail * uint64(fs.Bsize), fs.Blocks * uint64(fs.Bsize), nil
}
