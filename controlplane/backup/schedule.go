package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ScheduleOptions of a schedule. All fields are required.
type ScheduleOptions struct {
	Folder   string        // made 0700 when missing
	Interval time.Duration // between backups
	Keep     int           // the newest ones of this folder; older ones are removed
	Take     func(context.Context, io.Writer) (Written, error)
	Logger   *slog.Logger
	Metrics  prometheus.Registerer
}

// retry is how soon a backup that failed is tried again, unless the interval is
// shorter.
const retry = time.Minute

// Schedule takes backups into a folder. Each is written beside, synced, read
// back and renamed, so that a file under its own name is whole.
type Schedule struct {
	o        ScheduleOptions
	taking   sync.Mutex   // one at a time: the schedule's own, or one that was asked for
	success  atomic.Int64 // Unix seconds of the newest backup; 0 none
	failing  atomic.Bool  // the latest try failed
	failures prometheus.Counter
}

var (
	fileForm    = regexp.MustCompile(`^domicile-([0-9]{8}T[0-9]{6}Z)-r[0-9]+\.backup$`)
	partPattern = "*.backup.part"
)

const fileTime = "20060102T150405Z"

// NewSchedule prepares the folder and looks for the newest backup in it.
func NewSchedule(o ScheduleOptions) (*Schedule, error) {
	if err := os.MkdirAll(o.Folder, 0o700); err != nil {
		return nil, fmt.Errorf("backup folder: %w", err)
	}
	s := &Schedule{o: o, failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "domicile_backup_failures_total",
		Help: "Scheduled backups that failed since this voter started; the log says why."})}
	left, err := filepath.Glob(filepath.Join(o.Folder, partPattern))
	if err != nil {
		return nil, fmt.Errorf("backup folder: %w", err)
	}
	for _, path := range left { // cut short by a crash
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove an unfinished backup: %w", err)
		}
	}
	names, err := s.list()
	if err != nil {
		return nil, err
	}
	if len(names) > 0 {
		at, err := time.Parse(fileTime, fileForm.FindStringSubmatch(names[len(names)-1])[1])
		if err == nil && at.Before(time.Now()) {
			s.success.Store(at.Unix())
		}
	}
	return s, s.register()
}

func (s *Schedule) register() error {
	for _, c := range []prometheus.Collector{s.failures,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "domicile_backup_last_success_age_seconds",
			Help: "Time since the newest scheduled backup of this voter; -1 while there is none."}, func() float64 {
			at := s.success.Load()
			if at == 0 {
				return -1
			}
			return time.Since(time.Unix(at, 0)).Seconds()
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "domicile_backup_failing",
			Help: "1 while the latest scheduled backup has failed: docs/operations/backup.md says what to do."}, func() float64 {
			if s.failing.Load() {
				return 1
			}
			return 0
		}),
	} {
		if err := s.o.Metrics.Register(c); err != nil {
			return fmt.Errorf("register metrics of backups: %w", err)
		}
	}
	return nil
}

// Run takes backups until ctx ends.
func (s *Schedule) Run(ctx context.Context) {
	for {
		wait := time.Until(time.Unix(s.success.Load(), 0).Add(s.o.Interval))
		if s.failing.Load() {
			wait = min(retry, s.o.Interval)
		}
		timer := time.NewTimer(max(0, wait))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if _, err := s.Now(ctx, nil); err != nil && ctx.Err() == nil {
			s.failing.Store(true)
			s.failures.Inc()
			s.o.Logger.Error("a scheduled backup failed", "folder", s.o.Folder, "cause", err, "next", "docs/operations/backup.md")
		}
	}
}

// Stored is a backup in the folder.
type Stored struct {
	File     string // its name
	SHA256   string // hex
	Size     int64
	Revision uint64 // of the state that it holds
}

