//go:build pkcs11

package hsm

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/keytable"
	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/shelf/sql"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/postgres"
	"github.com/domicile-io/domicile/policy"
)

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

// Two modules over one library are apart: what one closes the other has still.
func TestModulesShareTheirLibrary(t *testing.T) {
	o := softHSM(t)
	first, second := open(t, o), open(t, o)
	token, key, err := first.Create(t.Context(), 1)
	check(t, err)
	check(t, first.Close())
	check(t, first.Close()) // again changes nothing
	if got, err := second.Unwrap(t.Context(), 1, token, store.UseNode); err != nil || got != key {
		t.Fatalf("after the other was closed: %v", err)
	}
	check(t, second.Close())
	if third := open(t, o); third != nil {
		got, err := third.Unwrap(t.Context(), 1, token, store.UseNode)
		if err != nil || got != key {
			t.Fatalf("initialised anew: %v", err)
		}
	}
}

// A region whose generations a module keeps moves to its database: the keyring's keys
// are handed over under an object of the same module, as migrate-store does it, with
// both sides open in one process; the former objects are destroyed.
func TestINV22_AKeyringInAModuleIsHandedOverToADatabase(t *testing.T) {
	o := softHSM(t)
	ring := local.Options{Dir: filepath.Join(t.TempDir(), "keys"), Region: "ie1", Refresh: time.Hour, RotateSpacing: time.Hour, Custodian: open(t, o)}
	keys, err := local.OpenKeyring(ring)
	check(t, err)
	alive := map[store.KeyID][32]byte{}
	var dead store.KeyID
	for i := range 600 {
		id, key, err := keys.Draw()
		check(t, err)
		if alive[id] = key; i == 300 {
			check(t, keys.Rotate(t.Context()))
		}
		dead = id
	}
	check(t, keys.Destroy([]store.KeyID{dead}))
	delete(alive, dead)

	db, err := sql.Open(t.Context(), sql.Options{DSN: postgres.Database(t), Dial: (&net.Dialer{}).DialContext, Region: "ie1", Cluster: cluster})
	check(t, err)
	t.Cleanup(db.Close)
	rows, err := db.Shelf(t.Context(), "keys")
	check(t, err)
	to := open(t, o)
	keys.Freeze(policy.Errorf(policy.NotReady, "it moves"))
	done, err := keytable.Import(t.Context(), keytable.ImportOptions{Shelf: rows, Region: "ie1", Custodian: to, From: keys, Move: "OP1"})
	check(t, err)
	if int(done.Keys) < len(alive) || done.Destroyed == 0 {
		t.Errorf("%+v", done)
	}
	check(t, keys.Close()) // and with it its module
	ring.Custodian = open(t, o)
	fates, err := local.Surrender(t.Context(), ring)
	check(t, err)
	check(t, keytable.NoteFates(rows, fates))
	for _, f := range fates {
		if f.Destroyed.IsZero() {
			t.Errorf("generation %d lives: %+v", f.Generation, f)
		}
	}
	check(t, to.Close())

	table, err := keytable.Open(context.Background(), keytable.Options{Shelf: rows, Region: "ie1", Custodian: open(t, o), Refresh: time.Hour,
		Leases: lease.Contend(lease.Options{Book: db.Book(), Node: "n", TTL: 3 * time.Second})})
	check(t, err)
	defer func() { check(t, table.Close()) }()
	for id, want := range alive {
		if got, err := table.Open(id); err != nil || got != want {
			t.Fatalf("key %v: %v, or another", id, err)
		}
	}
	if _, err := table.Open(dead); !isReason(err, policy.Destroyed) {
		t.Errorf("the destroyed key: %v", err)
	}
}
