package dataplane

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/domicile-io/domicile/dataplane/backup"
	"github.com/domicile-io/domicile/dataplane/shelf"
)

// backupFile remembers, in data_dir, which repository is this node's.
const backupFile = "backup.json"

// Where nodes share a database, which repository is the region's stands there.
const bucketBackup shelf.Bucket = "backup"

var knownKey = []byte("repository")

// known is what a node keeps of its repository, beside its data.
type known struct {
	Repository string          `json:"repository"` // its id; "" when it has had none
	GivenUp    *backup.GivenUp `json:"given_up,omitempty"`
	Owner      string          `json:"owner,omitempty"` // random: whose marks in a bucket are this node's
}

// memory is where it is kept: in data_dir, and what is the region's on a shelf too.
type memory struct {
	dataDir string
	link    shelf.Shelf // nil: a region of one node
}

func (m memory) read() (k known, err error) {
	raw, err := os.ReadFile(filepath.Join(m.dataDir, backupFile))
	if err == nil {
		err = json.Unmarshal(raw, &k)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return k, fmt.Errorf("read %s: %w", backupFile, err)
	}
	if m.link == nil {
		return k, nil
	}
	owner := k.Owner
	err = m.link.View(func(tx shelf.Tx) error {
		k = known{}
		raw, err := tx.Get(bucketBackup, knownKey)
		if err == nil && raw != nil {
			err = json.Unmarshal(raw, &k)
		}
		return err
	})
	k.Owner = owner
	return k, err
}

func (m memory) keep(k known) error {
	if m.link != nil {
		if err := m.link.Update(func(tx shelf.Tx) error { return putKnown(tx, k) }); err != nil {
			return err
		}
		k = known{Owner: k.Owner}
	}
	raw, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return replaceDurably(filepath.Join(m.dataDir, backupFile), append(raw, '\n'))
}

func putKnown(tx shelf.Tx, k known) error {
	k.Owner = ""
	raw, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return tx.Put(bucketBackup, knownKey, raw)
}
