package dataplane

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/domicile-io/domicile/dataplane/aws"
	"github.com/domicile-io/domicile/dataplane/backup"
)

// BackupConfig is the section `backup` of a node's configuration. Without a
// folder or a bucket there are no backups.
type BackupConfig struct {
	Folder      string        `yaml:"folder"`       // of the repository: on another disk of the region, this node's alone; with store.kind sql one that every node mounts
	S3          *aws.S3Config `yaml:"s3"`           // instead: a bucket in the region, this node's alone, or this region's nodes'
	Interval    time.Duration `yaml:"interval"`     // from one snapshot to the next; default 1h
	Keep        int           `yaml:"keep"`         // newest snapshots that stay; default 48
	VerifyEvery time.Duration `yaml:"verify_every"` // from one reading of every byte to the next; default 168h
}

const (
	defaultBackupInterval = time.Hour
	minBackupInterval     = time.Minute
	defaultBackupKeep     = 48
	defaultVerifyEvery    = 7 * 24 * time.Hour
)

// Check names every setting that is malformed.
func (c BackupConfig) Check(dataDir string) error {
	var bad []error
	if !c.taken() {
		if c != (BackupConfig{}) {
			bad = append(bad, errors.New("backup.folder: give the folder of the repository, on another disk of this region; or a bucket, backup.s3"))
		}
		return errors.Join(bad...)
	}
	if c.S3 != nil {
		bad = append(bad, c.S3.Check("backup.s3"))
	}
	switch {
	case c.S3 != nil && c.Folder != "":
		bad = append(bad, errors.New("backup: give one of folder and s3"))
	case c.S3 != nil:
	case !filepath.IsAbs(c.Folder) || within(c.Folder, dataDir) || within(dataDir, c.Folder):
		bad = append(bad, errors.New("backup.folder: give an absolute path outside of data_dir, on another disk of this region"))
	}
	if c.Interval < 0 || c.Interval > 0 && c.Interval < minBackupInterval {
		bad = append(bad, fmt.Errorf("backup.interval: give a duration from %s up", minBackupInterval))
	}
	if c.Keep < 0 || c.VerifyEvery < 0 {
		bad = append(bad, errors.New("backup.keep and backup.verify_every must not be negative"))
	}
	return errors.Join(bad...)
}

// within reports whether a path is a folder or below it.
func within(path, folder string) bool {
	a, errA := filepath.Abs(path)
	b, errB := filepath.Abs(folder)
	return errors.Join(errA, errB) == nil && (a == b || strings.HasPrefix(a, b+string(filepath.Separator)))
}

// taken reports whether there are backups.
func (c BackupConfig) taken() bool { return c.Folder != "" || c.S3 != nil }

func (c BackupConfig) withDefaults() BackupConfig {
	if !c.taken() {
		return c
	}
	if c.Interval == 0 {
		c.Interval = defaultBackupInterval
	}
	if c.Keep == 0 {
		c.Keep = defaultBackupKeep
	}
	if c.VerifyEvery == 0 {
		c.VerifyEvery = defaultVerifyEvery
	}
	return c
}

// errNoBackup is the refusal of a node without a repository.
var errNoBackup = errors.New("this node takes no backups: give backup.folder or backup.s3 in its configuration")

// BackupList is a repository as `backup list` shows it.
type BackupList struct {
	Place     string            `json:"place"`
	ID        string            `json:"repository"`
	Snapshots []backup.Snapshot `json:"snapshots"`
	GivenUp   []string          `json:"given_up"` // ids of those that cannot be restored any more
}
