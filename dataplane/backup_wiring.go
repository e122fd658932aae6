package dataplane

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/backup"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/store"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	sqlstore "github.com/domicile-io/domicile/dataplane/store/sql"
	"github.com/domicile-io/domicile/dataplane/subject"
)

const (
	backupScratch = "backup.tmp" // in data_dir: a moment's hard links while a snapshot is taken
	backupRetry   = time.Minute
	leasePatience = 5 * time.Second // of an administrator, while another node works on the backups
)

// backups takes the node's snapshots and writes its notes, if the configuration says
// where.
type backups struct {
	node       *Node
	cfg        BackupConfig
	bucket     *bucket // nil: a folder
	notebook   *backup.Notebook
	started    time.Time
	remembered known // as it was when the node started

	link   shelf.Shelf // of the region's database; nil: a region of one node
	source struct {    // set while the node starts, before anything runs
		records *localstore.Store
		rows    *sqlstore.Store // instead
		blobs   store.Blobs     // in a folder, or a bucket
		late    []backup.Input
		ledger  copiedLedger
	}

	working sync.Mutex    // one snapshot, verification or prune at a time
	turn    chan struct{} // held by whoever writes a note or the ledger's copy
	known   atomic.Value
	newest  atomic.Int64 // Unix seconds; 0 none
	failing atomic.Bool
	damaged atomic.Uint64
	unnoted prometheus.Counter
	soon    chan struct{}
}

// copiedLedger is an erasure ledger that has a copy beside the backups.
type copiedLedger interface {
	AfterAppend(f func())
	CopyTo(at subject.LedgerCopy) (uint64, error)
	CopyAppended(at subject.LedgerCopy) error
}

