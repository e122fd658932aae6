package aws

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/keytable"
	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/shelf/bolt"
	"github.com/domicile-io/domicile/dataplane/shelf/copied"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// vaulted is a key table with a copy in a bucket.
type vaulted struct {
	*library
	root  string
	clock atomic.Int64 // ns that the nodes' clocks are ahead
}

func newVaulted(t *testing.T) *vaulted {
	v := &vaulted{library: newLibrary(t), root: filepath.Join(t.TempDir(), "root.key")}
	return v
}

func (v *vaulted) now() time.Time { return time.Now().Add(time.Duration(v.clock.Load())) }

func (v *vaulted) tableOptions() copied.Options {
	v.t.Helper()
	o := v.options(v.dsn)
	s, err := v.database(v.dsn).Shelf(v.t.Context(), "keys")
	check(v.t, err)
	o.Shelf, o.Of.Shelf, o.Buckets = s, "keys", append(keytable.Buckets(), shelf.Meta)
	return o
}

func (v *vaulted) table() *keytable.Table { return v.tableWith(func(*copied.Options) {}) }

func (v *vaulted) tableWith(change func(*copied.Options)) *keytable.Table {
	v.t.Helper()
	o := v.tableOptions()
	change(&o)
	c := copied.New(o)
	k, err := keytable.Open(v.t.Context(), keytable.Options{Shelf: c.Shelf(), Region: "ie1", Custodian: &local.SharedRoot{Path: v.root, Region: "ie1"}, Copy: c, Refresh: time.Hour,
		Leases: lease.Contend(lease.Options{Book: v.database(v.dsn).Book(), Node: "n", TTL: 3 * time.Second}), Now: v.now})
	check(v.t, err)
	v.t.Cleanup(func() { check(v.t, k.Close()) })
	return k
}

// fromCopy opens the table that is in the copy, as who has lost the database does.
func (v *vaulted) fromCopy() *keytable.Table {
	v.t.Helper()
	o := v.tableOptions()
	staged, err := bolt.Open(filepath.Join(v.t.TempDir(), "staged"), o.Buckets)
	check(v.t, err)
	o.Shelf = staged
	r, err := copied.Read(v.t.Context(), o, 0)
	check(v.t, err)
	k, err := keytable.Peek(context.Background(), keytable.Options{Shelf: staged, Region: "ie1", Custodian: &local.SharedRoot{Path: v.root, Region: "ie1"}})
	check(v.t, err)
	v.t.Cleanup(func() { _ = k.Close(); _ = staged.Close() })
	check(v.t, r.Genuine(k.CopyKey()))
	return k
}

// token is what opens a generation for who has the root key, as it lies in a row.
func (v *vaulted) token(gen byte) string {
	v.t.Helper()
	o := v.tableOptions()
	var row struct {
		Token []byte `json:"token"`
	}
	check(v.t, o.Shelf.View(func(tx shelf.Tx) error {
		raw, err := tx.Get("sheets", []byte{0, 0, 0, 0, 0, 0, 0, gen})
		if err == nil {
			err = json.Unmarshal(raw, &row)
		}
		return err
	}))
	return base64.StdEncoding.EncodeToString(row.Token)
}

