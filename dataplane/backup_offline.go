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
	close func() error
}

// OpenBackups opens a stopped node's repository ("" is the configured one). It
// needs the key table, or its copy, and makes neither.
func OpenBackups(c Config, folder string, log *slog.Logger) (*OfflineBackups, error) {
	if folder == "" {
		folder = c.Backup.Folder
	}
	if folder == "" {
		return nil, errNoBackup
	}
	material, err := mtls.Load(c.TLS)
	if err != nil {
		return nil, err
	}
	o, end, err := c.offlineKeyring(log)
	if err != nil {
		return nil, err
	}
	o.Existing, o.RotateEvery = true, 0
	keys, err := local.OpenKeyring(o)
	if err != nil {
		end()
		return nil, fmt.Errorf("open keyring: %w", err)
	}
	shut := func() error { err := keys.Close(); end(); return err }
	repo, err := backup.Open(backup.Options{Folder: folder, Region: policy.RegionID(c.Region), Cluster: material.Identity.Cluster, Keys: keys, Logger: log}, false)
	if err != nil {
		return nil, errors.Join(err, shut())
	}
	return &OfflineBackups{cfg: c.Backup.withDefaults(), repo: repo, close: func() error { return errors.Join(repo.Close(), shut()) }}, nil
}

// List lists the snapshots.
func (b *OfflineBackups) List() (BackupList, error) { return listBackups(b.repo, b.cfg.Folder) }

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

// Close closes the repository and the keyring.
func (b *OfflineBackups) Close() error { return b.close() }
