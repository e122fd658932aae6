package sql_test

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"

	keyring "github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/store/sql"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/internal/postgres"
)

// TestMergedConformance is what of the conformance suite reads or changes frames,
// over a database in which what is small is merged between all steps.
func TestMergedConformance(t *testing.T) {
	databases := map[string]string{} // by folder
	storetest.RunMerged(t, func(t *testing.T, o storetest.Options) storetest.Reopenable {
		if databases[o.Dir] == "" {
			databases[o.Dir] = postgres.Database(t)
		}
		keys, err := keyring.OpenKeyring(keyring.Options{Dir: filepath.Join(o.Dir, "keys"), Region: storetest.Region})
		if err != nil {
			t.Fatal(err)
		}
		s, stop := open(t, databases[o.Dir], keys, func(s *sql.Options) { s.Now = o.Now })
		return storetest.Reopenable{Store: s, Keys: keys, Stop: sync.OnceFunc(func() {
			stop()
			if err := errors.Join(keys.Close()); err != nil {
				t.Errorf("close: %v", err)
			}
		})}
	}, "TestINV33_AppendThenReopen", "FoldKamailio", "PlaceNeverMoves", "Window", "Purge", "TestINV21_Drop", "TestINV21_Reindex", "TestINV21_Redact", "LogBatches")
}
