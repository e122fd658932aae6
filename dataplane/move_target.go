package dataplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/domicile-io/domicile/dataplane/database"
	"github.com/domicile-io/domicile/dataplane/keytable"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/shelf"
	shelfsql "github.com/domicile-io/domicile/dataplane/shelf/sql"
	sqlstore "github.com/domicile-io/domicile/dataplane/store/sql"
	"github.com/domicile-io/domicile/policy"
)

// bucketMove of the shelf link says which move brought the records into the
// database, or is bringing them.
const bucketMove shelf.Bucket = "move"

var moveKey = []byte("move")

// moveNote is what stands there.
type moveNote struct {
	ID    string    `json:"id"`
	State MoveState `json:"state"`
}

func readNote(tx shelf.Tx) (note moveNote, err error) {
	raw, err := tx.Get(bucketMove, moveKey)
	if err == nil && raw != nil {
		err = json.Unmarshal(raw, &note)
	}
	return note, err
}

func putNote(tx shelf.Tx, note moveNote) error {
	raw, err := json.Marshal(note)
	if err != nil {
		return err
	}
	return tx.Put(bucketMove, moveKey, raw)
}

// noteDone lets nodes that have no mark of the move start over the database.
func noteDone(link shelf.Shelf, id string) error {
	return link.Update(func(tx shelf.Tx) error { return putNote(tx, moveNote{id, MoveDone}) })
}

// moveTarget is the database that a store moves to, and the key table's, open.
type moveTarget struct {
	cfg           Config
	rows          *sqlstore.Rows
	records, keys *shelfsql.DB
	link, keyRows *shelfsql.Shelf
	custodian     local.Custodian
}

func (t *moveTarget) close() error {
	var errs []error
	if t.rows != nil {
		errs = append(errs, t.rows.Close())
	}
	for _, db := range []*shelfsql.DB{t.records, t.keys} {
		if db != nil {
			db.Close()
		}
	}
	if t.custodian != nil {
		errs = append(errs, t.custodian.Close())
	}
	return errors.Join(errs...)
}

// futureConfig reads the configuration that the node is to have, and holds it
// against the one that it has.
func (n *Node) futureConfig(path string) (to Config, err error) {
	if !filepath.IsAbs(path) {
		return to, errors.New("give the whole path of the configuration that this node is to have, with --to")
	}
	if to, err = LoadConfig(path); err != nil {
		return to, err
	}
	var bad []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			bad = append(bad, fmt.Errorf(path+": "+format, args...))
		}
	}
	need(to.shared(), "store.kind: must be %s", SQLStore)
	need(to.Region == n.cfg.Region, "region: must stay %s", n.cfg.Region)
	need(filepath.Clean(to.DataDir) == filepath.Clean(n.cfg.DataDir), "data_dir: must stay %s: this node's egress ledger, policy cache and what it has signed stay there", n.cfg.DataDir)
	need(to.TLS == n.cfg.TLS, "tls: must stay as it is")
	need(to.RootPublicKey == n.cfg.RootPublicKey, "root_public_key: must stay as it is")
	switch {
	case n.cfg.Media.S3 != nil:
		need(to.Media.S3 != nil && to.Media.S3.Bucket == n.cfg.Media.S3.Bucket, "media.s3: recordings are not moved: name the same bucket")
	default:
		where := filepath.Join(n.cfg.DataDir, mediaDir)
		need(filepath.Clean(to.Media.Folder) == filepath.Clean(where), "media.folder: recordings are not moved: give %s", where)
	}
	return to, errors.Join(append(bad, n.sameRoot(to))...)
}

// sameRoot makes sure that a root key in a file stays the one that is in escrow.
func (n *Node) sameRoot(to Config) error {
	if to.Keys.RootFile == "" {
		return nil
	}
	if n.cfg.Keys.AWSKMS != nil || n.cfg.Keys.PKCS11 != nil {
		return errors.New("keys.root_file: the region's keys are kept by a key service now, which a file would not be the better of: keep the service")
	}
	from := n.cfg.Keys.RootFile
	if from == "" {
		from = filepath.Join(n.cfg.DataDir, keysDir, local.RootFile)
	}
	same, err := local.SameRoot(from, to.Keys.RootFile)
	if err == nil && !same {
		err = errors.New("it is another key than the region's root, which is in escrow")
	}
	if err != nil {
		return fmt.Errorf("keys.root_file: %w; run `install -m 0600 %s %s` as the node's user", err, from, to.Keys.RootFile)
	}
	return nil
}

