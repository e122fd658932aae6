package backup

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// scheduled makes a schedule of a world whose Take can be made to fail.
func (w *world) scheduled(folder string, keep int, metrics *prometheus.Registry) (*Schedule, *atomic.Bool) {
	w.t.Helper()
	broken := &atomic.Bool{}
	s, err := NewSchedule(ScheduleOptions{Folder: folder, Interval: time.Hour, Keep: keep, Logger: slog.New(slog.DiscardHandler), Metrics: metrics,
		Take: func(_ context.Context, to io.Writer) (Written, error) {
			if broken.Load() {
				_, _ = to.Write([]byte("half"))
				return Written{}, errors.New("the disk is full")
			}
			snap, err := w.store.Snapshot()
			if err != nil {
				return Written{}, err
			}
			out, err := Write(to, w.options(snap))
			return out, errors.Join(err, snap.Close())
		}})
	check(w.t, err)
	return s, broken
}

func gauge(t *testing.T, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	check(t, err)
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			if m.GetCounter() != nil {
				return m.GetCounter().GetValue()
			}
			return m.GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func names(t *testing.T, folder string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	check(t, err)
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestScheduledBackupsAreWholeAndFew(t *testing.T) {
	w := newWorld(t)
	folder := filepath.Join(t.TempDir(), "backups")
	check(t, os.MkdirAll(folder, 0o700))
	for _, old := range []string{"domicile-20250101T000000Z-r1.backup", "domicile-20250102T000000Z-r2.backup", "domicile-20250103T000000Z.backup.part", "notes.txt"} {
		check(t, os.WriteFile(filepath.Join(folder, old), []byte("x"), 0o600))
	}
	metrics := prometheus.NewRegistry()
	s, broken := w.scheduled(folder, 2, metrics)
	if age := gauge(t, metrics, "domicile_backup_last_success_age_seconds"); age < 86400 {
		t.Errorf("the newest backup is %v s old", age)
	}
	broken.Store(true)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	await(t, "a failed backup raises its alarm", func() bool { return gauge(t, metrics, "domicile_backup_failing") == 1 })
	stop()
	<-done
	if left := strings.Join(names(t, folder), " "); strings.Contains(left, "part") || strings.Count(left, ".backup") != 2 {
		t.Errorf("after a failure there are %s", left)
	}
	broken.Store(false)
	_, err := s.Now(context.Background(), nil)
	check(t, err)
	if gauge(t, metrics, "domicile_backup_failing") != 0 || gauge(t, metrics, "domicile_backup_failures_total") != 1 || gauge(t, metrics, "domicile_backup_last_success_age_seconds") > 60 {
		t.Error("the alarm does not follow")
	}
	left := names(t, folder)
	if len(left) != 3 || left[0] != "domicile-20250102T000000Z-r2.backup" || left[2] != "notes.txt" || !strings.HasSuffix(left[1], "-r21.backup") {
		t.Fatalf("there are %v", left)
	}
	b, err := os.ReadFile(filepath.Join(folder, left[1]))
	check(t, err)
	check(t, w.verify(b))
	again, _ := w.scheduled(folder, 2, prometheus.NewRegistry())
	if time.Since(time.Unix(again.success.Load(), 0)) > time.Minute {
		t.Error("a restarted schedule does not know its newest backup")
	}
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
