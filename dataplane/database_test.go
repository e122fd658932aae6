package dataplane

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStoreSettingsGoTogether(t *testing.T) {
	shared := func() Config {
		return Config{Store: StoreConfig{Kind: SQLStore, DatabaseConfig: DatabaseConfig{DSNFile: "r"}}, Media: MediaConfig{Folder: "m"},
			Keys: KeysConfig{RootFile: "k", Database: &DatabaseConfig{DSNEnv: "K"}}}
	}
	if err := shared().checkStore(); err != nil {
		t.Fatalf("a region of several nodes: %v", err)
	}
	if err := (Config{}).checkStore(); err != nil {
		t.Fatalf("a region of one node: %v", err)
	}
	for want, change := range map[string]func(*Config){
		"store: give one of":       func(c *Config) { c.Store.DSNEnv = "R" },
		"store.kind":               func(c *Config) { c.Store.Kind = "mysql" },
		"keys.database: give":      func(c *Config) { c.Keys.Database = nil },
		"keys.database: give one":  func(c *Config) { c.Keys.Database.DSNFile = "f" },
		"keys.copy":                func(c *Config) { c.Keys.Copy = "elsewhere" },
		"root_file that every":     func(c *Config) { c.Keys.RootFile = "" },
		"media: with":              func(c *Config) { c.Media.Folder = "" },
		"store.connections":        func(c *Config) { c.Store.Connections = 5000 },
		"is for store.kind sql":    func(c *Config) { c.Store = StoreConfig{} },
		"dsn_file and dsn_env are": func(c *Config) { c.Store.Kind = LocalStore },
	} {
		c := shared()
		change(&c)
		if err := c.checkStore(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// A connection string comes from where only the node's user reads, and is in no
// error.
func TestConnectionStringsAreSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dsn")
	const dsn = "postgres://u:s3cret@db.example/d?sslmode=verify-full"
	if err := os.WriteFile(path, []byte(dsn+"\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	c := DatabaseConfig{DSNFile: path}
	if _, err := c.read("store"); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others read: %v", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := c.read("store"); err != nil || got != dsn {
		t.Errorf("%v", err)
	}
	t.Setenv("DOMICILE_TEST_DSN", dsn)
	if got, err := (DatabaseConfig{DSNEnv: "DOMICILE_TEST_DSN"}).read("store"); err != nil || got != dsn {
		t.Errorf("%v", err)
	}
	if _, err := (DatabaseConfig{DSNEnv: "DOMICILE_TEST_NONE"}).read("store"); err == nil {
		t.Error("an empty variable was taken")
	}
}