// openTarget connects to both databases, through the door.
func (n *Node) openTarget(ctx context.Context, to Config) (t *moveTarget, err error) {
	t = &moveTarget{cfg: to}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.close())
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, databaseStartLimit)
	defer cancel()
	records, err := to.Store.read("store")
	if err != nil {
		return t, err
	}
	keys, err := to.Keys.Database.read("keys.database")
	if err != nil {
		return t, err
	}
	if same, err := database.SamePlace(records, keys); err != nil || same {
		return t, errors.Join(err, errors.New("keys.database: it is the database of the records: a backup of them would hold every key; give it a database of its own"))
	}
	if t.records, t.link, err = n.openTargetShelf(ctx, "records", records, policy.LocalStore, linkShelf); err != nil {
		return t, err
	}
	if t.keys, t.keyRows, err = n.openTargetShelf(ctx, "keys", keys, policy.LocalKey, keysShelf); err != nil {
		return t, err
	}
	dial, err := n.databaseDial(records, policy.LocalStore)
	if err != nil {
		return t, err
	}
	if t.rows, err = sqlstore.OpenRows(ctx, sqlstore.Options{DSN: records, Dial: dial, Connections: 4}); err != nil {
		return t, err
	}
	t.custodian, err = n.custodianOf(to.Keys)
	return t, err
}

func (n *Node) openTargetShelf(ctx context.Context, what, dsn string, class policy.EgressClass, name string) (*shelfsql.DB, *shelfsql.Shelf, error) {
	dial, err := n.databaseDial(dsn, class)
	if err != nil {
		return nil, nil, fmt.Errorf("open the database of %s: %w", what, err)
	}
	db, err := shelfsql.Open(ctx, shelfsql.Options{DSN: dsn, Dial: dial, Region: n.region(), Cluster: n.material.Identity.Cluster, Connections: 3, Logger: n.log})
	if err != nil {
		return nil, nil, fmt.Errorf("open the database of %s: %w", what, err)
	}
	s, err := db.Shelf(ctx, name)
	return db, s, err
}

// claim makes the database this move's, if it is free for it.
func (t *moveTarget) claim(id string) error {
	return t.look(id, t.link.Update, func(tx shelf.Tx) error { return putNote(tx, moveNote{id, MoveBegun}) })
}

// free is why the databases cannot be this move's, else nil.
func (t *moveTarget) free(id string) error {
	return t.look(id, t.link.View, func(shelf.Tx) error { return nil })
}

// look does something in the database if it is free: one that holds anything that
// is not of this move is refused.
func (t *moveTarget) look(id string, in func(func(shelf.Tx) error) error, do func(shelf.Tx) error) error {
	empty, err := t.rows.Empty()
	if err != nil {
		return err
	}
	if err := keytable.CheckImport(t.keyRows, id); err != nil {
		return err
	}
	return in(func(tx shelf.Tx) error {
		note, err := readNote(tx)
		if err != nil {
			return err
		}
		linkedTo, err := tx.Get(bucketLink, linkKey)
		switch {
		case err != nil:
			return err
		case note.ID == id:
		case note.ID != "":
			return fmt.Errorf("the database holds move %s, and this is move %s: give an empty database; what is there was left by a move whose %s is gone", note.ID, id, moveFile)
		case linkedTo != nil || !empty:
			return errors.New("the database of the records holds records already: give an empty one")
		}
		return do(tx)
	})
}

// clear removes everything that a move has put into the databases.
func (t *moveTarget) clear(ctx context.Context, id string, shelves []string) error {
	var held moveNote
	err := t.link.View(func(tx shelf.Tx) (err error) { held, err = readNote(tx); return err })
	if err != nil || held.ID != id {
		return err // nothing of this move is there
	}
	for _, step := range []func() error{
		func() error { return keytable.ClearImport(ctx, t.keyRows, t.custodian, id) },
		func() error { return t.keys.ClearShelves(ctx, []string{keysShelf, erasuresShelf}) },
		t.rows.Clear,
		func() error { return t.records.ClearShelves(ctx, append(slices.Clone(shelves), linkShelf)) }, // and with it, whose it was
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// openMoved makes sure that the database is the one that the records have moved
// to, and notes there what became of the keys that they had before.
func (n *Node) openMoved(link shelf.Shelf) error {
	var note moveNote
	if err := link.View(func(tx shelf.Tx) (err error) { note, err = readNote(tx); return err }); err != nil {
		return err
	}
	if note.State == MoveBegun && n.moved != nil && n.moved.ID == note.ID { // killed before it could say so
		return noteDone(link, note.ID)
	}
	if note.State == MoveBegun {
		return errors.New("a region's records are being moved into this database: end or abort that from the node that has them (docs/operations/migrate-store.md)")
	}
	if n.moved != nil && note.ID != n.moved.ID {
		return errors.New("store: this is not the database that this region's records have moved to: put the right connection string back")
	}
	return nil
}

// noteMovedKeys tells the key table what became of the generations before it.
func (n *Node) noteMovedKeys(rows shelf.Shelf) error {
	switch {
	case n.moved == nil:
		return nil
	case n.moved.Keys == nil || !n.moved.Keys.Destroyed:
		n.log.Error("the key table that this region's records have moved from is not destroyed: erasures do not become final, and old copies of it open what is erased now",
			"next", "stop the node and run `domicile-dataplane region migrate-store finish` with the configuration that it had before (docs/operations/migrate-store.md)")
		return nil
	}
	return keytable.NoteFates(rows, n.moved.Keys.Fates)
}
