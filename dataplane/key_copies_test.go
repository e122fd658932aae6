package dataplane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/aws"
	"github.com/domicile-io/domicile/dataplane/aws/awstest"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/store"
)

// copiedRegion is the configuration of a region in a database whose key table has a
// copy in a bucket, with 40 records, and the bucket's folder.
func copiedRegion(t *testing.T) (cfg Config, bucket string) {
	t.Helper()
	g := awstest.NewGateway(t, "eu-west-1")
	bucket = g.Bucket("key-copies")
	cfg = stockedDatabase(t) // without one
	cfg.ListenAddress = "127.0.0.1:0"
	cfg.Keys.CopyS3 = &aws.S3Config{Account: aws.Account{Region: "eu-west-1", Endpoint: g.URL, CredentialsFile: g.Login, CA: g.CA}, Bucket: "key-copies", Compatible: true}
	check(t, cfg.Check())
	n, err := Open(t.Context(), cfg, quietly())
	check(t, err)
	for range 3 { // each of its own generation: keys of before and after the copy began
		check(t, n.keyring.Rotate(t.Context()))
	}
	stock(t, n, 30, 40)
	check(t, n.Close(context.Background()))
	return cfg, bucket
}

// without is a configuration whose database of the keys is lost.
func without(t *testing.T, cfg Config) Config {
	t.Helper()
	keys := *cfg.Keys.Database
	keys.DSNFile = filepath.Join(t.TempDir(), "keys")
	emptyDatabase(t, keys.DSNFile)
	cfg.Keys.Database = &keys
	return cfg
}

func quietRestore() KeyRestoreOptions {
	return KeyRestoreOptions{Options: Options{Logger: slog.New(slog.DiscardHandler)}}
}

// A region that lost the database of its keys takes them from the copy, at whatever
// point that is cut short, and goes on.
func TestINV33_ALostKeyDatabaseComesBackFromItsCopy(t *testing.T) {
	cfg, _ := copiedRegion(t)
	cfg = without(t, cfg)
	starts := func() error {
		n, err := Open(t.Context(), cfg, quietly())
		if err == nil {
			check(t, n.Close(context.Background()))
		}
		return err
	}
	if err := starts(); err == nil {
		t.Fatal("a node makes a new key table beside records")
	}
	for at := 1; ; at++ {
		o, seen := quietRestore(), 0
		o.Step = func(string) error {
			if seen++; seen == at {
				return errCrashed
			}
			return nil
		}
		report, err := RestoreKeys(t.Context(), cfg, o)
		if err == nil {
			if at < 5 || report.Generation != 4 || report.Keys == 0 || report.Names == 0 {
				t.Errorf("%d crashes; put back: %+v", at-1, report)
			}
			break
		}
		if !errors.Is(err, errCrashed) {
			t.Fatalf("crash %d: %v", at, err)
		}
		if starts() == nil {
			t.Fatalf("crash %d: a node starts on half a key table", at)
		}
	}
	left := filepath.Join(cfg.DataDir, keyRestoreDir) // as of a restore that was killed
	check(t, os.Mkdir(left, 0o700))
	check(t, os.WriteFile(filepath.Join(left, "keys"), []byte("sheets"), 0o600))
	if n := stockOf(t, cfg); n != 40 {
		t.Errorf("%d records open, want 40", n)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("wrapped keys are left in data_dir: %v", err)
	}
	if _, err := RestoreKeys(t.Context(), cfg, quietRestore()); err == nil || !strings.Contains(err.Error(), "holds a key table") {
		t.Errorf("restored over what is there: %v", err)
	}
	again := without(t, cfg) // what came after the restore is in the copy, too
	_, err := RestoreKeys(t.Context(), again, quietRestore())
	check(t, err)
	if n := stockOf(t, again); n != 40 {
		t.Errorf("%d records open, want 40", n)
	}
}

// A copy of another region, one of another table, and one that ends before what was
// acknowledged are refused, and nothing is put anywhere.
func TestINV07_AForeignOrOlderKeyCopyIsRefused(t *testing.T) {
	cfg, bucket := copiedRegion(t)
	refused := func(what, says string, c Config) {
		t.Helper()
		c = without(t, c)
		if _, err := RestoreKeys(t.Context(), c, quietRestore()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want one that says %q", what, err, says)
		}
		if _, err := os.Stat(filepath.Join(c.DataDir, keyRestoreDir)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: something of it is left in data_dir", what)
		}
	}
	root := cfg
	root.Keys.RootFile = filepath.Join(t.TempDir(), "root.key")
	check(t, os.WriteFile(root.Keys.RootFile, []byte(strings.Repeat("00", 32)+"\n"), 0o600))
	refused("under another root key", "root key", root)

	records := cfg
	records.Store.DSNFile = filepath.Join(t.TempDir(), "records")
	emptyDatabase(t, records.Store.DSNFile)
	mine := without(t, records)
	mine.Keys.CopyS3 = nil
	n, err := Open(t.Context(), mine, quietly()) // a table of its own, to which the records belong
	check(t, err)
	check(t, n.Close(context.Background()))
	records.Keys.Database = mine.Keys.Database
	refused("beside records of another table", "another key table", records)

	changes, err := filepath.Glob(filepath.Join(bucket, "keys", "change", "*"))
	check(t, err)
	if len(changes) == 0 {
		t.Fatal("no change is behind the base: the test shows nothing")
	}
	check(t, os.Remove(changes[len(changes)-1]))
	refused("one that lacks the last change", "older than what was acknowledged", cfg)
}

