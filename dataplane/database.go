package dataplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/aws"
	"github.com/domicile-io/domicile/dataplane/database"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/shelf/sql"
	sqlstore "github.com/domicile-io/domicile/dataplane/store/sql"
	"github.com/domicile-io/domicile/policy"
)

// StoreKind is where a region's records are.
type StoreKind string

// The kinds of store.
const (
	LocalStore StoreKind = "local" // in data_dir, of one node
	SQLStore   StoreKind = "sql"   // in the region's database, for all its nodes
)

// StoreConfig is the section `store` of a node's configuration. Without it the
// records are in data_dir.
type StoreConfig struct {
	Kind           StoreKind `yaml:"kind"` // local (default) or sql
	DatabaseConfig `yaml:",inline"`
}

// DatabaseConfig says how a database is reached. The connection string holds a
// password, so that it stands in a file or in the environment, never here.
type DatabaseConfig struct {
	DSNFile     string `yaml:"dsn_file"`    // file, 0600, with the connection string
	DSNEnv      string `yaml:"dsn_env"`     // or the environment variable that holds it
	Connections int    `yaml:"connections"` // at most; default 16 for records, 4 for keys
}

const (
	maxConnections     = 1000
	recordConnections  = 16
	sharedConnections  = 6 // of the shelves and leases, beside those of the records
	keyConnections     = 4
	maxDSN             = 4 << 10
	databaseStartLimit = 30 * time.Second
)

func (c DatabaseConfig) given() bool { return c.DSNFile != "" || c.DSNEnv != "" }

func (c DatabaseConfig) check(setting string) error {
	if (c.DSNFile == "") == (c.DSNEnv == "") {
		return fmt.Errorf("%s: give one of dsn_file and dsn_env", setting)
	}
	if c.Connections < 0 || c.Connections > maxConnections {
		return fmt.Errorf("%s.connections: give at most %d", setting, maxConnections)
	}
	return nil
}

// shared reports whether the region's nodes share their records.
func (c Config) shared() bool { return c.Store.Kind == SQLStore }

// checkStore names every setting that does not go together with the store.
func (c Config) checkStore() error {
	var bad []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			bad = append(bad, fmt.Errorf(format, args...))
		}
	}
	if !c.shared() {
		need(c.Store.Kind == "" || c.Store.Kind == LocalStore, "store.kind: give %s or %s", LocalStore, SQLStore)
		need(!c.Store.given(), "store: dsn_file and dsn_env are for kind %s", SQLStore)
		need(c.Keys.Database == nil, "keys.database: is for store.kind %s: a region of one node keeps its key table in data_dir", SQLStore)
		need(c.Keys.CopyS3 == nil, "keys.copy_s3: is for store.kind %s: a region of one node copies its key table to another disk, keys.copy", SQLStore)
		need(c.Media.Folder == "", "media.folder: is for store.kind %s: a region of one node keeps recordings in data_dir", SQLStore)
		return errors.Join(bad...)
	}
	bad = append(bad, c.Store.check("store"))
	if need(c.Keys.Database != nil, "keys.database: give the key table's own database: it must be in no backup of the records"); c.Keys.Database != nil {
		bad = append(bad, c.Keys.Database.check("keys.database"))
	}
	need(c.Keys.Copy == "", "keys.copy: with store.kind %s the key table is in a database, which has its own replicas, and a copy in a bucket: keys.copy_s3", SQLStore)
	if c.Keys.CopyS3 != nil {
		bad = append(bad, c.Keys.CopyS3.Check("keys.copy_s3"))
		for _, other := range []*aws.S3Config{c.Media.S3, c.Backup.S3} {
			need(other == nil || other.Bucket != c.Keys.CopyS3.Bucket, "keys.copy_s3.bucket: is that of recordings or backups; give the key table's copy a bucket of its own")
		}
	}
	need(c.Keys.AWSKMS != nil || c.Keys.PKCS11 != nil || c.Keys.RootFile != "", "keys: with store.kind %s give aws_kms, pkcs11, or a root_file that every node of the region has", SQLStore)
	need((c.Media.S3 != nil) != (c.Media.Folder != ""), "media: with store.kind %s give s3, or the folder that every node of the region shares", SQLStore)
	return errors.Join(bad...)
}

