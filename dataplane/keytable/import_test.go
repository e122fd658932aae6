package keytable

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// old is a keyring of one node, with keys of three generations of which some are
// destroyed.
type old struct {
	r     *region
	o     local.Options
	keys  *local.Keyring
	alive map[store.KeyID][32]byte
	dead  []store.KeyID
	named map[string][32]byte
}

func newOld(t *testing.T, r *region) *old {
	t.Helper()
	k := &old{r: r, o: local.Options{Dir: filepath.Join(t.TempDir(), "keys"), Region: "ie1", RootFile: r.root}, alive: map[store.KeyID][32]byte{}, named: map[string][32]byte{}}
	var err error
	k.keys, err = local.OpenKeyring(k.o)
	check(t, err)
	t.Cleanup(func() { check(t, k.keys.Close()) })
	for range 3 {
		for i := range 300 {
			id, key, err := k.keys.Draw()
			check(t, err)
			if k.alive[id] = key; i%7 == 3 {
				check(t, k.keys.Destroy([]store.KeyID{id}))
				delete(k.alive, id)
				k.dead = append(k.dead, id)
			}
		}
		check(t, k.keys.Rotate(t.Context()))
	}
	for _, name := range []string{"a", "b", "gone"} {
		k.named[name], err = k.keys.Named(name)
		check(t, err)
	}
	_, err = k.keys.Forget([]string{"gone"})
	check(t, err)
	return k
}

// carried is what the node over the key database has of the keyring's keys.
func (k *old) carried(t *testing.T, table *Table) {
	t.Helper()
	for id, want := range k.alive {
		if got, err := table.Open(id); err != nil || got != want {
			t.Fatalf("key %v: %v, or another", id, err)
		}
	}
	for _, id := range k.dead {
		if _, err := table.Open(id); !isDestroyed(err) {
			t.Fatalf("destroyed key %v: %v", id, err)
		}
	}
	for name, want := range k.named {
		got, err := table.Named(name)
		if check(t, err); (got == want) == (name == "gone") {
			t.Errorf("named key %s: the same is %t", name, got == want)
		}
	}
	for range 300 {
		id, _, err := table.Draw()
		check(t, err)
		if _, ok := k.alive[id]; ok {
			t.Fatalf("key %v is handed out twice", id)
		}
	}
}

// A keyring's keys are handed over, destroyed ones stay destroyed, a try that was
// cut short is made anew; what is left of the keyring opens nothing.
func TestINV22_AKeyringIsHandedOverAndSurrendered(t *testing.T) {
	r := newRegion(t)
	k := newOld(t, r)
	_, s := r.shelf()
	o := ImportOptions{Shelf: s, Region: "ie1", Custodian: &local.SharedRoot{Path: r.root, Region: "ie1"}, From: k.keys, Move: "OP1"}
	if _, err := Import(t.Context(), o); err == nil || !strings.Contains(err.Error(), "frozen") {
		t.Errorf("a keyring that is in use: %v", err)
	}
	k.keys.Freeze(policy.Errorf(policy.NotReady, "it moves"))
	for what, err := range map[string]error{"draw": drawn1(k.keys), "destroy": k.keys.Destroy(k.dead[:1]), "rotate": k.keys.Rotate(t.Context())} {
		if !errors.Is(err, &policy.Error{Reason: policy.NotReady}) {
			t.Errorf("%s while frozen: %v", what, err)
		}
	}
	if err := k.keys.Healthy(); err != nil {
		t.Errorf("what is frozen is read: %v", err)
	}
	first, err := Import(t.Context(), o)
	check(t, err)
	again, err := Import(t.Context(), o) // as after a crash before the switch
	check(t, err)
	if first != again || int(first.Keys) < len(k.alive) || first.Destroyed == 0 || first.Names < 2 {
		t.Errorf("handed over %+v, then %+v", first, again)
	}
	o.Move = "OP2"
	if _, err := Import(t.Context(), o); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("another move's table: %v", err)
	}
	check(t, k.keys.Close())
	fates, err := local.Surrender(t.Context(), k.o)
	check(t, err)
	check(t, NoteFates(s, fates))
	if _, err := local.Surrender(t.Context(), k.o); err != nil {
		t.Errorf("surrendered again: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(k.o.Dir, "[nst][aeh][mbe]*-*")); len(left) > 0 {
		t.Errorf("left of the keyring: %v", left)
	}
	k.o.Existing = true
	if _, err := local.OpenKeyring(k.o); err == nil {
		t.Error("the surrendered keyring opens")
	}
	table := r.node(nil)
	k.carried(t, table)
	for _, f := range table.Generations()[:first.Generation-1] {
		if f.Destroyed.IsZero() || f.Final.IsZero() {
			t.Errorf("generation %d: %+v", f.Generation, f)
		}
	}
	check(t, table.Rotate(t.Context()))
	k.carried(t, table)
}

func drawn1(k *local.Keyring) error {
	for range 2 * blockSize { // the last of a block may be ready
		if _, _, err := k.Draw(); err != nil {
			return err
		}
	}
	return nil
}

// An abort leaves no table and no row.
func TestAnImportIsCleared(t *testing.T) {
	r := newRegion(t)
	k := newOld(t, r)
	_, s := r.shelf()
	custodian := &local.SharedRoot{Path: r.root, Region: "ie1"}
	k.keys.Freeze(policy.Errorf(policy.NotReady, "it moves"))
	_, err := Import(t.Context(), ImportOptions{Shelf: s, Region: "ie1", Custodian: custodian, From: k.keys, Move: "OP1"})
	check(t, err)
	if err := ClearImport(t.Context(), s, custodian, "OP2"); err == nil {
		t.Error("another move clears it")
	}
	check(t, ClearImport(t.Context(), s, custodian, "OP1"))
	check(t, s.View(func(tx shelf.Tx) error {
		for _, b := range Buckets() {
			if n, err := tx.Count(b); err != nil || n > 0 {
				t.Errorf("bucket %s has %d rows, %v", b, n, err)
			}
		}
		return nil
	}))
	k.keys.Thaw()
	if _, _, err := k.keys.Draw(); err != nil {
		t.Errorf("the keyring after an abort: %v", err)
	}
}