// A region is copied by all of its nodes or by none, and a copy that is ended leaves
// nothing in the bucket.
func TestAKeyCopyIsEnded(t *testing.T) {
	cfg, bucket := copiedRegion(t)
	bare := cfg
	bare.Keys.CopyS3 = nil
	if n, err := Open(t.Context(), bare, quietly()); err == nil || !strings.Contains(err.Error(), "keys.copy_s3") {
		t.Errorf("a node that knows of no copy starts: %v", err)
		if err == nil {
			check(t, n.Close(context.Background()))
		}
	}
	check(t, EndKeyCopies(t.Context(), cfg, Options{Logger: slog.New(slog.DiscardHandler)}))
	for _, shelf := range []string{"keys", "erasures"} {
		left, err := filepath.Glob(filepath.Join(bucket, shelf, "*"))
		check(t, err)
		for _, path := range left {
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				t.Errorf("%s is left", path)
			}
		}
	}
	if n := stockOf(t, bare); n != 40 {
		t.Errorf("%d records open, want 40", n)
	}
}

// What became of the generations before a move is noted in a table that has its copy by
// then, and in the copy.
func TestAMoveIsFinishedAfterItsKeyCopyBegan(t *testing.T) {
	cfg, _ := copiedRegion(t)
	n, unlock, err := cfg.stoppedNode(Options{Logger: slog.New(slog.DiscardHandler)})
	check(t, err)
	defer unlock()
	defer func() { check(t, n.shut(context.Background())) }()
	link, err := n.recordShelf(linkShelf)
	check(t, err)
	check(t, link.Update(func(tx shelf.Tx) error { return putNote(tx, moveNote{"OP1", MoveDone}) }))
	at := time.Now().UTC().Truncate(time.Second)
	n.moved = &MoveMark{ID: "OP1", State: MoveDone, Keys: &MovedKeys{Destroyed: true, Fates: []store.KeyFate{{Generation: 4, Destroyed: at, Final: at}}}}
	check(t, n.openKeyTable())
	if fates := n.keyring.Generations(); len(fates) != 4 || !fates[3].Destroyed.Equal(at) {
		t.Errorf("noted: %+v", fates)
	}
}

// What does not go together is refused.
func TestKeyCopySettings(t *testing.T) {
	s3 := func(bucket string) *aws.S3Config {
		return &aws.S3Config{Account: aws.Account{Region: "eu-west-1", InstanceRole: true}, Bucket: bucket, KMSKey: "arn:aws:kms:eu-west-1:111122223333:key/0a0a0a0a-1111-2222-3333-444455556666"}
	}
	good := Config{Store: StoreConfig{Kind: SQLStore, DatabaseConfig: DatabaseConfig{DSNEnv: "A"}}, Media: MediaConfig{S3: s3("media")},
		Keys: KeysConfig{RootFile: "root", Database: &DatabaseConfig{DSNEnv: "B"}, CopyS3: s3("copies")}}
	check(t, good.checkStore())
	for name, c := range map[string]struct {
		change func(*Config)
		says   string
	}{
		"of one node":        {func(c *Config) { *c = Config{Keys: KeysConfig{CopyS3: s3("copies")}} }, "keys.copy_s3: is for store.kind sql"},
		"the recordings'":    {func(c *Config) { c.Keys.CopyS3 = s3("media") }, "a bucket of its own"},
		"the backups'":       {func(c *Config) { c.Backup.S3 = s3("copies") }, "a bucket of its own"},
		"no key":             {func(c *Config) { c.Keys.CopyS3.KMSKey = "" }, "keys.copy_s3.kms_key"},
		"no region of AWS's": {func(c *Config) { c.Keys.CopyS3.Region = "" }, "keys.copy_s3.region"},
	} {
		bad := good
		bad.Keys.CopyS3 = s3("copies")
		c.change(&bad)
		if err := bad.checkStore(); err == nil || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: %v, want one that says %q", name, err, c.says)
		}
	}
}
