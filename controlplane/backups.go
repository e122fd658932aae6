package controlplane

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/controlplane/backup"
)

// Backup configures backups of the control plane's state.
type Backup struct {
	Recipients []string      `yaml:"recipients"` // age public keys (age1…) that every backup of this voter is encrypted to
	Folder     string        `yaml:"folder"`     // scheduled backups go here; "" none. Recipients are then required
	Interval   time.Duration `yaml:"interval"`   // between scheduled ones, at least 1m; 0: 1h
	Keep       int           `yaml:"keep"`       // the newest ones in the folder; 0: 48
}

const (
	defaultBackupInterval = time.Hour
	defaultBackupKeep     = 48
)

// check names every key that is bad.
func (b *Backup) check(require func(ok bool, key, why string)) {
	if b == nil {
		return
	}
	if len(b.Recipients) > 0 || b.Folder != "" {
		err := backup.CheckRecipients(b.Recipients)
		require(err == nil, "backup.recipients", fmt.Sprint(err))
	}
	require(b.Interval == 0 || b.Interval >= time.Minute, "backup.interval", "must be at least 1m")
	require(b.Keep >= 0, "backup.keep", "must be 1 or more, or left out")
}

// scheduleBackups begins to take backups, when the configuration says so.
// It gives what takes them; nil when there is no folder.
func (p *Plane) scheduleBackups(ctx context.Context, b *Backup, metrics prometheus.Registerer) (*backup.Schedule, error) {
	if b == nil || b.Folder == "" {
		return nil, nil
	}
	o := backup.ScheduleOptions{Folder: b.Folder, Interval: b.Interval, Keep: b.Keep, Take: p.server.Backup, Logger: p.log, Metrics: metrics}
	if o.Interval == 0 {
		o.Interval = defaultBackupInterval
	}
	if o.Keep == 0 {
		o.Keep = defaultBackupKeep
	}
	s, err := backup.NewSchedule(o)
	if err != nil {
		return nil, err
	}
	p.wait.Add(1)
	go func() { defer p.wait.Done(); s.Run(ctx) }()
	return s, nil
}
