package subject

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/shelf/bolt"
	"github.com/domicile-io/domicile/dataplane/shelf/shelftest"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/postgres"
	"github.com/domicile-io/domicile/policy"
)

func openLedger(t *testing.T, dir string) (Ledger, error) {
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
	reopen := func(raw []byte) (Ledger, error) {
		must(t, os.WriteFile(path, raw, 0o600))
		fresh := t.TempDir()
		copyTree(t, filepath.Join(dir, "keys"), filepath.Join(fresh, "keys"))
		copyTree(t, filepath.Join(dir, "erasures"), filepath.Join(fresh, "erasures"))
		return openLedger(t, fresh)
	}
	check := func(l Ledger, err error, want int) {
		t.Helper()
		must(t, err)
		if a, b := sinceOf(t, l, tenant), sinceOf(t, l, otherTenant); len(a)+len(b) != want {
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

func sinceOf(t *testing.T, l Ledger, of policy.TenantID) []Intent {
	t.Helper()
	out, err := l.Since(of, 0)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func lastOf(t *testing.T, l Ledger, of policy.TenantID) uint64 {
	t.Helper()
	n, err := l.Last(of)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Nodes that share a ledger append one chain, and each sees the other's entries.
func TestLedgerThatNodesShare(t *testing.T) {
	keys, err := local.OpenKeyring(local.Options{Dir: t.TempDir(), Region: "ie1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	s, err := bolt.Open(filepath.Join(t.TempDir(), "ledger.db"), LedgerBuckets())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	open := func() (Ledger, error) {
		return OpenShelfLedger(shelftest.Repeating(s, postgres.Collision()), func() error { return nil }, keys, "ie1")
	}
	a, err := open()
	if err != nil {
		t.Fatal(err)
	}
	b, err := open()
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 4 {
		l := []Ledger{a, b}[i%2]
		all.Go(func() {
			for range 10 {
				if _, err := l.Append(Intent{Certificate: "EC1", Tenant: tenant}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for _, l := range []Ledger{a, b} {
		list := sinceOf(t, l, tenant)
		for i, in := range list {
			if in.N != uint64(i)+1 {
				t.Fatalf("entry %d has number %d", i+1, in.N)
			}
		}
		if len(list) != 40 || lastOf(t, l, tenant) != 40 {
			t.Errorf("%d entries, want 40", len(list))
		}
	}
	for _, damage := range []func(tx shelf.Tx) error{
		func(tx shelf.Tx) error { return tx.Delete(bucketEntries, entryKey(7)) },
		func(tx shelf.Tx) error {
			v, err := tx.Get(bucketEntries, entryKey(1))
			if err != nil {
				return err
			}
			return tx.Put(bucketEntries, entryKey(7), v)
		},
	} {
		if err := s.Update(damage); err != nil {
			t.Fatal(err)
		}
		if _, err := open(); err == nil {
			t.Fatal("a damaged ledger opened")
		}
	}
}
