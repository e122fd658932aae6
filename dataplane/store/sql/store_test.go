package sql_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	keyring "github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/sql"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/internal/postgres"
)

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

// open opens a store over a database; stop, also called when the test ends,
// closes it.
func open(t testing.TB, dsn string, keys store.Keys, change func(*sql.Options)) (s *sql.Store, stop func()) {
	t.Helper()
	o := sql.Options{DSN: dsn, Dial: (&net.Dialer{}).DialContext, Region: storetest.Region, Keys: keys, Connections: 8}
	if change != nil {
		change(&o)
	}
	s, err := sql.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

func TestConformance(t *testing.T) {
	databases := map[string]string{} // by folder
	storetest.Run(t, func(t *testing.T, o storetest.Options) storetest.Reopenable {
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
	})
}