// read gives the connection string. It is in no error.
func (c DatabaseConfig) read(setting string) (string, error) {
	if c.DSNEnv != "" {
		if dsn := strings.TrimSpace(os.Getenv(c.DSNEnv)); dsn != "" {
			return dsn, nil
		}
		return "", fmt.Errorf("%s: the environment variable %s holds no connection string", setting, c.DSNEnv)
	}
	info, err := os.Stat(c.DSNFile)
	if err != nil {
		return "", fmt.Errorf("%s: %w", setting, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s: %s may be read by others (mode %04o): chmod 600 it", setting, c.DSNFile, info.Mode().Perm())
	}
	if info.Size() > maxDSN {
		return "", fmt.Errorf("%s: %s is longer than %d bytes", setting, c.DSNFile, maxDSN)
	}
	raw, err := os.ReadFile(c.DSNFile)
	if err != nil {
		return "", fmt.Errorf("%s: %w", setting, err)
	}
	defer clear(raw)
	if dsn := strings.TrimSpace(string(raw)); dsn != "" {
		return dsn, nil
	}
	return "", fmt.Errorf("%s: %s is empty", setting, c.DSNFile)
}

// databases are what the nodes of a region share.
type databases struct {
	dsn     string // of the records, for their own store
	records *sql.DB
	keys    *sql.DB
}

// openDatabases connects to the region's databases through the door, and says who
// does the region's background work. A region of one node has no database.
func (n *Node) openDatabases(Options) error {
	if !n.cfg.shared() {
		n.leases = &lease.Alone{}
		return nil
	}
	records, err := n.cfg.Store.read("store")
	if err != nil {
		return err
	}
	keys, err := n.cfg.Keys.Database.read("keys.database")
	if err != nil {
		return err
	}
	if same, err := database.SamePlace(records, keys); err != nil || same {
		return errors.Join(err, errors.New("keys.database: it is the database of the records: a backup of them would hold every key; give it a database of its own"))
	}
	n.shared = &databases{dsn: records}
	for _, d := range []struct {
		name        string
		dsn         string
		class       policy.EgressClass
		connections int
		to          **sql.DB
	}{
		{"records", records, policy.LocalStore, sharedConnections, &n.shared.records},
		{"keys", keys, policy.LocalKey, orElse(n.cfg.Keys.Database.Connections, keyConnections), &n.shared.keys},
	} {
		if *d.to, err = n.openDatabase(d.name, d.dsn, d.class, d.connections); err != nil {
			return err
		}
	}
	n.leases = lease.Contend(lease.Options{Book: n.shared.records.Book(), Node: string(n.material.Identity.Node), Logger: n.log, Metrics: n.registry})
	return nil
}

func orElse(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

func (n *Node) openDatabase(name, dsn string, class policy.EgressClass, connections int) (*sql.DB, error) {
	dial, err := n.databaseDial(dsn, class)
	if err != nil {
		return nil, fmt.Errorf("open the database of %s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), databaseStartLimit)
	defer cancel()
	db, err := sql.Open(ctx, sql.Options{DSN: dsn, Dial: dial, Region: n.region(), Cluster: n.material.Identity.Cluster, Connections: connections, Logger: n.log})
	if err != nil {
		return nil, fmt.Errorf("open the database of %s: %w", name, err)
	}
	n.onClose("database of "+name, func(context.Context) error { db.Close(); return nil })
	return db, n.registry.Register(prometheus.WrapCollectorWith(prometheus.Labels{"database": name}, db.Collector()))
}

// databaseDial declares where a database is. What goes there stays in the region.
func (n *Node) databaseDial(dsn string, class policy.EgressClass) (egress.Dial, error) {
	at, err := database.Destinations(dsn)
	if err != nil {
		return nil, err
	}
	if err := n.door.Allow(class, at...); err != nil {
		return nil, err
	}
	return n.door.Dialer(egress.Route{Class: class, Region: n.region()}), nil
}

// keyLeases are leases in the key database: their fence is compared where the key
// table is written.
func (n *Node) keyLeases() lease.Leases {
	return lease.Contend(lease.Options{Book: n.shared.keys.Book(), Node: string(n.material.Identity.Node), Logger: n.log})
}

// healthy is why the region's databases cannot be used, else nil.
func (d *databases) healthy() error {
	if d == nil {
		return nil
	}
	return errors.Join(d.records.Healthy(), d.keys.Healthy())
}

// recordShelf opens a shelf beside the records.
func (n *Node) recordShelf(name string) (shelf.Shelf, error) {
	return n.shared.records.Shelf(context.Background(), name)
}

// openSharedStore opens the records of a region of several nodes.
func (n *Node) openSharedStore() error {
	dial, err := n.databaseDial(n.shared.dsn, policy.LocalStore)
	if err != nil {
		return fmt.Errorf("open record store: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), databaseStartLimit)
	defer cancel()
	s, err := sqlstore.Open(ctx, sqlstore.Options{DSN: n.shared.dsn, Dial: dial, Region: n.region(), Keys: n.keys, Logger: n.log,
		Connections: orElse(n.cfg.Store.Connections, recordConnections), Backup: n.backups.note, OnCorrupt: n.foundCorrupt})
	if err != nil {
		return err
	}
	n.store, n.backups.source.rows = s, s
	n.onClose("record store", func(context.Context) error { return s.Close() })
	n.startScrubber(s)
	n.startOblivion(s)
	return nil
}

// background runs work on the one node of the region that has its lease, until
// the node closes.
func (n *Node) background(part string, name lease.Name, work func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); n.leases.Run(ctx, name, work) }()
	n.onClose(part, func(context.Context) error { cancel(); <-done; return nil })
}
