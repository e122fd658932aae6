package subject

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/store"
)

func openLedger(t *testing.T, dir string) (*Ledger, error) {
	t.Helper()
	keys, err := local.OpenKeyring(local.Options{Dir: filepath.Join(dir, "keys"), Region: "ie1"})
	must(t, err)
	t.Cleanup(func() { keys.Close() })
	return OpenLedger(filepath.Join(dir, "erasures"), keys, "ie1")
}

func TestLedgerKeepsItsEntries(t *testing.T) {
	dir := t.TempDir()
	l, err := openLedger(t, dir)
	must(t, err)
	for n := range 20 {
		in := Intent{Certificate: fmt.Sprintf("EC%032x", n), Tenant: tenant, Owners: []store.Owner{{Subject: fmt.Sprintf("SU%032x", n)}}, Time: epoch}
		if n%2 == 1 {
			in.Tenant = otherTenant
		}
		if got, err := l.Append(in); err != nil || got != uint64(n+1) {
			t.Fatalf("%d, %v", got, err)
		}
	}
	must(t, l.Close())
	path := filepath.Join(dir, "erasures", ledgerFile)
	whole, err := os.ReadFile(path)
	must(t, err)
	if bytes.Contains(whole, []byte("SU0000")) {
		t.Error("a subject stands in clear")
	}
	reopen := func(raw []byte) (*Ledger, error) {
		must(t, os.WriteFile(path, raw, 0o600))
		fresh := t.TempDir()
		copyTree(t, filepath.Join(dir, "keys"), filepath.Join(fresh, "keys"))
		copyTree(t, filepath.Join(dir, "erasures"), filepath.Join(fresh, "erasures"))
		return openLedger(t, fresh)
	}
	check := func(l *Ledger, err error, want int) {
		t.Helper()
		must(t, err)
		if a, b := l.Since(tenant, 0), l.Since(otherTenant, 0); len(a)+len(b) != want {
			t.Errorf("%d and %d entries, want %d", len(a), len(b), want)
		}
		must(t, l.Close())
	}
	l, err = reopen(whole)
	check(l, err, 20)
	// A line that a crash cut short was never acknowledged.
	l, err = reopen(whole[:len(whole)-7])
	check(l, err, 19)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	for name, raw := range map[string][]byte{
		"taken out": bytes.Join(append(append([][]byte{}, lines[:5]...), lines[6:]...), nil),
		"swapped":   bytes.Join(append(append([][]byte{}, lines[1], lines[0]), lines[2:]...), nil),
		"doubled":   bytes.Join(append(append([][]byte{}, lines[:6]...), lines[5:]...), nil),
	} {
		if _, err := reopen(raw); err == nil {
			t.Errorf("an entry was %s, and nobody noticed", name)
		}
	}
	for at := 10; at < len(whole)-1; at += 97 {
		flipped := bytes.Clone(whole)
		flipped[at] ^= 1
		if _, err := reopen(flipped); err == nil {
			t.Errorf("a byte was flipped at %d, and nobody noticed", at)
		}
	}
}