// openBackups prepares the backups; nothing is looked at yet, because a node
// starts also while the disk, or the bucket, of its backups is away.
func (n *Node) openBackups(Options) error {
	b := &backups{node: n, cfg: n.cfg.Backup, started: time.Now(), soon: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
	b.unnoted = prometheus.NewCounter(prometheus.CounterOpts{Name: "domicile_region_backup_unnoted_total",
		Help: "Times that keys were destroyed while the backups could not be told what was sealed anew: the snapshots of before lack it."})
	b.register(n.registry)
	n.backups = b
	var err error
	if n.shared != nil {
		if b.link, err = n.recordShelf(linkShelf); err != nil {
			return err
		}
	}
	if b.remembered, err = b.memory().read(); err != nil {
		return err
	}
	if err := b.openBackupBucket(); err != nil || !b.cfg.taken() {
		return err
	}
	b.known.Store(b.remembered.Repository)
	b.notebook, err = backup.NewNotebook(b.options())
	return err
}

func (b *backups) register(r prometheus.Registerer) {
	gauge := func(name, help string, value func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	r.MustRegister(b.unnoted)
	gauge("domicile_region_backup_age_seconds", "Age of the newest snapshot of this node; while there is none, time since the node started; -1 without backups.", func() float64 {
		if !b.cfg.taken() {
			return -1
		}
		if at := b.newest.Load(); at != 0 {
			return time.Since(time.Unix(at, 0)).Seconds()
		}
		return time.Since(b.started).Seconds()
	})
	gauge("domicile_region_backup_failing", "1 while the latest snapshot or verification has failed; the log says why.", func() float64 {
		if b.failing.Load() {
			return 1
		}
		return 0
	})
	gauge("domicile_region_backup_damaged", "Files of the repository that the latest verification found missing or changed.", func() float64 { return float64(b.damaged.Load()) })
}

func (b *backups) memory() memory { return memory{b.node.cfg.DataDir, b.link} }

// repository is the id of the region's repository, "" when it has none yet. Of several
// nodes another may have made it.
func (b *backups) repository() (string, error) {
	if b.link != nil {
		k, err := b.memory().read()
		if err != nil {
			return "", err
		}
		b.known.Store(k.Repository)
	}
	id, _ := b.known.Load().(string)
	return id, nil
}

func (b *backups) options() backup.Options {
	known, _ := b.known.Load().(string)
	return backup.Options{Place: b.place(), Shared: b.link != nil, Region: b.node.region(), Cluster: b.node.material.Identity.Cluster, Keys: b.node.keys, Known: known, GivenUp: b.remembered.GivenUp, Logger: b.node.log}
}

// startBackups begins the schedule; everything that is copied is open by now.
func (n *Node) startBackups() {
	b := n.backups
	if !b.cfg.taken() {
		return
	}
	if b.source.ledger != nil {
		b.source.ledger.AfterAppend(b.copyLedger)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); b.run(ctx) }()
	n.onClose("backups", func(context.Context) error {
		cancel()
		<-ended
		b.working.Lock() // what an administrator asked for has ended by then
		defer b.working.Unlock()
		return nil
	})
}

// run takes snapshots on schedule, and sooner when a note could not be written.
func (b *backups) run(ctx context.Context) {
	if list, err := b.list(ctx); err == nil {
		b.seen(list)
	}
	verified := time.Now()
	for ctx.Err() == nil {
		due := time.Until(time.Unix(b.newest.Load(), 0).Add(b.cfg.Interval))
		if b.failing.Load() {
			due = min(backupRetry, b.cfg.Interval)
		}
		timer := time.NewTimer(max(0, due))
		asked := false
		select {
		case <-timer.C:
		case <-b.soon:
			timer.Stop()
			asked = true
		case <-ctx.Done():
			timer.Stop()
			return
		}
		if err := b.inTurn(ctx, asked); err != nil && ctx.Err() == nil {
			b.node.log.Error("a backup failed", "cause", err, "next", "docs/operations/region-backup.md")
			continue
		}
		if time.Since(verified) >= b.cfg.VerifyEvery {
			if _, err := b.verify(ctx, "", nil); err != nil && ctx.Err() == nil {
				b.node.log.Error("a backup is not whole", "cause", err, "next", "docs/operations/region-backup.md")
			}
			verified = time.Now()
		}
	}
}

// inTurn takes the snapshot that is due, unless another node of the region has.
func (b *backups) inTurn(ctx context.Context, asked bool) error {
	ctx, release, err := b.node.leases.Hold(ctx, lease.Backups)
	if err != nil {
		return err
	}
	defer release()
	if !asked && b.node.shared != nil {
		if list, err := b.list(ctx); err == nil {
			b.seen(list)
		}
		if time.Until(time.Unix(b.newest.Load(), 0).Add(b.cfg.Interval)) > 0 {
			b.failing.Store(false)
			return nil
		}
	}
	_, err = b.take(ctx, backup.CreateOptions{})
	return err
}

// alone waits a little until no other node of the region works on the backups.
func (b *backups) alone(ctx context.Context) (held context.Context, release func(), err error) {
	asking, giveUp := context.WithCancel(ctx)
	patience := time.AfterFunc(leasePatience, giveUp)
	held, back, err := b.node.leases.Hold(asking, lease.Backups)
	if patience.Stop() && err == nil {
		return held, func() { back(); giveUp() }, nil
	}
	if err == nil { // it was given too late
		back()
	}
	giveUp()
	return nil, nil, errors.Join(ctx.Err(), errBackupBusy)
}

// seen takes the age from the newest snapshot that can be restored.
func (b *backups) seen(l BackupList) {
	for _, s := range slices.Backward(l.Snapshots) {
		if !slices.Contains(l.GivenUp, s.ID) {
			b.newest.Store(s.Began.Unix())
			return
		}
	}
}

var errBackupBusy = errors.New("a snapshot is being taken, or the backups are being verified; try again when that has ended")

// with opens the repository for one piece of work.
func (b *backups) with(ctx context.Context, use backup.Use, do func(*backup.Repository) error) error {
	if !b.cfg.taken() {
		return errNoBackup
	}
	if !b.working.TryLock() {
		return errBackupBusy
	}
	defer b.working.Unlock()
	if _, err := b.repository(); err != nil {
		return err
	}
	r, err := backup.Open(ctx, b.options(), use)
	if err != nil {
		return err
	}
	if b.known.Load() != r.ID() {
		err = b.memory().keep(known{Repository: r.ID(), GivenUp: b.remembered.GivenUp, Owner: b.remembered.Owner})
		b.known.Store(r.ID())
	}
	if err == nil {
		err = do(r)
	}
	return errors.Join(err, r.Close())
}

// create takes a snapshot when an administrator asks for it.
func (b *backups) create(ctx context.Context, o backup.CreateOptions) (head backup.Snapshot, err error) {
	if !b.cfg.taken() {
		return head, errNoBackup
	}
	ctx, release, err := b.alone(ctx)
	if err != nil {
		return head, err
	}
	defer release()
	return b.take(ctx, o)
}

// take takes a snapshot and removes those that are too many.
func (b *backups) take(ctx context.Context, o backup.CreateOptions) (head backup.Snapshot, err error) {
	err = b.with(ctx, backup.Make, func(r *backup.Repository) (err error) {
		if head, err = r.Create(ctx, b.sources(), o); err != nil {
			return err
		}
		b.newest.Store(head.Began.Unix())
		_, err = r.Prune(ctx, b.cfg.Keep, false)
		return err
	})
	if !errors.Is(err, errBackupBusy) && ctx.Err() == nil {
		b.failing.Store(err != nil)
	}
	if err == nil {
		b.node.log.Info("a backup was taken", "snapshot", head.ID, "files", head.Files, "bytes", head.Bytes, "copied", head.Copied)
	}
	return head, err
}

func (b *backups) sources() backup.Source {
	dir := b.node.cfg.DataDir
	src := backup.Source{Blobs: b.source.blobs, Late: slices.Clone(b.source.late), KeyGeneration: b.node.keyring.Status().Generation, Schema: localstore.Schema}
	if b.source.ledger != nil {
		src.Erasures = func(at *backup.LedgerCopy) (uint64, error) { return b.source.ledger.CopyTo(at) }
	}
	if b.source.rows != nil { // what crossed each node's connections stays with the node
		src.Rows, src.Size = everyRow(b.source.rows), b.source.rows.Size()
	} else {
		src.Records, src.Scratch = b.source.records.Checkpoint, filepath.Join(dir, backupScratch)
		src.Late = append(src.Late, backup.FileInput(backup.Egress, filepath.Join(dir, ledgerDir), egress.LedgerFile))
	}
	receipts, _ := os.ReadDir(filepath.Join(dir, purgesDir)) // none, before the first
	for _, e := range receipts {
		if filepath.Ext(e.Name()) == ".json" {
			src.Early = append(src.Early, backup.FileInput(backup.Purges, filepath.Join(dir, purgesDir), e.Name()))
		}
	}
	return src
}

// add names a file of exports that is copied as it is at one moment.
func (b *backups) add(name string, snapshot func(io.Writer) error) {
	b.source.late = append(b.source.late, backup.Input{Part: backup.Exports, Name: name, Copy: snapshot})
}

func (b *backups) verify(ctx context.Context, id string, tell backup.Progress) (v backup.Verified, err error) {
	ctx, release, err := b.alone(ctx)
	if err != nil {
		return v, err
	}
	defer release()
	err = b.with(ctx, backup.Read, func(r *backup.Repository) (err error) { v, err = r.Verify(ctx, id, tell); return err })
	if err == nil || errors.Is(err, backup.ErrDamaged) {
		b.damaged.Store(v.Damaged)
		b.failing.Store(err != nil)
	}
	return v, err
}

func (b *backups) list(ctx context.Context) (out BackupList, err error) {
	err = b.with(ctx, backup.Read, func(r *backup.Repository) (err error) { out, err = listBackups(ctx, r); return err })
	return out, err
}

func listBackups(ctx context.Context, r *backup.Repository) (out BackupList, err error) {
	out = BackupList{Place: r.Place(), ID: r.ID()}
	if out.GivenUp, err = r.GivenUp(ctx); err != nil {
		return out, err
	}
	out.Snapshots, err = r.Snapshots(ctx)
	return out, err
}

func (b *backups) prune(ctx context.Context, keep int, dry bool) (out backup.Pruned, err error) {
	if keep == 0 {
		keep = b.cfg.Keep
	}
	ctx, release, err := b.alone(ctx)
	if err != nil {
		return out, err
	}
	defer release()
	err = b.with(ctx, backup.Write, func(r *backup.Repository) (err error) { out, err = r.Prune(ctx, keep, dry); return err })
	return out, err
}
