package dataplane

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/backup"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/shelf"
	shelfsql "github.com/domicile-io/domicile/dataplane/shelf/sql"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/internal/postgres"
	"github.com/domicile-io/domicile/policy"
)

// stockedDatabase is the configuration of a node whose records are in a database,
// with records, a repository and snapshots.
func stockedDatabase(t *testing.T) Config {
	t.Helper()
	cfg, o := nodeConfig(t, "ie1", mtls.DataPlane)
	dir := t.TempDir()
	cfg.Backup = BackupConfig{Folder: t.TempDir(), Interval: time.Hour}
	cfg.Store = StoreConfig{Kind: SQLStore, DatabaseConfig: DatabaseConfig{DSNFile: filepath.Join(dir, "records"), Connections: 8}}
	cfg.Keys = KeysConfig{RootFile: filepath.Join(dir, "root.key"), Database: &DatabaseConfig{DSNFile: filepath.Join(dir, "keys")}}
	cfg.Media.Folder = filepath.Join(dir, "media")
	cfg = cfg.withDefaults()
	emptyDatabase(t, cfg.Store.DSNFile)
	emptyDatabase(t, cfg.Keys.Database.DSNFile)
	n, err := Open(t.Context(), cfg, o)
	check(t, err)
	for from := 0; from < 30; from += 10 {
		stock(t, n, from, from+10)
		snapshot(t, n)
	}
	check(t, n.Close(context.Background()))
	return cfg
}

// snapshot takes one, when the node's own schedule leaves the repository alone.
func snapshot(t *testing.T, n *Node) backup.Snapshot {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		head, err := n.backups.create(t.Context(), backup.CreateOptions{})
		if !errors.Is(err, errBackupBusy) || time.Now().After(deadline) {
			check(t, err)
			return head
		}
	}
}

func stock(t *testing.T, n *Node, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		_, err := n.store.Append(t.Context(), storetest.Permit(t, storetest.TenantA, policy.Ingest), []record.Record{storetest.Native(i)})
		check(t, err)
	}
}

func emptyDatabase(t *testing.T, file string) {
	t.Helper()
	check(t, os.WriteFile(file, []byte(postgres.Database(t)), 0o600))
}

func quietly() Options { return Options{Logger: slog.New(slog.DiscardHandler)} }

func stockOf(t *testing.T, cfg Config) (n int) {
	t.Helper()
	cfg.ListenAddress = "127.0.0.1:0"
	node, err := Open(t.Context(), cfg, quietly())
	check(t, err)
	check(t, node.store.(interface {
		Everything(context.Context, policy.Permit, func(record.Record) error) error
	}).Everything(t.Context(), storetest.Permit(t, storetest.TenantA, policy.Process), func(record.Record) error { n++; return nil }))
	check(t, node.Close(context.Background()))
	return n
}

