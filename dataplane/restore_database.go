package dataplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/domicile-io/domicile/dataplane/backup"
	"github.com/domicile-io/domicile/dataplane/shelf"
	sqlstore "github.com/domicile-io/domicile/dataplane/store/sql"
	"github.com/domicile-io/domicile/dataplane/subject"
	"github.com/domicile-io/domicile/policy"
)

// A restore into a region's database marks it first, so that no node starts on half
// of it, and takes the mark away at the end, in one transaction with what nodes need
// to go on. Cut short, it begins anew.

// bucketRestore of the shelf link says that a restore is under way.
const bucketRestore shelf.Bucket = "restore"

var restoreKey = []byte("restore")

// errHalfDatabase stops the nodes of a region whose restore was cut short.
var errHalfDatabase = errors.New("a restore of this region's database is under way, or was cut short: run `domicile-dataplane restore` again, it begins anew")

// checkWhole is errHalfDatabase while the mark is there.
func checkWhole(tx shelf.Tx) error {
	mark, err := tx.Get(bucketRestore, restoreKey)
	if err == nil && mark != nil {
		err = errHalfDatabase
	}
	return err
}

// intoDatabase is the restore of a region whose nodes share a database.
func (r *restoring) intoDatabase(ctx context.Context) (err error) {
	n, err := r.cfg.offlineNode(r.o.Logger)
	if err != nil {
		return err
	}
	r.region, r.cluster, r.door = n.region(), n.material.Identity.Cluster, n.door
	defer func() { err = errors.Join(err, n.shut(context.WithoutCancel(ctx))) }()
	if r.keys, err = n.offlineTable(); err != nil {
		return fmt.Errorf("the key table is needed; no backup holds it: %w", err)
	}
	t, err := n.openRestored(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.rows.Close()) }()
	if whole, err := r.restoredBefore(t); whole || err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(r.dir), os.Mkdir(r.dir, 0o700)); err != nil {
		return err
	}
	if err := r.fill(ctx, t); err != nil {
		if !t.begun && ctx.Err() == nil {
			err = errors.Join(err, os.RemoveAll(r.dir)) // nothing was put anywhere
		}
		return err
	}
	return r.reported()
}

// restored is a database that is restored into, open.
type restored struct {
	n     *Node
	rows  *sqlstore.Rows
	link  shelf.Shelf
	begun bool // the database is marked, and no more what it was
}

func (n *Node) openRestored(ctx context.Context) (*restored, error) {
	t := &restored{n: n}
	var err error
	if t.link, err = n.recordShelf(linkShelf); err != nil {
		return nil, err
	}
	dial, err := n.databaseDial(n.shared.dsn, policy.LocalStore)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, databaseStartLimit)
	defer cancel()
	t.rows, err = sqlstore.OpenRows(ctx, sqlstore.Options{DSN: n.shared.dsn, Dial: dial, Connections: 4})
	return t, err
}

// restoredBefore reports whether a restore that was cut short had only its report
// left to write.
func (r *restoring) restoredBefore(t *restored) (bool, error) {
	if _, err := os.Stat(filepath.Join(r.dir, restoreReady)); err != nil {
		return false, nil
	}
	to, err := linked(t.link)
	if err == nil && to != nil && t.link.View(checkWhole) == nil {
		return true, r.reported()
	}
	return false, err
}

// free refuses a database that holds anything but half a restore.
func (t *restored) free(ctx context.Context) error {
	half := errors.Is(t.link.View(checkWhole), errHalfDatabase)
	empty, err := t.rows.Empty()
	if err == nil && empty {
		empty, err = t.n.shared.records.Empty(ctx, linkShelf, bucketRestore)
	}
	if err == nil && !empty && !half {
		err = errors.New("the database of the records is not empty. Nothing is overwritten: stop the region's nodes and give an empty database in store.dsn_file; keep the old one, and leave the database of the keys as it is")
	}
	return err
}

// begin marks the database and makes it empty.
func (t *restored) begin(ctx context.Context, snapshot string) error {
	err := t.link.Update(func(tx shelf.Tx) error { return tx.Put(bucketRestore, restoreKey, []byte(snapshot)) })
	if err == nil {
		err = t.rows.Clear()
	}
	if err == nil {
		err = t.n.shared.records.Clear(ctx, linkShelf, bucketRestore)
	}
	return err
}

