package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// disk is the Raft log and vote. The first write that fails, or hangs, ends
// the node: after a failed fsync nobody knows what the kernel has kept, and a
// leader with a hung disk would hold up the cluster while its heartbeats look
// well.
type disk struct {
	*raftboltdb.BoltStore
	limit time.Duration
	fatal func(error)
}

func openDisk(path string, limit time.Duration, fatal func(error)) (*disk, error) {
	db, err := raftboltdb.New(raftboltdb.Options{Path: path, MsgpackUseNewTimeFormat: true,
		BoltOptions: &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true}})
	if err != nil {
		return nil, fmt.Errorf("open Raft log %s (is another process using it?): %w", path, err)
	}
	return &disk{BoltStore: db, limit: limit, fatal: fatal}, nil
}

// guard runs one write under the watchdog.
func (d *disk) guard(what string, write func() error) error {
	watchdog := time.AfterFunc(d.limit, func() {
		d.fatal(fmt.Errorf("raft log: %s has hung for %v: the disk does not answer", what, d.limit))
	})
	defer watchdog.Stop()
	err := write()
	if err != nil {
		err = fmt.Errorf("raft log: %s: %w", what, err)
		d.fatal(err)
	}
	return err
}

// StoreLog implements raft.LogStore.
func (d *disk) StoreLog(l *raft.Log) error { return d.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (d *disk) StoreLogs(logs []*raft.Log) error {
	return d.guard("append", func() error { return d.BoltStore.StoreLogs(logs) })
}

// GetLog implements raft.LogStore. An entry that was damaged on our disk must not
// be sent to another voter, which would store it, fail when it applies it, and
// stop though its own disk is well: so this node stops instead.
func (d *disk) GetLog(index uint64, l *raft.Log) error {
	err := d.BoltStore.GetLog(index, l)
	if errors.Is(err, raft.ErrLogNotFound) {
		return err // compacted: the other side gets a snapshot
	}
	if err == nil && l.Type == raft.LogCommand {
		_, err = checkSum(l.Data)
	}
	if err == nil && l.Index != index {
		err = fmt.Errorf("raft log: entry %d says that it is entry %d: restore this voter from its peers", index, l.Index)
	}
	if err != nil {
		d.fatal(fmt.Errorf("read entry %d: %w", index, err))
	}
	return err
}

// DeleteRange implements raft.LogStore.
func (d *disk) DeleteRange(from, to uint64) error {
	return d.guard("truncate", func() error { return d.BoltStore.DeleteRange(from, to) })
}

// Set implements raft.StableStore.
func (d *disk) Set(key, value []byte) error {
	return d.guard("vote", func() error { return d.BoltStore.Set(key, value) })
}

// SetUint64 implements raft.StableStore.
func (d *disk) SetUint64(key []byte, value uint64) error {
	return d.guard("vote", func() error { return d.BoltStore.SetUint64(key, value) })
}

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

// bbolt's pages carry no checksum and neither do Raft's entries, so each
// command carries its own through log and wire.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sumSize = 4

func withSum(command []byte) []byte {
	return binary.BigEndian.AppendUint32(command, crc32.Checksum(command, castagnoli))
}

func checkSum(data []byte) ([]byte, error) {
	if len(data) < sumSize {
		return nil, errors.New("raft log: an entry is too short: restore this voter from its peers")
	}
	command, sum := data[:len(data)-sumSize], binary.BigEndian.Uint32(data[len(data)-sumSize:])
	if crc32.Checksum(command, castagnoli) != sum {
		return nil, errors.New("raft log: an entry fails its checksum: restore this voter from its peers")
	}
	return command, nil
}
