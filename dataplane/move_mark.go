package dataplane

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/domicile-io/domicile/dataplane/move"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// moveFile, in data_dir, says where the records of this node are, once a move to
// a database was begun. It is written whole or not at all, and synced.
const moveFile = "move.json"

// MoveState says whose the truth is.
type MoveState string

// The states of a move.
const (
	MoveBegun MoveState = "begun"    // the embedded store is the region's
	MoveDone  MoveState = "switched" // the database is
)

// MoveMark is the file.
type MoveMark struct {
	ID      string          `json:"id"`
	Region  policy.RegionID `json:"region"`
	State   MoveState       `json:"state"`
	To      string          `json:"to"` // path of the configuration that the node is to have afterwards
	Began   time.Time       `json:"began"`
	Report  *move.Report    `json:"report,omitempty"`
	Keys    *MovedKeys      `json:"keys,omitempty"`    // of a move that is done
	Removed bool            `json:"removed,omitempty"` // the embedded store's files are gone
}

// MovedKeys says what became of the key table that the records were moved from.
type MovedKeys struct {
	Generation uint64          `json:"generation"` // its last
	Destroyed  bool            `json:"destroyed"`
	Fates      []store.KeyFate `json:"fates,omitempty"`
}

// readMove reads the mark of a data_dir; nil when no move was ever begun.
func readMove(dataDir string) (*MoveMark, error) {
	path := filepath.Join(dataDir, moveFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	m := &MoveMark{}
	if err == nil {
		err = json.Unmarshal(raw, m)
	}
	if err == nil && (m.ID == "" || m.State != MoveBegun && m.State != MoveDone) {
		err = errors.New("it is not what was written; find out from the database's table domicile_shelf, shelf link, bucket move, whether the move was done")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return m, nil
}

func (m *MoveMark) save(dataDir string) error {
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dataDir, moveFile)
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(raw, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncFolder(dataDir)
}

func removeMove(dataDir string) error {
	if err := os.Remove(filepath.Join(dataDir, moveFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncFolder(dataDir)
}

// checkMoved refuses to start where the records are not: an embedded store that
// has moved would serve an old copy whose keys are destroyed, a database into
// which one has not moved yet would be an empty region.
func (n *Node) checkMoved(Options) error {
	m, err := readMove(n.cfg.DataDir)
	if err != nil {
		return err
	}
	if !n.cfg.shared() {
		if m == nil || m.State == MoveBegun {
			return nil
		}
		return fmt.Errorf("the records of this region are in its database since %s, and what is in data_dir is an old copy: set store.kind: %s in the configuration, with store, keys and media as in %s (docs/operations/migrate-store.md)",
			m.Report.Switched.Format(time.RFC3339), SQLStore, m.To)
	}
	if m != nil && m.State == MoveBegun {
		return errors.New("store.kind: the records of this region are in data_dir, and their move to the database is not done: set store.kind: local, start the node, and run `domicile-dataplane region migrate-store start` or `abort` (docs/operations/migrate-store.md)")
	}
	if m != nil {
		n.moved = m
		return nil
	}
	_, err = os.Stat(filepath.Join(n.cfg.DataDir, recordsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, errors.New("store.kind: data_dir holds the records of an embedded store, which a node over a database would not show: set store.kind: local and move them with `domicile-dataplane region migrate-store` (docs/operations/migrate-store.md)"))
}
