package local_test

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"

	keyring "github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
)

// openAt opens store and keyring under dir; stop, also called when the test
// ends, closes both.
func openAt(t testing.TB, dir string, change func(*local.Options)) (s *local.Store, stop func()) {
	t.Helper()
	s, _, stop = openKeyed(t, dir, change)
	return s, stop
}

// openKeyed is openAt that shows the keyring.
func openKeyed(t testing.TB, dir string, change func(*local.Options)) (s *local.Store, keys *keyring.Keyring, stop func()) {
	t.Helper()
	keys, err := keyring.OpenKeyring(keyring.Options{Dir: filepath.Join(dir, "keys"), Region: storetest.Region})
	if err != nil {
		t.Fatal(err)
	}
	o := local.Options{Dir: filepath.Join(dir, "records"), Region: storetest.Region, Keys: keys}
	if change != nil {
		change(&o)
	}
	s, err = local.Open(o)
	if err != nil {
		keys.Close()
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		if err := errors.Join(s.Close(), keys.Close()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	t.Cleanup(stop)
	return s, keys, stop
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T, o storetest.Options) storetest.Reopenable {
		s, keys, stop := openKeyed(t, o.Dir, func(l *local.Options) { l.Now = o.Now })
		return storetest.Reopenable{Store: s, Keys: keys, Stop: stop}
	})
}
