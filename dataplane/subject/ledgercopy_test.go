package subject

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/dataplane/local"
)

// The ledger's copy is never behind an entry that was acknowledged, and never
// replaced by a shorter ledger.
func TestINV22_TheLedgersCopyIsTheNewest(t *testing.T) {
	dir, far := t.TempDir(), t.TempDir()
	keys, err := local.OpenKeyring(local.Options{Dir: filepath.Join(dir, "keys"), Region: "ie1"})
	must(t, err)
	defer keys.Close()
	here := filepath.Join(dir, "erasures")
	l, err := OpenLedger(here, keys, "ie1")
	must(t, err)
	l.AfterAppend(func() { must(t, l.CopyAppended(LedgerFolder(far))) })
	for n := range uint64(3) {
		_, err := l.Append(Intent{Certificate: "EC00000000000000000000000000000001", Tenant: tenant, Time: epoch})
		must(t, err)
		if _, in, _, err := ChooseLedger(keys, "ie1", LedgerFolder(far)); err != nil || uint64(len(in)) != n+1 {
			t.Fatalf("the copy has %d entries, %v", len(in), err)
		}
	}
	if n, err := l.CopyTo(LedgerFolder(far)); err != nil || n != 3 {
		t.Errorf("%d, %v", n, err)
	}
	must(t, l.Close())

	// A ledger that lost its last entry: the copy is chosen, and not overwritten.
	path := filepath.Join(here, ledgerFile)
	whole, err := os.ReadFile(path)
	must(t, err)
	short := whole[:len(whole)/3+1]
	must(t, os.WriteFile(path, short, 0o600))
	raw, in, from, err := ChooseLedger(keys, "ie1", LedgerFolder(here), LedgerFolder(far))
	if err != nil || len(in) != 3 || from != filepath.Join(far, ledgerFile) || string(raw) != string(whole) {
		t.Errorf("%d entries of %s, %v", len(in), from, err)
	}
	l, err = OpenLedger(here, keys, "ie1")
	must(t, err)
	if _, err := l.CopyTo(LedgerFolder(far)); err == nil || !strings.Contains(err.Error(), "put back the longer one") {
		t.Errorf("a shorter ledger replaces its copy: %v", err)
	}
	_, err = l.Append(Intent{Certificate: "EC00000000000000000000000000000009", Tenant: tenant, Time: epoch}) // and goes on another way
	must(t, err)
	must(t, l.Close())
	if _, _, _, err := ChooseLedger(keys, "ie1", LedgerFolder(here), LedgerFolder(far)); err == nil || !strings.Contains(err.Error(), "not of one chain") {
		t.Errorf("two chains: %v", err)
	}
	if _, _, _, err := ChooseLedger(keys, "ie1", LedgerFolder(filepath.Join(dir, "none"))); !errors.Is(err, ErrNoLedger) {
		t.Errorf("none: %v", err)
	}
	bad := append([]byte{}, whole...)
	bad[len(bad)/2] ^= 1
	must(t, os.WriteFile(filepath.Join(far, ledgerFile), bad, 0o600))
	if _, _, _, err := ChooseLedger(keys, "ie1", LedgerFolder(far)); err == nil {
		t.Error("a changed ledger is chosen")
	}
}
