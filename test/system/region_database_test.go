package system

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/dataplane/aws/awstest"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/postgres"
	"github.com/domicile-io/domicile/internal/testcluster"
)

// openDatabaseVault is a vault whose records and keys are in databases. With the
// machine the database of the records is lost, and an empty one takes its place.
func openDatabaseVault(t *testing.T, folder string, edit func(*dataplane.Config)) *vault {
	t.Helper()
	in := inDatabases(t)
	var records string
	v := openVaultWith(t, folder, func(c *dataplane.Config) {
		c.Keys.Copy = ""
		check(t, in(nil, c))
		records = c.Store.DSNFile
		edit(c)
	})
	v.more = func() { check(t, os.WriteFile(records, []byte(postgres.Database(t)), 0o600)) }
	return v
}

func openFolderDatabaseVault(t *testing.T) *vault {
	t.Helper()
	folder := t.TempDir()
	return openDatabaseVault(t, folder, func(c *dataplane.Config) { c.Backup.Folder = folder })
}

// The drill of docs/operations/region-backup.md for a region whose records are in a
// database.
func TestINV22_RegionRestoreDrillOnADatabase(t *testing.T) { restoreDrill(openFolderDatabaseVault(t)) }

// The same with recordings and backups in buckets.
func TestINV22_RegionRestoreDrillOnADatabaseAndBuckets(t *testing.T) {
	g := awstest.NewGateway(t, "eu-west-1")
	g.Bucket("recordings")
	v := openDatabaseVault(t, g.Bucket("backups"), func(c *dataplane.Config) {
		c.Media.Folder = ""
		c.Backup.S3, c.Media.S3 = inBucket(g, "backups"), inBucket(g, "recordings")
	})
	restoreDrill(v)
	if files(g.Dir, "recordings", "TN*", "*", "*") == 0 {
		t.Error("no recording is in the bucket: the test shows nothing")
	}
}

// The node is killed while it copies its database, and the restore while it fills the
// new one: what was there before is whole, no node starts on half of it, and the next
// try succeeds.
func TestINV33_KillsSpareADatabasesBackups(t *testing.T) {
	v := openFolderDatabaseVault(t)
	v.load(0, 300)
	v.create()
	want := v.calls()
	v.killedInASnapshot()
	check(t, os.RemoveAll(v.data))
	v.more()
	restoring := filepath.Join(v.data, "restore.tmp")
	kills := 0
	for _, moment := range []func() bool{
		func() bool { return files(restoring) > 0 },
		v.filled("domicile_frames"),
		v.filled("domicile_postings"),
		v.filled("domicile_shelf WHERE shelf = 'outbox'"),
		func() bool { return files(restoring, "ready") > 0 },
	} {
		if v.killed(moment, "restore") {
			break
		}
		kills++
		if _, errs, code := v.node(); code == 0 || !strings.Contains(errs, "cut short") {
			t.Errorf("the node starts on half a restore: %s", errs)
		}
	}
	t.Logf("restore was killed %d times", kills)
	if files(v.data, "restored.json") == 0 {
		v.must("restore")
	}
	v.start()
	until(t, time.Minute, "reads", func() error {
		if got := v.calls(); !maps.Equal(got, want) {
			return fmt.Errorf("%d calls, and %d before; or they are not what they were", len(got), len(want))
		}
		return nil
	})
}

// filled is the moment at which a table of the records' database has rows.
func (v *vault) filled(table string) func() bool {
	return func() bool {
		c, err := dataplane.LoadConfig(v.c.Process("ie1").Config())
		check(v.t, err)
		dsn, err := os.ReadFile(c.Store.DSNFile)
		check(v.t, err)
		return new(postgres.Server).Run(v.t.Context(), string(dsn), "SELECT 1 / (SELECT count(*) FROM "+table+")") == nil
	}
}

// Of two nodes one takes the snapshots; the other erases, and its notes count. When
// the one is killed, the other takes them.
func TestINV21_NodesShareTheirBackups(t *testing.T) {
	folder, in := t.TempDir(), inDatabases(t)
	names := []string{"ie1", dev.SecondName("ie1")}
	v := &vault{t: t, folder: folder}
	v.c = start(t, testcluster.Options{Second: []string{"ie1"}, EditRegion: func(env *dev.Environment, c *dataplane.Config) error {
		if c.Region == "ie1" {
			c.Backup = dataplane.BackupConfig{Folder: folder, Interval: 24 * time.Hour}
			if v.data == "" {
				v.data = c.DataDir // of the first
			}
		}
		return in(env, c)
	}})
	_, v.region = place(t, v.c, "acme-ie", "ie1", "IE", nil)
	until(t, 30*time.Second, "the first snapshot, by itself", func() error { return atLeast(files(folder, "snapshots", "*"), 1) })
	v.load(0, 200)
	v.create() // by the first node
	if n := files(folder, "snapshots", "*"); n != 2 {
		t.Errorf("two nodes have taken %d snapshots, want one of both and one that was asked for", n)
	}
	first := v.region
	v.region = second(v.c, first)
	check(t, v.c.Process("ie1").Kill())
	v.erase() // by the second
	calls := v.calls()
	if files(folder, "notes", "*") == 0 {
		t.Error("the second node has noted nothing")
	}
	for _, name := range names[1:] {
		check(t, v.c.Process(name).Kill())
	}
	cfg, err := dataplane.LoadConfig(v.c.Process("ie1").Config())
	check(t, err)
	check(t, os.WriteFile(cfg.Store.DSNFile, []byte(postgres.Database(t)), 0o600))
	if r := v.restore(); r.Store.Lost != 0 || r.Store.Renewed == 0 || r.Later != 1 {
		t.Errorf("%+v", r)
	}
	for _, name := range names {
		check(t, v.c.Process(name).Start())
		check(t, v.c.Process(name).WaitReady(t.Context()))
	}
	for _, node := range []*client.Region{first, second(v.c, first)} {
		v.region = node
		until(t, time.Minute, "reads", func() error { _, err := node.Calls(t.Context(), client.Filter{}); return err })
		if got := v.calls(); !maps.Equal(got, calls) {
			t.Errorf("%d calls, and %d before; or they are not what they were", len(got), len(calls))
		}
		if found, err := node.SearchCalls(t.Context(), data.Search{Number: erased}); err != nil || len(found.Calls) != 0 {
			t.Errorf("the person is found in %d calls, %v", len(found.Calls), err)
		}
	}
	v.create() // by the first again, which notes who was left behind
	v.verified()
}
