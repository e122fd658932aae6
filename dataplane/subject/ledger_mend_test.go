package subject

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// A ledger whose write failed appends nothing to that file, and goes on by itself
// in a new one that holds what was acknowledged and nothing else.
func TestLedgerMendsAfterAFailedWrite(t *testing.T) {
	dir := t.TempDir()
	opened, err := openLedger(t, dir)
	must(t, err)
	l := opened.(*FileLedger)
	append1 := func(id string) (uint64, error) {
		return l.Append(Intent{Certificate: id, Tenant: tenant, Owners: []store.Owner{{Subject: "SU" + id}}, Time: epoch})
	}
	for _, id := range []string{"a", "b"} {
		_, err := append1(id)
		must(t, err)
	}
	// Half a line is in the file, and the descriptor writes no more.
	_, err = l.file.WriteString(`{"n":3,"ten`)
	must(t, err)
	must(t, l.file.Close())
	_, err = append1("lost")
	if !errors.Is(err, &policy.Error{Reason: policy.NotReady}) {
		t.Fatalf("a write that failed: %v", err)
	}
	path := filepath.Join(dir, "erasures", ledgerFile)
	// While it cannot be made anew, nothing is appended.
	must(t, os.Mkdir(path+".new", 0o700))
	if err := l.Healthy(); !errors.Is(err, &policy.Error{Reason: policy.NotReady}) {
		t.Errorf("healthy although it cannot be made anew: %v", err)
	}
	if _, err := append1("lost"); err == nil {
		t.Error("appended to a file that failed")
	}
	must(t, os.Remove(path+".new"))
	must(t, l.Healthy())
	if n, err := append1("c"); err != nil || n != 3 {
		t.Errorf("entry %d: %v", n, err)
	}
	must(t, l.Close())
	fresh := t.TempDir()
	copyTree(t, filepath.Join(dir, "keys"), filepath.Join(fresh, "keys"))
	copyTree(t, filepath.Join(dir, "erasures"), filepath.Join(fresh, "erasures"))
	again, err := openLedger(t, fresh)
	must(t, err)
	got, err := again.Since(tenant, 0)
	must(t, err)
	if len(got) != 3 || got[0].Certificate != "a" || got[1].Certificate != "b" || got[2].Certificate != "c" {
		t.Errorf("after a restart: %+v", got)
	}
}

// A file that somebody changed meanwhile is not carried on from.
func TestLedgerDoesNotMendWhatWasChanged(t *testing.T) {
	dir := t.TempDir()
	opened, err := openLedger(t, dir)
	must(t, err)
	l := opened.(*FileLedger)
	_, err = l.Append(Intent{Certificate: "a", Tenant: tenant, Time: epoch})
	must(t, err)
	must(t, l.file.Close())
	must(t, os.Truncate(filepath.Join(dir, "erasures", ledgerFile), 0))
	for range 2 {
		if _, err := l.Append(Intent{Certificate: "b", Tenant: tenant, Time: epoch}); err == nil {
			t.Fatal("goes on after an entry was lost")
		}
	}
}

// Room that is made for a write lets the append that found none succeed.
func TestLedgerTriesAgainWithRoom(t *testing.T) {
	dir := t.TempDir()
	opened, err := openLedger(t, dir)
	must(t, err)
	l := opened.(*FileLedger)
	tries := 0
	l.RetryWith(func(write func() error) error {
		for tries = 1; ; tries++ {
			if tries == 1 {
				l.failed = unix.ENOSPC // as a write on a full disk leaves it
				continue
			}
			return write()
		}
	})
	if n, err := l.Append(Intent{Certificate: "a", Tenant: tenant, Time: epoch}); err != nil || n != 1 || tries != 2 {
		t.Errorf("entry %d after %d tries: %v", n, tries, err)
	}
}
