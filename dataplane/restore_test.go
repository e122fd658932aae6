package dataplane

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/record"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// stocked is a node's configuration with records, a repository and a snapshot.
func stocked(t *testing.T) Config {
	t.Helper()
	cfg, o := nodeConfig(t, "ie1", mtls.DataPlane)
	dir := t.TempDir()
	cfg.Backup = BackupConfig{Folder: t.TempDir(), Interval: time.Hour}
	cfg.Keys = KeysConfig{Copy: filepath.Join(dir, "copy"), RootFile: filepath.Join(dir, "root.key")}
	keys, err := local.OpenKeyring(cfg.places())
	check(t, err)
	s, err := localstore.Open(localstore.Options{Dir: filepath.Join(cfg.DataDir, recordsDir), Region: "ie1", Keys: keys})
	check(t, err)
	for n := range 30 {
		_, err := s.Append(t.Context(), storetest.Permit(t, storetest.TenantA, policy.Ingest), []record.Record{storetest.Native(n)})
		check(t, err)
	}
	check(t, errors.Join(s.Close(), keys.Close()))
	n, err := Open(t.Context(), cfg, o)
	check(t, err)
	for deadline := time.Now().Add(time.Minute); n.backups.newest.Load() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the node takes no snapshot by itself")
		}
		time.Sleep(10 * time.Millisecond)
	}
	check(t, n.Close(context.Background()))
	return cfg
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, cfg Config) (n int) {
	t.Helper()
	keys, err := local.OpenKeyring(cfg.places())
	check(t, err)
	s, err := localstore.Open(localstore.Options{Dir: filepath.Join(cfg.DataDir, recordsDir), Region: "ie1", Keys: keys})
	check(t, err)
	check(t, s.Everything(t.Context(), storetest.Permit(t, storetest.TenantA, policy.Process), func(record.Record) error { n++; return nil }))
	check(t, errors.Join(s.Close(), keys.Close()))
	return n
}

// errCrashed ends a restore as a crash would.
var errCrashed = errors.New("crash")

// crashAt restores, and crashes at one of the points that it comes to, which it notes.
func crashAt(t *testing.T, cfg Config, at int, points map[string]bool) (err error) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			err = p.(error)
		}
	}()
	seen := 0
	_, err = Restore(t.Context(), cfg, RestoreOptions{Logger: slog.New(slog.DiscardHandler), Step: func(point string) error {
		points[point] = true
		if seen++; seen == at {
			panic(errCrashed) // nothing is tidied up
		}
		return nil
	}})
	return err
}

// A crash at any point of a restore leaves nothing in halves: the node does not
// start, and the next try ends it.
func TestARestoreThatIsCutShortIsFinishedByTheNext(t *testing.T) {
	cfg := stocked(t)
	check(t, os.RemoveAll(cfg.DataDir))
	points := map[string]bool{}
	tries := 0
	for at := 1; ; at++ {
		err := crashAt(t, cfg, at, points)
		if err == nil {
			break
		}
		if tries++; !errors.Is(err, errCrashed) {
			t.Fatalf("crash %d: %v", at, err)
		}
		n, err := Open(t.Context(), cfg, Options{Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			check(t, n.Close(context.Background()))
		}
		if err == nil || !strings.Contains(err.Error(), "cut short") {
			t.Fatalf("crash %d: the node starts on half a restore: %v", at, err)
		}
		if strings.HasPrefix(placed(cfg), "records") { // it goes on from there, with fewer points to come
			at = 0
		}
	}
	for _, want := range []string{"file", "extracted", "prepared", "placed exports", "placed records"} {
		if !points[want] {
			t.Errorf("no crash at %q in %d tries", want, tries)
		}
	}
	if n := count(t, cfg); n != 30 {
		t.Errorf("%d records are restored, want 30", n)
	}
	if _, err := Restore(t.Context(), cfg, RestoreOptions{Logger: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("restored over what is there: %v", err)
	}
	n, err := Open(t.Context(), cfg, Options{Logger: slog.New(slog.DiscardHandler)})
	check(t, err)
	check(t, n.Close(context.Background()))
}

// placed tells whether anything has its place.
func placed(cfg Config) string {
	for _, dir := range []string{recordsDir, exportsDir} {
		if _, err := os.Stat(filepath.Join(cfg.DataDir, dir)); err == nil {
			return dir
		}
	}
	return ""
}

// A node starts, and erases, while the disk of its backups is away; another disk
// in its place is not written to.
func TestANodeStartsWithoutTheDiskOfItsBackups(t *testing.T) {
	cfg := stocked(t)
	away := cfg.Backup.Folder + ".away"
	check(t, os.Rename(cfg.Backup.Folder, away))
	check(t, os.Mkdir(cfg.Backup.Folder, 0o700)) // the mount point
	cfg.ListenAddress = "127.0.0.1:0"
	n, err := Open(t.Context(), cfg, Options{Logger: slog.New(slog.DiscardHandler)})
	check(t, err)
	for deadline := time.Now().Add(time.Minute); !n.backups.failing.Load(); {
		if time.Now().After(deadline) {
			t.Fatal("nobody says that backups fail")
		}
		time.Sleep(10 * time.Millisecond)
	}
	n.backups.note(storetest.TenantA, []localstore.Row{{Key: []byte("k"), Value: []byte("v")}})
	if entries, err := os.ReadDir(cfg.Backup.Folder); err != nil || len(entries) > 0 {
		t.Errorf("the mount point holds %v, %v", entries, err)
	}
	check(t, n.Close(context.Background()))
}
