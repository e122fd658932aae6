package replica

import (
	"fmt"
	"os"
	"path/filepath"
)

// dropUnfinished removes the snapshots that a crash or a full disk cut short.
// Raft passes over them and leaves them; each may be as large as the state, so that
// a disk which was full once would stay full.
func dropUnfinished(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, "snapshots", "*.tmp"))
	if err != nil {
		return fmt.Errorf("list unfinished snapshots: %w", err)
	}
	for _, path := range left {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove an unfinished snapshot: %w", err)
		}
	}
	return nil
}
