package dataplane

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/domicile-io/domicile/dataplane/backup"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/export"
	"github.com/domicile-io/domicile/dataplane/peer"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/shelf/bolt"
	"github.com/domicile-io/domicile/dataplane/store"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/subject"
	"github.com/domicile-io/domicile/policy"
)

const (
	restoreDir   = "restore.tmp"   // in data_dir: what a restore has not put in place yet
	restoreReady = "ready"         // in it: everything is whole, and only needs its place
	restoredFile = "restored.json" // in data_dir: the report of the last restore
)

// RestoreOptions of Restore. The zero value restores the newest snapshot of the
// configured repository.
type RestoreOptions struct {
	From     string // folder of the repository; "" is backup.folder, or backup.s3
	Snapshot string // id; "" the newest
	Ledger   string // a further copy of the erasure ledger: a folder, or the file
	Progress backup.Progress
	Logger   *slog.Logger // nil: slog.Default()

	Step func(point string) error // tests crash in it
}

// RestoreReport says what was put back, and what was not and why.
type RestoreReport struct {
	Snapshot backup.Snapshot          `json:"snapshot"`
	Behind   *backup.GivenUp          `json:"behind,omitempty"` // newer snapshots, which cannot be restored once the node has noted anything
	Restored time.Time                `json:"restored"`
	Store    localstore.PutBackReport `json:"records"`
	Notes    uint64                   `json:"notes"`    // of after the snapshot that were read
	Erasures uint64                   `json:"erasures"` // entries of the ledger; the node applies what the records lack before it shows anything
	Later    uint64                   `json:"erasures_after_snapshot"`
	Ledger   string                   `json:"ledger"`   // which copy of it was used
	Exports  export.PutBackReport     `json:"exports"`  // transfers that wait are judged anew or given up
	Received uint64                   `json:"received"` // received rows that were deleted since
}

// errHalfRestored stops a node whose restore was cut short.
var errHalfRestored = errors.New("a restore of this node was cut short: run `domicile-dataplane restore` again, it goes on or begins anew")

// checkRestored refuses to start on half a restore.
func (n *Node) checkRestored(Options) error {
	if _, err := os.Stat(filepath.Join(n.cfg.DataDir, restoreDir)); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, errHalfRestored)
	}
	return nil
}

// Restore puts a stopped node's stored data back from a snapshot. The node's key
// table must be there, or its copy; data_dir must hold nothing else that was
// stored. Everything is written and checked beside, and put in place at the end:
// after an error or a crash before that nothing is restored. Erasures of the
// ledger that the snapshot lacks are applied when the node starts, before it
// shows anything.
func Restore(ctx context.Context, cfg Config, o RestoreOptions) (RestoreReport, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	r := &restoring{cfg: cfg, o: o, dir: filepath.Join(cfg.DataDir, restoreDir)}
	if err := r.run(ctx); err != nil {
		return RestoreReport{}, fmt.Errorf("restore: %w", err)
	}
	return r.report, nil
}

// restoring is one restore.
type restoring struct {
	cfg     Config
	o       RestoreOptions
	dir     string
	keys    keyTable
	cluster string
	region  policy.RegionID
	report  RestoreReport
	door    *egress.Door // nil: nothing is reached over the network
	end     func()
}

func (r *restoring) run(ctx context.Context) error {
	if r.o.From == "" && !r.cfg.Backup.taken() {
		return errors.New("give backup.folder or backup.s3 in the configuration, or --from")
	}
	unlock, err := r.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if r.cfg.shared() {
		return r.intoDatabase(ctx)
	}
	if _, err := os.Stat(filepath.Join(r.dir, restoreReady)); err == nil {
		return r.place() // cut short while it was put in place
	}
	if err := r.empty(); err != nil {
		return err
	}
	if err := r.openKeys(); err != nil {
		return err
	}
	end := sync.OnceFunc(r.end)
	defer end()
	if err := errors.Join(os.RemoveAll(r.dir), os.Mkdir(r.dir, 0o700)); err != nil {
		return err
	}
	err = r.prepare(ctx)
	end() // what was counted of its connections is in the ledger that is put in place
	if err == nil {
		err = r.place()
	}
	if err != nil && ctx.Err() == nil {
		if _, ready := os.Stat(filepath.Join(r.dir, restoreReady)); ready != nil {
			err = errors.Join(err, os.RemoveAll(r.dir)) // nothing was put in place
		}
	}
	return err
}

