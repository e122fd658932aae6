package replica

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/raft"
)

// votes is what Raft must never forget beside its log: the term, and whom this
// voter voted for in it. It changes with elections only, so it is one small file
// that is replaced whole.
type votes struct {
	path  string
	guard func(what string, write func() error) error
	// before makes the log durable before a term or a vote is: a leader that has
	// sent what it had not synced must not answer in a newer term before it has
	// (ahead.go). nil: it is.
	before func() error

	mu  sync.Mutex
	all map[string][]byte
}

var _ raft.StableStore = (*votes)(nil)

// openVotes reads the votes, or begins a file for a log that is new. A log without
// its votes is refused: this voter could vote twice in one term.
func openVotes(path string, fresh bool, guard func(string, func() error) error) (*votes, error) {
	v := &votes{path: path, guard: guard, all: map[string][]byte{}}
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && fresh {
		return v, v.replace(v.all)
	}
	if err != nil {
		return nil, fmt.Errorf("read this voter's votes: %w: %s", err, rejoin)
	}
	body, err := checkSum(raw)
	if err == nil {
		err = json.Unmarshal(body, &v.all)
	}
	if err != nil {
		return nil, fmt.Errorf("this voter's votes in %s are damaged: %w", path, err)
	}
	return v, nil
}

// Set implements raft.StableStore.
func (v *votes) Set(key, value []byte) error {
	if v.before != nil {
		if err := v.before(); err != nil {
			return err
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	next := map[string][]byte{string(key): bytes.Clone(value)}
	for k, old := range v.all {
		if k != string(key) {
			next[k] = old
		}
	}
	if err := v.guard("vote", func() error { return v.replace(next) }); err != nil {
		return err
	}
	v.all = next
	return nil
}

// SetUint64 implements raft.StableStore.
func (v *votes) SetUint64(key []byte, value uint64) error {
	return v.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// Get implements raft.StableStore; nil for what was never set.
func (v *votes) Get(key []byte) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return bytes.Clone(v.all[string(key)]), nil
}

// GetUint64 implements raft.StableStore; 0 for what was never set.
func (v *votes) GetUint64(key []byte) (uint64, error) {
	raw, _ := v.Get(key)
	switch len(raw) {
	case 0:
		return 0, nil
	case 8:
		return binary.BigEndian.Uint64(raw), nil
	}
	return 0, fmt.Errorf("read %s: %d bytes, want 8", key, len(raw))
}

// replace writes all votes beside the file, synced, and puts them in its place.
func (v *votes) replace(all map[string][]byte) error {
	body, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("encode votes: %w", err)
	}
	next := v.path + ".tmp"
	f, err := os.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write votes: %w", err)
	}
	_, err = f.Write(withSum(body))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write votes: %w", err)
	}
	if err := os.Rename(next, v.path); err != nil {
		return fmt.Errorf("write votes: %w", err)
	}
	folder, err := os.Open(filepath.Dir(v.path))
	if err != nil {
		return fmt.Errorf("write votes: %w", err)
	}
	return errors.Join(folder.Sync(), folder.Close())
}
