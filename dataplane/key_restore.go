package dataplane

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/domicile-io/domicile/dataplane/keytable"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/shelf/bolt"
	"github.com/domicile-io/domicile/dataplane/shelf/copied"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/subject"
)

// keyRestoreDir is where in data_dir the copies are read to before they are believed.
const keyRestoreDir = "keys-restore.tmp"

// KeyRestoreReport says what was put back.
type KeyRestoreReport struct {
	keytable.Counts
	Changed  time.Time `json:"changed"`  // when the last change of the table was made
	Number   uint64    `json:"number"`   // of it
	Erasures uint64    `json:"erasures"` // entries of the ledger
}

// KeyRestoreOptions of RestoreKeys. The zero value works.
type KeyRestoreOptions struct {
	Options
	Step func(point string) error // tests crash in it
}

// RestoreKeys puts the key table and the erasure ledger of a region whose database of
// the keys is lost back from their copy (keys.copy_s3), into the empty database that
// the configuration names. The region's nodes must be stopped. A copy of another region
// or table, one that was changed, and one that ends before what the records' database
// knows of are refused; nothing is put anywhere then. Cut short, it begins anew.
func RestoreKeys(ctx context.Context, cfg Config, o KeyRestoreOptions) (report KeyRestoreReport, err error) {
	fail := func(err error) (KeyRestoreReport, error) {
		return KeyRestoreReport{}, fmt.Errorf("restore the key table: %w", err)
	}
	if cfg.Keys.CopyS3 == nil {
		return fail(errors.New("give the configuration that names the copy's bucket, keys.copy_s3"))
	}
	n, unlock, err := cfg.stoppedNode(o.Options)
	if err != nil {
		return fail(err)
	}
	defer unlock()
	r := &keyRestore{n: n, o: o, dir: filepath.Join(n.cfg.DataDir, keyRestoreDir)}
	err = r.run(ctx)
	if err = errors.Join(err, r.close(), n.shut(context.WithoutCancel(ctx))); err != nil {
		return fail(err)
	}
	return r.report, nil
}

// keyRestore is one restore of keys.
type keyRestore struct {
	n      *Node
	o      KeyRestoreOptions
	dir    string
	staged map[string]*bolt.Shelf
	read   map[string]*copied.Reading
	report KeyRestoreReport
}

func (r *keyRestore) close() (err error) {
	for _, s := range r.staged {
		err = errors.Join(err, s.Close())
	}
	return errors.Join(err, os.RemoveAll(r.dir))
}

func (r *keyRestore) run(ctx context.Context) error {
	if err := errors.Join(os.RemoveAll(r.dir), os.Mkdir(r.dir, 0o700), r.n.openCopies()); err != nil {
		return err
	}
	if err := r.vacant(); err != nil {
		return err
	}
	if err := r.n.copies.place.Ready(ctx); err != nil {
		return err
	}
	r.staged, r.read = map[string]*bolt.Shelf{}, map[string]*copied.Reading{}
	for _, name := range []string{keysShelf, erasuresShelf} {
		if err := r.stage(ctx, name); err != nil {
			return err
		}
	}
	root, err := r.believe(ctx)
	if err != nil {
		return err
	}
	return r.putBack(ctx, root)
}

// vacant refuses a database of keys that holds a key table.
func (r *keyRestore) vacant() error {
	s, err := r.n.shared.keys.Shelf(context.Background(), keysShelf)
	if err != nil {
		return err
	}
	found, err := keytable.Count(s)
	if err == nil && found.Generation != 0 {
		err = errors.New("the database of the keys holds a key table. Nothing is overwritten: stop the region's nodes and give an empty database in keys.database; keep the old one")
	}
	return err
}

// stage reads a copy onto a shelf in data_dir.
func (r *keyRestore) stage(ctx context.Context, name string) error {
	o, err := r.n.copyOptions(name, nil)
	if err != nil {
		return err
	}
	least, err := copied.Anchored(o.Anchors, o.AnchorBucket, name)
	if err != nil {
		return err
	}
	if r.staged[name], err = bolt.Open(filepath.Join(r.dir, name), o.Buckets); err != nil {
		delete(r.staged, name)
		return err
	}
	o.Shelf, o.Step = r.staged[name], r.o.Step
	r.read[name], err = copied.Read(ctx, o, least)
	return err
}

// believe opens what was read: the custodian must open its sheet, the objects must have
// been written under its key, and the records must have been sealed by it.
func (r *keyRestore) believe(ctx context.Context) (root [32]byte, err error) {
	custodian, err := r.n.custodianOf(r.n.cfg.Keys)
	if err != nil {
		return root, err
	}
	table, err := keytable.Peek(ctx, keytable.Options{Shelf: r.staged[keysShelf], Region: r.n.region(), Custodian: custodian})
	if err != nil {
		return root, err
	}
	defer func() { err = errors.Join(err, table.Close()) }()
	root = table.CopyKey()
	for _, name := range []string{keysShelf, erasuresShelf} {
		if err := r.read[name].Genuine(root); err != nil {
			return root, err
		}
	}
	if err := r.linked(table); err != nil {
		return root, err
	}
	ledger, err := subject.OpenShelfLedger(r.staged[erasuresShelf], func() error { return nil }, table, r.n.region())
	if err != nil {
		return root, fmt.Errorf("the copy of the erasure ledger: %w", err)
	}
	if r.report.Erasures, err = ledger.Len(); err != nil {
		return root, err
	}
	r.report.Counts, err = keytable.Count(r.staged[keysShelf])
	r.report.Number, r.report.Changed = r.read[keysShelf].Number(), r.read[keysShelf].Time()
	return root, err
}

// linked refuses another key table than that of the records, where they say which.
func (r *keyRestore) linked(keys store.Keys) error {
	link, err := r.n.recordShelf(linkShelf)
	if err != nil {
		return err
	}
	to, err := linked(link)
	if err != nil || to == nil {
		return err
	}
	secret, err := keys.Named(linkName)
	if err != nil {
		return err
	}
	if sum := linkTo(secret); subtle.ConstantTimeCompare(to, sum[:]) != 1 {
		return errors.New("the copy is of another key table than the one that these records were sealed by")
	}
	return nil
}

// putBack writes the ledger, then the table, which appears with its last commit. Then
// the copy begins anew from there, so that nobody goes on with the former database.
func (r *keyRestore) putBack(ctx context.Context, root [32]byte) error {
	if err := r.put(ctx, erasuresShelf, ""); err != nil {
		return err
	}
	if err := r.put(ctx, keysShelf, keytable.LastBucket); err != nil {
		return err
	}
	for _, name := range []string{erasuresShelf, keysShelf} {
		c, err := r.n.copyOf(name)
		if err == nil {
			err = c.Begin(ctx, root)
		}
		if err != nil {
			return fmt.Errorf("the key table is put back; its copy does not go on yet, and does when a node starts: %w", err)
		}
	}
	return nil
}

func (r *keyRestore) put(ctx context.Context, name string, last shelf.Bucket) error {
	to, err := r.n.shared.keys.Shelf(context.Background(), name)
	if err == nil {
		err = r.read[name].PutBack(ctx, to, last)
	}
	return err
}