// Now takes a backup and removes what is too old. progress, which may be nil, is
// told how many bytes are written.
func (s *Schedule) Now(ctx context.Context, progress func(bytes uint64)) (Stored, error) {
	s.taking.Lock()
	defer s.taking.Unlock()
	now := time.Now().UTC()
	part := filepath.Join(s.o.Folder, "domicile-"+now.Format(fileTime)+".backup.part")
	written, err := s.write(ctx, part, progress)
	if err != nil {
		return Stored{}, errors.Join(err, removed(part))
	}
	name := fmt.Sprintf("domicile-%s-r%d.backup", now.Format(fileTime), written.Manifest.Revision)
	if err := os.Rename(part, filepath.Join(s.o.Folder, name)); err != nil {
		return Stored{}, errors.Join(fmt.Errorf("put the backup in place: %w", err), removed(part))
	}
	if err := syncFolder(s.o.Folder); err != nil {
		return Stored{}, err
	}
	s.success.Store(now.Unix())
	s.failing.Store(false)
	s.o.Logger.Info("a backup was taken", "file", name, "bytes", written.Size, "revision", written.Manifest.Revision)
	return Stored{File: name, SHA256: written.SHA256, Size: written.Size, Revision: written.Manifest.Revision}, s.prune()
}

func (s *Schedule) write(ctx context.Context, path string, progress func(uint64)) (Written, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return Written{}, fmt.Errorf("write the backup: %w", err)
	}
	written, err := s.o.Take(ctx, &counted{to: f, tell: progress})
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = whole(f, written)
	}
	return written, errors.Join(err, f.Close())
}

// whole reads back what was written.
func whole(f *os.File, w Written) error {
	back, err := Open(f, w.Size)
	if err == nil {
		err = back.Check(nil)
	}
	if err == nil && back.SHA256 != w.SHA256 {
		err = errors.New("it has another hash than what was written")
	}
	if err != nil {
		return fmt.Errorf("read the backup back: %w", err)
	}
	return nil
}

// counted tells how much went through it.
type counted struct {
	to   io.Writer
	n    uint64
	tell func(uint64)
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	if c.n += uint64(n); c.tell != nil {
		c.tell(c.n)
	}
	return n, err
}

// ErrDamaged is why a backup in the folder is good for nothing.
var ErrDamaged = errors.New("a backup is damaged")

// Verify reads every backup in the folder, oldest first, and checks its hashes
// and its seal; it decrypts nothing. It stops at the first that is damaged. One
// that is removed meanwhile, because newer ones took its place, is passed over.
// progress, which may be nil, is told how many files are read.
func (s *Schedule) Verify(ctx context.Context, progress func(files, of uint64)) (good uint64, err error) {
	names, err := s.list()
	if err != nil {
		return 0, err
	}
	for i, name := range names {
		if err := ctx.Err(); err != nil {
			return good, err
		}
		err := s.check(filepath.Join(s.o.Folder, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			s.o.Logger.Error("a backup is not whole", "file", name, "cause", err, "next", "docs/operations/backup.md")
			return good, err
		}
		good++
		if progress != nil {
			progress(uint64(i+1), uint64(len(names)))
		}
	}
	return good, nil
}

func (s *Schedule) check(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read a backup: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read a backup: %w", err)
	}
	b, err := Open(f, info.Size())
	if err == nil {
		err = b.Check(nil)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// prune removes all but the newest Keep backups of ours.
func (s *Schedule) prune() error {
	names, err := s.list()
	if err != nil {
		return err
	}
	for _, name := range names[:max(0, len(names)-s.o.Keep)] {
		if err := os.Remove(filepath.Join(s.o.Folder, name)); err != nil {
			return fmt.Errorf("remove an old backup: %w", err)
		}
	}
	return nil
}

// list gives the names of our backups, oldest first.
func (s *Schedule) list() (names []string, err error) {
	entries, err := os.ReadDir(s.o.Folder)
	if err != nil {
		return nil, fmt.Errorf("backup folder: %w", err)
	}
	for _, e := range entries {
		if e.Type().IsRegular() && fileForm.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

func removed(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync the backup folder: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
