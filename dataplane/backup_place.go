package dataplane

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/aws"
	"github.com/domicile-io/domicile/dataplane/backup"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/policy"
)

// place is where the node's backups are. Each user has one of its own.
func (b *backups) place() backup.Place {
	if b.bucket == nil {
		return backup.NewFolder(b.cfg.Folder)
	}
	return aws.NewPlace(aws.PlaceOptions{Bucket: b.bucket.s3, Owner: b.remembered.Owner, Spool: b.node.cfg.DataDir, Verify: b.bucket.verify})
}

// openBackupBucket prepares the bucket of the backups. It is asked where it is before
// each use, and hourly; the node starts also while it is away.
func (b *backups) openBackupBucket() error {
	violations := b.node.violationsIn(prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "domicile_region_backup_violation",
		Help: "1 while the bucket of the backups is against the rules: then it takes nothing in."}, []string{"category"}))
	if b.cfg.S3 == nil {
		return nil
	}
	s3, err := openS3(*b.cfg.S3, "backup.s3", b.node.door, policy.Backup, b.node.region())
	if err != nil {
		return err
	}
	b.bucket = &bucket{node: b.node, s3: s3, of: "backups", violations: violations}
	b.node.buckets = append(b.node.buckets, b.bucket)
	b.node.onClose("bucket of backups", func(context.Context) error { return s3.Close() })
	if b.remembered.Owner == "" {
		b.remembered.Owner = rand.Text()
		return b.memory().keep(b.remembered)
	}
	return nil
}

// offlinePlace is where the backups are of a node that does not run, and how its place is
// let go.
func (c Config) offlinePlace(door *egress.Door, region policy.RegionID) (backup.Place, func() error, error) {
	if c.Backup.S3 == nil {
		return backup.NewFolder(c.Backup.Folder), func() error { return nil }, nil
	}
	s3, err := openS3(*c.Backup.S3, "backup.s3", door, policy.Backup, region)
	if err != nil {
		return nil, nil, err
	}
	k, err := memory{dataDir: c.DataDir}.read()
	if err != nil {
		return nil, nil, errors.Join(err, s3.Close())
	}
	if k.Owner == "" {
		k.Owner = rand.Text()
	}
	return aws.NewPlace(aws.PlaceOptions{Bucket: s3, Owner: k.Owner, Spool: c.DataDir}), s3.Close, nil
}
