package dataplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/domicile-io/domicile/dataplane/backup"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// OfflineBackups is the repository of a node that does not run.
type OfflineBackups struct {
	cfg   BackupConfig
	repo  *backup.Repository
	close []func() error // the latest first
}

// OpenBackups opens a stopped node's repository for a use. It needs the key table,
// or its copy, and makes neither.
func OpenBackups(ctx context.Context, c Config, use backup.Use, log *slog.Logger) (*OfflineBackups, error) {
	if !c.Backup.taken() {
		return nil, errNoBackup
	}
	b := &OfflineBackups{cfg: c.Backup.withDefaults()}
	if err := b.open(ctx, c, use, log); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *OfflineBackups) open(ctx context.Context, c Config, use backup.Use, log *slog.Logger) error {
	if c.shared() {
		return b.openShared(ctx, c, use, log)
	}
	material, err := mtls.Load(c.TLS)
	if err != nil {
		return err
	}
	if c.Backup.S3 != nil { // its marks are those of whoever has data_dir
		unlock, err := lockData(c.DataDir)
		if err != nil {
			return err
		}
		b.atLast(func() error { unlock(); return nil })
	}
	o, door, end, err := c.offlineKeyring(log)
	if err != nil {
		return err
	}
	b.atLast(func() error { end(); return nil })
	o.Existing, o.RotateEvery = true, 0
	keys, err := local.OpenKeyring(o)
	if err != nil {
		return fmt.Errorf("open keyring: %w", err)
	}
	b.atLast(keys.Close)
	place, release, err := c.offlinePlace(door, policy.RegionID(c.Region))
	if err != nil {
		return err
	}
	b.atLast(release)
	b.repo, err = backup.Open(ctx, backup.Options{Place: place, Region: policy.RegionID(c.Region), Cluster: material.Identity.Cluster, Keys: keys, Logger: log}, use)
	if err != nil {
		return err
	}
	b.atLast(b.repo.Close)
	return nil
}

// openShared is open for a region whose nodes share its databases. Others may run:
// whoever changes something has the lease that they have.
func (b *OfflineBackups) openShared(ctx context.Context, c Config, use backup.Use, log *slog.Logger) error {
	unlock, err := lockData(c.DataDir)
	if err != nil {
		return err
	}
	b.atLast(func() error { unlock(); return nil })
	n, err := c.offlineNode(log)
	if err != nil {
		return err
	}
	b.atLast(func() error { return n.shut(context.WithoutCancel(ctx)) })
	keys, err := n.offlineTable()
	if err != nil {
		return err
	}
	place, release, err := c.offlinePlace(n.door, n.region())
	if err != nil {
		return err
	}
	b.atLast(release)
	if use != backup.Read {
		held, release, err := (&backups{node: n}).alone(ctx)
		if err != nil {
			return err
		}
		b.atLast(func() error { release(); return nil })
		ctx = held
	}
	b.repo, err = backup.Open(ctx, backup.Options{Place: place, Region: n.region(), Cluster: n.material.Identity.Cluster, Keys: keys, Logger: log}, use)
	if err != nil {
		return err
	}
	b.atLast(b.repo.Close)
	return nil
}

func (b *OfflineBackups) atLast(f func() error) { b.close = append([]func() error{f}, b.close...) }

// List lists the snapshots.
func (b *OfflineBackups) List(ctx context.Context) (BackupList, error) {
	return listBackups(ctx, b.repo)
}

// Verify reads every byte of a snapshot, or of all.
func (b *OfflineBackups) Verify(ctx context.Context, id string, tell backup.Progress) (backup.Verified, error) {
	return b.repo.Verify(ctx, id, tell)
}

// Prune keeps the newest snapshots; 0 is as many as the configuration says.
func (b *OfflineBackups) Prune(ctx context.Context, keep int, dry bool) (backup.Pruned, error) {
	if keep == 0 {
		keep = max(b.cfg.Keep, 1)
	}
	return b.repo.Prune(ctx, keep, dry)
}

// Close closes the repository, the keyring, and what both reached.
func (b *OfflineBackups) Close() (err error) {
	for _, f := range b.close {
		err = errors.Join(err, f())
	}
	b.close = nil
	return err
}
