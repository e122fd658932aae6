package controlplane

import "github.com/domicile-io/domicile/internal/kernel"

// diskOf gives free and total bytes of the file system under a folder; 0, 0 when
// they are not known.
func diskOf(dir string) (free, size uint64) {
	free, size, err := kernel.Space(dir)
	if err != nil {
		return 0, 0
	}
	return free, size
}