// A crash at any point of a restore into a database leaves nothing in halves: no
// node starts, and the next try begins anew, or ends it.
func TestADatabasesRestoreThatIsCutShortBeginsAnew(t *testing.T) {
	cfg := stockedDatabase(t)
	cfg.ListenAddress = "127.0.0.1:0"
	emptyDatabase(t, cfg.Store.DSNFile)
	points := map[string]bool{}
	other := cfg // of another node, whose data_dir knows nothing of the restore
	other.DataDir = t.TempDir()
	for at := 1; ; at++ {
		err := crashAt(t, cfg, at, points)
		if err == nil {
			break
		}
		if !errors.Is(err, errCrashed) {
			t.Fatalf("crash %d: %v", at, err)
		}
		for _, c := range []Config{cfg, other} {
			n, err := Open(t.Context(), c, quietly())
			if err == nil {
				check(t, n.Close(context.Background()))
			}
			if err == nil || !strings.Contains(err.Error(), "cut short") {
				t.Fatalf("crash %d: the node starts on half a restore: %v", at, err)
			}
		}
	}
	for _, want := range []string{"rows", "extracted", "prepared"} {
		if !points[want] {
			t.Errorf("no crash at %q", want)
		}
	}
	if _, err := Restore(t.Context(), cfg, RestoreOptions{Logger: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("restored over what is there: %v", err)
	}
	if n := stockOf(t, other); n != 30 {
		t.Errorf("%d records are restored, want 30", n)
	}
}

// What does not belong together is refused, and nothing is written.
func TestINV07_ADatabasesRestoreRefuses(t *testing.T) {
	cfg := stockedDatabase(t)
	refused := func(what, says string, c Config) {
		t.Helper()
		_, err := Restore(t.Context(), c, RestoreOptions{Logger: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want one that says %q", what, err, says)
		}
		if _, err := os.Stat(filepath.Join(c.DataDir, restoreDir)); err == nil {
			t.Errorf("%s: something of it is left in data_dir", what)
		}
	}
	refused("a database that is in use", "not empty", cfg)

	elsewhere := cfg
	elsewhere.Store.DSNFile = filepath.Join(t.TempDir(), "records")
	emptyDatabase(t, elsewhere.Store.DSNFile)
	dsn, err := elsewhere.Store.read("store")
	check(t, err)
	db, err := shelfsql.Open(t.Context(), shelfsql.Options{DSN: dsn, Dial: (&net.Dialer{}).DialContext, Region: "us1", Cluster: "CL" + strings.Repeat("0", 32)})
	check(t, err)
	db.Close()
	refused("another region's database", "belongs to region us1", elsewhere)

	emptyDatabase(t, elsewhere.Store.DSNFile)
	lost := elsewhere
	lost.Keys.Database = &DatabaseConfig{DSNFile: filepath.Join(t.TempDir(), "keys")}
	emptyDatabase(t, lost.Keys.Database.DSNFile)
	refused("no key table", "holds no key table", lost)

	objects, err := filepath.Glob(filepath.Join(cfg.Backup.Folder, "objects", "*", "*"))
	check(t, err)
	for _, path := range objects {
		check(t, os.Rename(path, path+".away"))
	}
	refused("missing files", "missing", elsewhere)
	for _, path := range objects {
		check(t, os.Rename(path+".away", path))
	}
	embedded := stocked(t)
	wrong := elsewhere
	wrong.Backup.Folder = embedded.Backup.Folder
	refused("a repository of another key table", "does not open", wrong)
	if n := stockOf(t, cfg); n != 30 {
		t.Errorf("%d records are there after refusals, want 30", n)
	}
	if _, err := Restore(t.Context(), elsewhere, RestoreOptions{Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Errorf("what was refused left something in the empty database: %v", err)
	}
}

// A snapshot shares what has not changed with the one before it, holds no key, and
// is one moment's although records come in.
func TestSnapshotsOfADatabase(t *testing.T) {
	cfg := stockedDatabase(t)
	cfg.ListenAddress = "127.0.0.1:0"
	n, err := Open(t.Context(), cfg, quietly())
	check(t, err)
	defer func() { check(t, n.Close(context.Background())) }()
	first := snapshot(t, n)
	if first.Format != backup.RowsFormat || first.Copied >= first.Bytes {
		t.Errorf("%+v", first)
	}
	seen := map[string]int{}
	check(t, everyRow(n.backups.source.rows)(t.Context(), func(table string, key, _ []byte) error {
		if seen[table]++; table == "domicile_frames" && seen[table] == 1 {
			stock(t, n, 30, 40) // meanwhile
		}
		if table == shelfRows {
			r, err := readShelfKey(key)
			check(t, err)
			if r.Shelf == keysShelf || r.Bucket == shelf.Bucket("blocks") {
				t.Errorf("a row of the key table is in the backup")
			}
		}
		return nil
	}))
	if seen["domicile_calls"] != 30 || seen["domicile_folds0"] != 30 || seen[turnRows] == 0 || seen[shelfRows] == 0 {
		t.Errorf("what came in meanwhile is there in part: %v", seen)
	}
	v, err := n.backups.verify(t.Context(), "", nil)
	if err != nil || v.Damaged > 0 {
		t.Errorf("%+v, %v", v, err)
	}
}
