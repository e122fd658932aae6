//go:build !failpoints

package local

import "github.com/cockroachdb/pebble/v2/vfs"

// failFS is the file system itself.
func failFS(fs vfs.FS) vfs.FS { return fs }
