package move

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/domicile-io/domicile/dataplane/local"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
)

// While the database is away each try adds what changed since the one before. More
// than a store notes is not kept: the pass begins anew.
func TestWhatWaitsForTheDatabaseIsBounded(t *testing.T) {
	dir := t.TempDir()
	keys, err := local.OpenKeyring(local.Options{Dir: filepath.Join(dir, "keys"), Region: storetest.Region, RootFile: filepath.Join(dir, "root.key")})
	if err != nil {
		t.Fatal(err)
	}
	records, err := localstore.Open(localstore.Options{Dir: filepath.Join(dir, "records"), Region: storetest.Region, Keys: keys})
	if err == nil {
		err = records.Follow(noteKeys)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(records.Close(), keys.Close()); err != nil {
			t.Error(err)
		}
	})
	m := &Mover{o: Options{Records: records}}
	m.pending.Add(localstore.Changes{})
	for n := range noteKeys {
		m.pending.Keys[fmt.Sprint(n)] = struct{}{}
	}
	at, err := m.moment() // as many as are noted
	if err == nil {
		err = at.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	m.pending.Keys["one more"] = struct{}{}
	if _, err := m.moment(); !errors.Is(err, errLost) {
		t.Errorf("with %d changes that wait: %v", m.pending.Len(), err)
	}
	if n := m.pending.Len(); n > 0 || m.Status().Restarts != 1 {
		t.Errorf("%d changes wait after the pass began anew; restarts %d", n, m.Status().Restarts)
	}
}
