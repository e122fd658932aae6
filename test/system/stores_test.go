package system

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/postgres"
)

// edit changes the configuration of a region's node.
type edit func(env *dev.Environment, c *dataplane.Config) error

// onBothStores runs a test on the embedded store, and on one in a database.
func onBothStores(t *testing.T, test func(t *testing.T, store edit)) {
	t.Run("local", func(t *testing.T) {
		test(t, func(*dev.Environment, *dataplane.Config) error { return nil })
	})
	t.Run("sql", func(t *testing.T) { test(t, inDatabases(t)) })
}

// inDatabases gives each region of a test a database for its records and one for
// its keys, which all its nodes share.
func inDatabases(t *testing.T) edit {
	return inDatabasesOf(t.TempDir(), func() string { return postgres.Database(t) })
}

// inDatabasesOf is inDatabases with the folder of its other files, and a maker of
// databases, of the caller's.
func inDatabasesOf(dir string, database func() string) edit {
	var mu sync.Mutex
	made := map[string]bool{}
	return func(_ *dev.Environment, c *dataplane.Config) error {
		mu.Lock()
		defer mu.Unlock()
		at := func(what string) string { return filepath.Join(dir, c.Region+"-"+what) }
		if !made[c.Region] {
			made[c.Region] = true
			for _, what := range []string{"records", "keys"} {
				if err := os.WriteFile(at(what), []byte(database()), 0o600); err != nil {
					return err
				}
			}
		}
		c.Store = dataplane.StoreConfig{Kind: dataplane.SQLStore, DatabaseConfig: dataplane.DatabaseConfig{DSNFile: at("records"), Connections: 8}}
		c.Keys.Database = &dataplane.DatabaseConfig{DSNFile: at("keys")}
		c.Keys.RootFile, c.Media.Folder = at("root.key"), at("media")
		return nil
	}
}