// Every key that was handed out opens from the copy, and every name.
func TestINV33_EveryKeyInUseIsInTheCopy(t *testing.T) {
	v := newVaulted(t)
	a, b := v.table(), v.table()
	all := map[store.KeyID][32]byte{}
	for _, k := range []*keytable.Table{a, b, a} {
		for range 300 {
			id, key, err := k.Draw()
			check(t, err)
			all[id] = key
		}
	}
	name, err := b.Named("index/1")
	check(t, err)
	from := v.fromCopy()
	for id, want := range all {
		if got, err := from.Open(id); err != nil || got != want {
			t.Fatalf("key %v of the copy: %v", id, err)
		}
	}
	if got, err := from.Named("index/1"); err != nil || got != name {
		t.Errorf("a name of the copy: %v", err)
	}
	v.g.server.Stop()
	for range 300 { // what is drawn already is used; then a key waits for its copy
		id, _, drawErr := a.Draw()
		if err = drawErr; err != nil {
			break
		}
		if _, err := from.Open(id); err != nil {
			t.Fatalf("key %v is in use and not in the copy: %v", id, err)
		}
	}
	if !isReason(err, policy.NotReady) {
		t.Errorf("keys are drawn without the copy: %v", err)
	}
	if s := a.Status(); s.Copy == "up" {
		t.Error("the status calls the copy up")
	}
	v.g.server.Start()
	if _, _, err := a.Draw(); err != nil || a.Status().Copy != "up" {
		t.Errorf("with the copy back: %v, %s", err, a.Status().Copy)
	}
}

// A generation is final once nothing in the bucket opens it, late requests included: not
// for who has the root key, and every object that the bucket has.
func TestINV21_AGenerationIsFinalOnceItsCopyHasForgottenIt(t *testing.T) {
	v := newVaulted(t)
	k := v.table()
	id, _, err := k.Draw()
	check(t, err)
	other, want, err := k.Draw()
	check(t, err)
	token := v.token(1)
	check(t, k.Destroy([]store.KeyID{id}))
	if _, err := v.fromCopy().Open(id); !isReason(err, policy.Destroyed) {
		t.Errorf("a destroyed key of the copy: %v", err)
	}
	gen, err := k.Retire()
	check(t, err)
	if len(v.stored(token)) == 0 {
		t.Fatal("the token of generation 1 never was in the bucket: the test shows nothing")
	}
	check(t, k.Rotate(t.Context()))
	final := func() bool {
		fate, err := k.Fate(gen)
		check(t, err)
		return fate.IsFinal(v.now())
	}
	if in := v.stored(token); len(in) != 0 {
		t.Errorf("the token of a destroyed generation is in %v", in)
	}
	check(t, v.place().Put(t.Context(), "keys/change/00000000000000000001", "", strings.NewReader(token))) // as a request that was under way
	v.clock.Store(int64(policy.KeysFor + time.Minute))
	check(t, k.Rotate(t.Context()))
	if final() {
		t.Error("it is final while a request may be under way to the copy")
	}
	v.clock.Store(int64(copied.Late + time.Minute))
	check(t, k.Rotate(t.Context()))
	if !final() {
		t.Error("it does not become final")
	}
	if in := v.stored(token); len(in) != 0 {
		t.Errorf("what came late is in %v", in)
	}
	if got, err := v.fromCopy().Open(other); err != nil || got != want {
		t.Errorf("a key that lives, of the copy: %v", err)
	}
}

// While the copy is away nothing is final, and no generation passes for destroyed.
func TestINV21_NothingIsFinalWhileTheCopyIsAway(t *testing.T) {
	v := newVaulted(t)
	k := v.table()
	id, _, err := k.Draw()
	check(t, err)
	check(t, k.Destroy([]store.KeyID{id}))
	gen, err := k.Retire()
	check(t, err)
	v.g.server.Stop()
	if err := k.Rotate(t.Context()); !isReason(err, policy.NotReady) {
		t.Errorf("a rotation without the copy: %v", err)
	}
	v.clock.Store(int64(24 * time.Hour))
	if fate, err := k.Fate(gen); err != nil || !fate.Destroyed.IsZero() || fate.IsFinal(v.now()) {
		t.Errorf("%+v, %v", fate, err)
	}
	v.g.server.Start()
	check(t, k.Rotate(t.Context()))
	v.clock.Add(int64(copied.Late + time.Minute))
	check(t, k.Rotate(t.Context()))
	if fate, err := k.Fate(gen); err != nil || !fate.IsFinal(v.now()) {
		t.Errorf("%+v, %v", fate, err)
	}
}