// prepare makes everything ready in restoreDir.
func (r *restoring) prepare(ctx context.Context) error {
	repo, blobs, release, err := r.repository(ctx)
	if err != nil {
		return err
	}
	defer release()
	r.report.Snapshot, err = repo.Extract(ctx, r.o.Snapshot, backup.Target{Folder: r.dir, Blobs: blobs}, r.o.Progress)
	if err != nil {
		return err
	}
	if err := r.comparable(r.report.Snapshot); err != nil {
		return err
	}
	intents, err := r.ledger(repo.Ledger(ctx))
	if err != nil {
		return err
	}
	notes, err := r.since(ctx, repo)
	if err != nil {
		return err
	}
	if err := r.records(ctx, intents, notes[backup.StoreRows]); err != nil {
		return err
	}
	if err := r.exports(intents, notes); err != nil {
		return err
	}
	if err := r.step("prepared"); err != nil {
		return err
	}
	return r.ready()
}

// since reports what the snapshot, which is extracted, leaves behind, and reads what
// was noted after it.
func (r *restoring) since(ctx context.Context, repo *backup.Repository) (map[backup.NoteKind][]backup.Note, error) {
	head := r.report.Snapshot
	r.report.Restored = time.Now().UTC().Truncate(time.Second)
	behind, err := repo.Behind(ctx, head)
	if err != nil {
		return nil, err
	}
	if behind.After < behind.Until {
		r.report.Behind = &behind
	}
	notes := map[backup.NoteKind][]backup.Note{}
	err = repo.Notes(ctx, head.Notes, func(n backup.Note) error {
		r.report.Notes++
		notes[n.Kind] = append(notes[n.Kind], n)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", backup.ErrDamaged, err)
	}
	return notes, nil
}

func (r *restoring) step(point string) error {
	if r.o.Step == nil {
		return nil
	}
	return r.o.Step(point)
}

// comparable refuses what this program or this key table cannot make sense of.
func (r *restoring) comparable(head backup.Snapshot) error {
	if head.Schema > localstore.Schema {
		return fmt.Errorf("the snapshot's records are of schema %d and this program reads up to %d: use the version that wrote it (%.40q)", head.Schema, localstore.Schema, head.Program)
	}
	if have := r.keys.Status().Generation; have < head.KeyGeneration {
		return fmt.Errorf("the key table is of generation %d and the snapshot of generation %d: this table is older than the backup; put back its newer copy (docs/operations/keys.md)", have, head.KeyGeneration)
	}
	return nil
}

// ledger finds the erasure ledger, and puts it where the node looks for it.
func (r *restoring) ledger(beside *backup.LedgerCopy) ([]subject.Intent, error) {
	here := filepath.Join(r.cfg.DataDir, erasuresDir)
	intents, raw, err := r.chooseLedger(subject.LedgerFolder(here), beside)
	if err != nil {
		return nil, err
	}
	return intents, subject.PutLedger(here, raw)
}

// chooseLedger takes the longest of the ledger's copies.
func (r *restoring) chooseLedger(places ...subject.LedgerCopy) (intents []subject.Intent, whole []byte, err error) {
	if r.o.Ledger != "" {
		if _, err := os.Stat(r.o.Ledger); err != nil {
			return nil, nil, fmt.Errorf("read the erasure ledger: %w", err)
		}
		places = append(places, subject.LedgerFolder(r.o.Ledger))
	}
	raw, intents, from, err := subject.ChooseLedger(r.keys, r.region, places...)
	if err != nil {
		return nil, nil, err
	}
	n := uint64(len(intents))
	if n < r.report.Snapshot.Erasures {
		return nil, nil, fmt.Errorf("the longest erasure ledger that was found (%s) has %d entries, and there were %d when the snapshot was taken: without the others nobody knows whom the restored store must not show. Give a newer copy with --ledger", from, n, r.report.Snapshot.Erasures)
	}
	r.report.Erasures, r.report.Later, r.report.Ledger = n, n-r.report.Snapshot.Erasures, from
	return intents, raw, nil
}

// records makes the record store consistent with what was destroyed since.
func (r *restoring) records(ctx context.Context, intents []subject.Intent, notes []backup.Note) (err error) {
	s, err := localstore.Open(localstore.Options{Dir: filepath.Join(r.dir, recordsDir), Region: r.region, Keys: r.keys, Logger: r.o.Logger})
	if err != nil {
		return fmt.Errorf("open the restored record store: %w", err)
	}
	return errors.Join(r.putBack(ctx, s, intents, notes), s.Close())
}

// putBack is records for a store that is open.
func (r *restoring) putBack(ctx context.Context, s putBackStore, intents []subject.Intent, notes []backup.Note) (err error) {
	p := localstore.PutBack{Ended: r.ended(), Forgotten: func(t policy.TenantID) (f store.Forgotten) {
		for _, in := range intents {
			if in.Tenant == t {
				f.Owners, f.Calls = append(f.Owners, in.Owners...), append(f.Calls, in.Calls...)
			}
		}
		return f
	}}
	for _, n := range notes {
		for _, row := range n.Rows {
			p.Notes = append(p.Notes, localstore.Row{Key: row.Key, Value: row.Value})
		}
	}
	r.report.Store, err = s.PutBack(ctx, p)
	if err == nil && r.report.Store.Unknown > 0 {
		err = fmt.Errorf("%d frames stand under keys that the key table never had: the table is older than the backup; put back its newer copy (docs/operations/keys.md)", r.report.Store.Unknown)
	}
	return err
}

// putBackStore is a record store that serves nobody.
type putBackStore interface {
	PutBack(context.Context, localstore.PutBack) (localstore.PutBackReport, error)
}

// ended lists the tenants whose end was carried out here.
func (r *restoring) ended() (out []policy.TenantID) {
	found, _ := filepath.Glob(filepath.Join(r.dir, purgesDir, "*.json"))
	if r.cfg.shared() { // receipts that this node has itself
		mine, _ := filepath.Glob(filepath.Join(r.cfg.DataDir, purgesDir, "*.json"))
		found = append(found, mine...)
	}
	for _, path := range found {
		raw, err := os.ReadFile(path)
		var k kept
		if err == nil && json.Unmarshal(raw, &k) == nil && policy.ValidID(policy.KindTenant, string(k.Receipt.Tenant)) && k.Receipt.Region == r.region {
			out = append(out, k.Receipt.Tenant)
		}
	}
	return out
}

// exports makes outbox and received rows consistent with what was erased since.
func (r *restoring) exports(intents []subject.Intent, notes map[backup.NoteKind][]backup.Note) error {
	dir := filepath.Join(r.dir, exportsDir)
	if _, err := os.Stat(filepath.Join(dir, "outbox.db")); err == nil {
		file, err := bolt.Open(filepath.Join(dir, "outbox.db"), export.Buckets())
		if err == nil {
			err = r.outbox(file, intents, notes[backup.BuriedRows])
		}
		if err != nil {
			return fmt.Errorf("open the restored outbox: %w", err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "received.db")); err == nil {
		file, err := bolt.Open(filepath.Join(dir, "received.db"), peer.Buckets())
		if err == nil {
			err = r.inbox(file, notes[backup.ReceivedRows])
		}
		if err != nil {
			return fmt.Errorf("open the restored received rows: %w", err)
		}
	}
	return nil
}

func (r *restoring) outbox(s shelf.Shelf, intents []subject.Intent, notes []backup.Note) (err error) {
	head := r.report.Snapshot
	p := export.PutBack{Erased: map[policy.TenantID]bool{}, Ended: r.ended(), At: r.report.Restored}
	for _, in := range intents { // one that was under way when the snapshot was taken counts as well
		if in.N > head.Erasures || in.Time.After(head.Began.Add(-24*time.Hour)) {
			p.Erased[in.Tenant] = true
		}
	}
	for _, n := range notes {
		p.Erased[n.Tenant] = true
		for _, row := range n.Rows {
			p.Tombstones = append(p.Tombstones, export.Tombstone{Key: row.Key, Value: row.Value})
		}
	}
	r.report.Exports, err = export.PutBackOutbox(s, p)
	return err
}

func (r *restoring) inbox(s shelf.Shelf, notes []backup.Note) (err error) {
	var gone []peer.Deletion
	for _, n := range notes {
		for _, row := range n.Rows {
			gone = append(gone, peer.Deletion{Stream: row.Key, Rows: row.Value})
		}
	}
	r.report.Received, err = peer.PutBackInbox(s, r.keys, r.region, gone, r.ended())
	return err
}

// ready says, durably, that everything is whole and only needs its place.
func (r *restoring) ready() error {
	raw, err := json.MarshalIndent(r.report, "", "  ")
	if err != nil {
		return err
	}
	for _, dir := range stored() {
		if err := syncFolder(filepath.Join(r.dir, dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return replaceDurably(filepath.Join(r.dir, restoreReady), append(raw, '\n'))
}

// place puts what is ready in its place. Cut short, the next restore goes on
// here; the node does not start before.
func (r *restoring) place() error {
	raw, err := os.ReadFile(filepath.Join(r.dir, restoreReady))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &r.report); err != nil {
		return fmt.Errorf("read what is ready: %w", err)
	}
	for _, dir := range stored() {
		if err := r.placeOne(filepath.Join(r.dir, dir), filepath.Join(r.cfg.DataDir, dir)); err != nil {
			return fmt.Errorf("put %s in place: %w", dir, err)
		}
		if err := r.step("placed " + dir); err != nil {
			return err
		}
	}
	if err := replaceDurably(filepath.Join(r.cfg.DataDir, restoredFile), raw); err != nil {
		return err
	}
	if err := (memory{dataDir: r.cfg.DataDir}).keep(r.known()); err != nil {
		return err
	}
	if err := os.RemoveAll(r.dir); err != nil {
		return err
	}
	return syncFolder(r.cfg.DataDir)
}

// known is which repository is the node's from now on.
func (r *restoring) known() known {
	k := known{GivenUp: r.report.Behind}
	if r.o.From == "" || r.o.From == r.cfg.Backup.Folder {
		k.Repository = r.report.Snapshot.Repository
	}
	return k
}

func (r *restoring) placeOne(from, to string) error {
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		return nil // in place already, or the snapshot has none
	} else if err != nil {
		return err
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		if filepath.Base(to) != ledgerDir {
			return err
		}
		return r.mergeLedger(from, to)
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncFolder(r.cfg.DataDir)
}

// mergeLedger joins the restored egress ledger and what was opened since, to
// reach the key service: the node's next start folds both.
func (r *restoring) mergeLedger(from, to string) error {
	was, err := os.ReadFile(filepath.Join(from, egress.LedgerFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	is, err := os.ReadFile(filepath.Join(to, egress.LedgerFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if i := bytes.LastIndexByte(was, '\n'); !bytes.HasPrefix(is, was[:i+1]) { // else it was joined before a crash
		if err := replaceDurably(filepath.Join(to, egress.LedgerFile), slices.Concat(was[:i+1], is)); err != nil {
			return err
		}
	}
	return os.RemoveAll(from)
}