// fill puts everything into the database and makes it consistent; the mark goes last.
func (r *restoring) fill(ctx context.Context, t *restored) error {
	if err := t.free(ctx); err != nil {
		return err
	}
	repo, blobs, release, err := r.repository(ctx)
	if err != nil {
		return err
	}
	defer release()
	var intents []subject.Intent
	accept := func(head backup.Snapshot) error {
		r.report.Snapshot = head
		err := r.comparable(head)
		if err == nil {
			intents, err = r.sharedLedger(t.n, repo.Ledger(ctx))
		}
		if err != nil {
			return err
		}
		t.begun = true
		return t.begin(ctx, head.ID)
	}
	_, err = repo.Extract(ctx, r.o.Snapshot, backup.Target{Folder: r.dir, Blobs: blobs, Rows: rowTarget(t.rows, t.n.shared.records), Accept: accept}, r.o.Progress)
	if err != nil {
		return err
	}
	if err := r.mended(ctx, t, repo, intents); err != nil {
		return err
	}
	if err := r.step("prepared"); err != nil {
		return err
	}
	if err := r.ready(); err != nil {
		return err
	}
	return t.end(r)
}

// mended makes what was put in consistent with what was destroyed since.
func (r *restoring) mended(ctx context.Context, t *restored, repo *backup.Repository, intents []subject.Intent) error {
	notes, err := r.since(ctx, repo)
	if err != nil {
		return err
	}
	dial, err := t.n.databaseDial(t.n.shared.dsn, policy.LocalStore)
	if err != nil {
		return err
	}
	s, err := sqlstore.Open(ctx, sqlstore.Options{DSN: t.n.shared.dsn, Dial: dial, Region: r.region, Keys: r.keys, Logger: r.o.Logger})
	if err != nil {
		return fmt.Errorf("open the restored record store: %w", err)
	}
	err = r.putBack(ctx, s, intents, notes[backup.StoreRows])
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	for name, put := range map[string]func(shelf.Shelf) error{
		"outbox":   func(s shelf.Shelf) error { return r.outbox(s, intents, notes[backup.BuriedRows]) },
		"received": func(s shelf.Shelf) error { return r.inbox(s, notes[backup.ReceivedRows]) },
	} {
		s, err := t.n.recordShelf(name)
		if err == nil {
			err = put(s)
		}
		if err != nil {
			return fmt.Errorf("open the restored %s: %w", name, err)
		}
	}
	return nil
}

// end lets nodes start.
func (t *restored) end(r *restoring) error {
	secret, err := t.n.keys.Named(linkName)
	if err != nil {
		return fmt.Errorf("link the databases: %w", err)
	}
	sum := linkTo(secret)
	return t.link.Update(func(tx shelf.Tx) error {
		found, err := tx.Get(bucketLink, linkKey)
		if err == nil && string(found) != string(sum[:]) {
			err = errors.New("the snapshot is of records that were sealed by another key table")
		}
		if err == nil {
			err = putKnown(tx, r.known())
		}
		if err == nil {
			err = tx.Delete(bucketRestore, restoreKey)
		}
		return err
	})
}

// sharedLedger finds the erasure ledger, and puts it into the database of the keys
// where that has less of it.
func (r *restoring) sharedLedger(n *Node, beside *backup.LedgerCopy) ([]subject.Intent, error) {
	kept, err := n.ledgerShelf()
	if err != nil {
		return nil, err
	}
	here := subject.LedgerShelf{Shelf: kept}
	intents, raw, err := r.chooseLedger(here, beside)
	if err != nil {
		return nil, err
	}
	return intents, here.Put(raw)
}

// reported puts the report in its place.
func (r *restoring) reported() error {
	raw, err := os.ReadFile(filepath.Join(r.dir, restoreReady))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &r.report); err != nil {
		return fmt.Errorf("read what is ready: %w", err)
	}
	if err := replaceDurably(filepath.Join(r.cfg.DataDir, restoredFile), raw); err != nil {
		return err
	}
	if err := os.RemoveAll(r.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncFolder(r.cfg.DataDir)
}
