package replica

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/hashicorp/raft"
)

// A snapshot writes the whole state, however little has changed since the last
// one. So it is due when the log behind the last one is long, in entries or in
// bytes, and also makes up for the writing; but the log does not grow for ever,
// because a start after a power cut applies all of it.

const (
	worthwhile = 4 // a snapshot may be this many times as large as the log that it replaces
	longest    = 4 // but this many times SnapshotThreshold is enough
)

// snapshots takes them, until we stop.
func (r *Replica) snapshots(files raft.SnapshotStore) {
	defer r.watching.Done()
	for {
		// Each voter at another time, so that not all write theirs at once.
		wait := time.NewTimer(r.o.SnapshotInterval + rand.N(r.o.SnapshotInterval))
		select {
		case <-wait.C:
		case <-r.stopping.Done():
			wait.Stop()
			return
		}
		if !r.snapshotDue(files) {
			continue
		}
		written := r.disk.bytes.Load()
		err := await(r.stopping, r.raft.Snapshot())
		switch {
		case err == nil:
			r.snapshotAt.Store(written)
		case !errors.Is(err, raft.ErrNothingNewToSnapshot) && r.stopping.Err() == nil:
			r.o.Logger.Warn("no snapshot was taken: the next one is tried soon", "err", err)
		}
	}
}

func (r *Replica) snapshotDue(files raft.SnapshotStore) bool {
	last, err := strconv.ParseUint(r.raft.Stats()["last_snapshot_index"], 10, 64)
	if err != nil {
		return false
	}
	size := int64(0)
	if list, err := files.List(); err == nil && len(list) > 0 {
		size = list[0].Size
	}
	return r.o.due(r.raft.LastIndex()-last, r.disk.bytes.Load()-r.snapshotAt.Load(), uint64(size))
}

// due says whether a snapshot is, for the entries and bytes of log behind the last
// one, which has a size.
func (o *Options) due(entries, bytes, size uint64) bool {
	if entries == 0 || entries < o.SnapshotThreshold && bytes < o.SnapshotBytes {
		return false
	}
	return bytes >= size/worthwhile || entries >= longest*o.SnapshotThreshold
}
