package controlplane

import "syscall"

// diskOf gives free and total bytes of the file system under a folder; 0, 0 when
// they are not known.
func diskOf(dir string) (free, size uint64) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, 0
	}
	return fs.Bavail * uint64(fs.Bsize), fs.Blocks * uint64(fs.Bsize)
}
