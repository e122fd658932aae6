package dataplane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/domicile-io/domicile/dataplane/backup"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/kernel"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// lock makes sure that the node does not run.
func (r *restoring) lock() (func(), error) {
	return lockData(r.cfg.DataDir)
}

// lockData takes what a running node has.
func lockData(dir string) (func(), error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := kernel.Lock(f); err != nil {
		return nil, errors.Join(fmt.Errorf("the node runs; stop it first: %w", err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// stored are the folders of data_dir that a restore brings.
func stored() []string { return []string{mediaDir, exportsDir, ledgerDir, purgesDir, recordsDir} }

// empty refuses to overwrite anything.
func (r *restoring) empty() error {
	for _, dir := range stored() {
		if dir == ledgerDir {
			continue // joined, never overwritten
		}
		entries, err := os.ReadDir(filepath.Join(r.cfg.DataDir, dir))
		if err == nil && len(entries) > 0 {
			return fmt.Errorf("data_dir is not empty: %s is there. Nothing is overwritten: move it away, keep it, and leave keys and erasures where they are", dir)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// openKeys opens the key table, from its copy when it is lost here. It never
// makes a new one.
func (r *restoring) openKeys() error {
	material, err := mtls.Load(r.cfg.TLS)
	if err != nil {
		return err
	}
	r.region, r.cluster = policy.RegionID(r.cfg.Region), material.Identity.Cluster
	if material.Identity.Region != r.region {
		return fmt.Errorf("the certificate is of region %s and the configuration says %s", material.Identity.Region, r.region)
	}
	o, door, end, err := r.cfg.offlineKeyring(r.o.Logger)
	if err != nil {
		return err
	}
	r.door = door
	o.Existing, o.RotateEvery = true, 0
	keys, err := local.OpenKeyring(o)
	if err != nil {
		end()
		return fmt.Errorf("the key table is needed, or its copy (keys.copy); no backup holds it: %w", err)
	}
	r.keys, r.end = keys, func() { _ = keys.Close(); end() }
	return nil
}

// from is where the repository is.
func (r *restoring) from() (backup.Place, func() error, error) {
	if r.o.From != "" {
		return backup.NewFolder(r.o.From), func() error { return nil }, nil
	}
	return r.cfg.offlinePlace(r.door, r.region)
}

// repository opens where the snapshot is, and where its recordings go.
func (r *restoring) repository(ctx context.Context) (repo *backup.Repository, blobs store.Blobs, release func(), err error) {
	place, leave, err := r.from()
	if err != nil {
		return nil, nil, nil, err
	}
	repo, err = backup.Open(ctx, backup.Options{Place: place, Region: r.region, Cluster: r.cluster, Keys: r.keys, Logger: r.o.Logger, Step: r.o.Step}, backup.Read)
	if err != nil {
		return nil, nil, nil, errors.Join(err, leave())
	}
	blobs, end, err := r.blobs(ctx)
	if err != nil {
		return nil, nil, nil, errors.Join(err, repo.Close(), leave())
	}
	return repo, blobs, func() { _, _, _ = end(), repo.Close(), leave() }, nil
}

// blobs is the bucket of recordings, once it is known to be of this region, or the
// folder that nodes share; nil when they lie in data_dir.
func (r *restoring) blobs(ctx context.Context) (b store.Blobs, release func() error, err error) {
	if r.cfg.shared() && r.cfg.Media.Folder != "" {
		folder, err := local.OpenBlobs(r.cfg.Media.Folder)
		if err != nil {
			return nil, nil, err
		}
		return folder, folder.Close, nil
	}
	if r.cfg.Media.S3 == nil {
		return nil, func() error { return nil }, nil
	}
	s3, err := openS3(*r.cfg.Media.S3, "media.s3", r.door, policy.LocalStore, r.region)
	if err != nil {
		return nil, nil, err
	}
	v, err := s3.Verify(ctx, "")
	if v != nil {
		err = s3.Healthy()
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("the bucket of recordings: %w", err), s3.Close())
	}
	return s3, s3.Close, nil
}
