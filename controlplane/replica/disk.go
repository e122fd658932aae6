package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/domicile-io/domicile/controlplane/journal"
	"github.com/domicile-io/domicile/internal/watchdog"
)

// disk is the Raft log and vote. The first write that fails, or hangs, ends
// the node: after a failed fsync nobody knows what the kernel has kept, and a
// leader with a hung disk would hold up the cluster while its heartbeats look
// well.
type disk struct {
	*votes
	log   *journal.Journal
	watch watchdog.Watchdog
	fatal func(error)

	held           *holds        // nil: the log is held for nobody
	entries, bytes atomic.Uint64 // appended since it was opened
	ahead          ahead
	syncLog        func() error // the journal's; tests hold it up
}

var _ raft.MonotonicLogStore = (*disk)(nil)

const rejoin = "restore this voter from its peers: remove its data folder and let it join again"

// openDisk opens log and vote in a folder. It reads all of the log, so that damage
// is found before any entry is applied or sent on.
func openDisk(dir string, limit time.Duration, fatal func(error)) (*disk, error) {
	d := &disk{watch: watchdog.Watchdog{Limit: limit, Hung: fatal}, fatal: fatal}
	var err error
	if d.log, err = journal.Open(journal.Options{Dir: filepath.Join(dir, "log")}); err != nil {
		if errors.Is(err, journal.ErrDamaged) {
			err = fmt.Errorf("%w: %s", err, rejoin)
		}
		return nil, fmt.Errorf("open the Raft log in %s: %w", dir, err)
	}
	if d.votes, err = openVotes(filepath.Join(dir, "vote"), d.log.Last() == 0, d.guard); err != nil {
		return nil, errors.Join(err, d.log.Close())
	}
	if d.ahead.term, err = d.votes.GetUint64(keyTerm); err != nil {
		return nil, errors.Join(fmt.Errorf("read this voter's term: %w", err), d.log.Close())
	}
	d.votes.before, d.syncLog = d.sync, d.log.Sync
	d.ahead.start(d.sync)
	return d, nil
}

// guard runs one write under the watchdog.
func (d *disk) guard(what string, write func() error) error {
	err := d.watch.Do("raft log: "+what, write)
	if err != nil {
		err = fmt.Errorf("raft log: %s: %w", what, err)
		d.fatal(err)
	}
	return err
}

// FirstIndex implements raft.LogStore.
func (d *disk) FirstIndex() (uint64, error) { return d.log.First(), nil }

// LastIndex implements raft.LogStore.
func (d *disk) LastIndex() (uint64, error) { return d.log.Last(), nil }

// IsMonotonic implements raft.MonotonicLogStore: the log has no gaps, and Raft
// drops it whole when a snapshot skips some.
func (d *disk) IsMonotonic() bool { return true }

// StoreLog implements raft.LogStore.
func (d *disk) StoreLog(l *raft.Log) error { return d.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (d *disk) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	records, size := make([][]byte, len(logs)), uint64(0)
	for i, l := range logs {
		if l.Index != logs[0].Index+uint64(i) {
			return fmt.Errorf("raft log: entry %d follows entry %d", l.Index, logs[0].Index+uint64(i)-1)
		}
		records[i] = encodeEntry(l)
		size += uint64(len(records[i]))
	}
	if err := d.store(logs, records, size); err != nil {
		return err
	}
	d.entries.Add(uint64(len(logs)))
	d.bytes.Add(size)
	return nil
}

// GetLog implements raft.LogStore. An entry that was damaged on our disk must not
// be sent to another voter, which would store it, fail when it applies it, and
// stop though its own disk is well: so this node stops instead.
func (d *disk) GetLog(index uint64, l *raft.Log) error {
	record, err := d.log.Read(index)
	if errors.Is(err, journal.ErrNotFound) {
		return raft.ErrLogNotFound // compacted: the other side gets a snapshot
	}
	if err == nil {
		err = decodeEntry(index, record, l)
	}
	if err != nil {
		err = fmt.Errorf("raft log: read entry %d: %w: %s", index, err, rejoin)
		d.fatal(err)
	}
	return err
}

// behind is about how many bytes of log follow an entry.
func (d *disk) behind(index uint64) uint64 {
	entries := d.entries.Load()
	if last := d.log.Last(); last > index && entries > 0 {
		return (last - index) * (d.bytes.Load() / entries)
	}
	return 0
}

// DeleteRange implements raft.LogStore: the beginning or the end of the log. The
// beginning stays as far as it is held.
func (d *disk) DeleteRange(from, to uint64) error {
	if d.held != nil && from <= d.log.First() && to < d.log.Last() {
		if to = d.held.cut(to, d.behind); to < d.log.First() {
			return nil
		}
	}
	return d.guard("truncate", func() error {
		if from <= d.log.First() {
			return d.log.DropBefore(to + 1)
		}
		return d.log.TruncateAfter(from - 1)
	})
}

// Close syncs and closes the log. Nobody may write any more.
func (d *disk) Close() error {
	d.ahead.stop()
	return d.log.Close()
}

// An entry's record: its term (8 bytes), type (1), when the leader appended it (8,
// Unix ns; 0: unknown), and its data.
const entryHead = 17

func encodeEntry(l *raft.Log) []byte {
	b := make([]byte, 0, entryHead+len(l.Data))
	b = binary.BigEndian.AppendUint64(b, l.Term)
	b = append(b, byte(l.Type))
	at := int64(0)
	if !l.AppendedAt.IsZero() {
		at = l.AppendedAt.UnixNano()
	}
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	return append(b, l.Data...)
}

func decodeEntry(index uint64, b []byte, l *raft.Log) error {
	if len(b) < entryHead {
		return fmt.Errorf("an entry of %d bytes is shorter than its head", len(b))
	}
	*l = raft.Log{Index: index, Term: binary.BigEndian.Uint64(b), Type: raft.LogType(b[8]), Data: b[entryHead:]}
	if at := int64(binary.BigEndian.Uint64(b[9:])); at != 0 {
		l.AppendedAt = time.Unix(0, at)
	}
	return nil
}
