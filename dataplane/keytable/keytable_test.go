package keytable

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/shelf/shelftest"
	"github.com/domicile-io/domicile/dataplane/shelf/sql"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/postgres"
	"github.com/domicile-io/domicile/policy"
)

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

// region is a key database and the nodes that share it.
type region struct {
	t     *testing.T
	dsn   string
	root  string
	clock atomic.Int64 // ns that the nodes' clocks are ahead
}

func newRegion(t *testing.T) *region {
	return &region{t: t, dsn: postgres.Database(t), root: filepath.Join(t.TempDir(), "root.key")}
}

func (r *region) shelf() (*sql.DB, shelf.Shelf) {
	r.t.Helper()
	dialer := net.Dialer{}
	db, err := sql.Open(context.Background(), sql.Options{DSN: r.dsn, Dial: dialer.DialContext, Region: "ie1", Cluster: "test"})
	check(r.t, err)
	r.t.Cleanup(db.Close)
	s, err := db.Shelf(context.Background(), "keys")
	check(r.t, err)
	return db, shelftest.Repeating(s, postgres.Collision())
}

func (r *region) node(change func(*Options)) *Table {
	r.t.Helper()
	db, s := r.shelf()
	o := Options{Shelf: s, Region: "ie1", Custodian: &local.SharedRoot{Path: r.root, Region: "ie1"}, Refresh: time.Hour,
		Leases:  lease.Contend(lease.Options{Book: db.Book(), Node: "n", TTL: 3 * time.Second}),
		Elapsed: func() time.Duration { return bootTime() + time.Duration(r.clock.Load()) }}
	if change != nil {
		change(&o)
	}
	k, err := Open(context.Background(), o)
	check(r.t, err)
	r.t.Cleanup(func() { check(r.t, k.Close()) })
	return k
}

type keys map[store.KeyID][32]byte

func (k keys) draw(t *testing.T, n *Table, count int) {
	t.Helper()
	for range count {
		id, key, err := n.Draw()
		check(t, err)
		if _, twice := k[id]; twice || key == [32]byte{} {
			t.Fatalf("key %v was handed out twice, or is nothing", id)
		}
		k[id] = key
	}
}

// opens looks at the destroyed keys and at some of the others, in no order, through a node that remembers nothing.
func (k keys) opens(t *testing.T, r *region, gone map[store.KeyID]bool) {
	t.Helper()
	n := r.node(nil)
	alive := 0
	for id, want := range k {
		if !gone[id] {
			if alive++; alive > 80 {
				continue // each costs a question to the database
			}
		}
		got, err := n.Open(id)
		if gone[id] {
			if !errors.Is(err, &policy.Error{Reason: policy.Destroyed}) {
				t.Fatalf("key %v was destroyed: %v", id, err)
			}
		} else if err != nil || got != want {
			t.Fatalf("key %v: %v", id, err)
		}
	}
}

// Two nodes draw, open and name by one table; a name has one key.
func TestNodesShareKeysAndNames(t *testing.T) {
	r := newRegion(t)
	a, b := r.node(nil), r.node(nil)
	all := keys{}
	for range 3 {
		all.draw(t, a, 200)
		all.draw(t, b, 200)
	}
	all.opens(t, r, nil)
	for id, want := range all {
		if got, err := b.Open(id); err != nil || got != want {
			t.Fatalf("key %v at the other node: %v", id, err)
		}
	}
	var got sync.Map
	var wait sync.WaitGroup
	for i := range 8 {
		n := []*Table{a, b}[i%2]
		wait.Go(func() {
			for j := range 5 {
				key, err := n.Named(fmt.Sprint("index/", j))
				if err != nil {
					t.Error(err)
				}
				if was, ok := got.LoadOrStore(j, key); ok && was != key {
					t.Error("a name has two keys")
				}
			}
		})
	}
	wait.Wait()
	n, err := a.Forget([]string{"index/0", "never"})
	if err != nil || n != 1 {
		t.Fatalf("forgot %d, %v", n, err)
	}
	key, err := r.node(nil).Named("index/0")
	check(t, err)
	if was, _ := got.Load(0); was == key {
		t.Error("a forgotten name has its old key")
	}
}

// What one node destroys opens at no node that has not just held it, and after
// policy.KeysFor at none; a rotation at the other node changes no id.
func TestDestructionAndRotationHoldAcrossNodes(t *testing.T) {
	r := newRegion(t)
	a, b := r.node(nil), r.node(nil)
	all, gone := keys{}, map[store.KeyID]bool{}
	for round := range 3 {
		all.draw(t, a, 150)
		all.draw(t, b, 150)
		var dead []store.KeyID
		for id := range all {
			if len(dead) == 40 {
				break
			}
			if !gone[id] {
				dead = append(dead, id)
				gone[id] = true
			}
		}
		check(t, []*Table{a, b}[round%2].Destroy(dead))
		all.opens(t, r, gone)
		gen, err := a.Retire()
		check(t, err)
		check(t, []*Table{b, a}[round%2].Rotate(t.Context()))
		all.opens(t, r, gone)
		fate, err := a.Fate(gen)
		if err != nil || fate.Destroyed.IsZero() || !fate.IsFinal(time.Now().Add(policy.KeysFor+time.Second)) {
			t.Fatalf("the fate of generation %d: %+v, %v", gen, fate, err)
		}
	}
	r.clock.Store(int64(policy.KeysFor + time.Second))
	for _, n := range []*Table{a, b} {
		check(t, n.reload(t.Context()))
		for id := range gone {
			if _, err := n.Open(id); !errors.Is(err, &policy.Error{Reason: policy.Destroyed}) {
				t.Fatalf("key %v opens at a node %s after its destruction: %v", id, policy.KeysFor, err)
			}
		}
	}
	if s := a.Status(); s.Generation < 4 || s.Service != "up" {
		t.Errorf("status %+v", s)
	}
}

// Nothing that was destroyed opens from what the database held before the
// rotation, once the custodian has let the generation go.
func TestINV21_AnOldCopyOfTheDatabaseOpensNothingDestroyed(t *testing.T) {
	r := newRegion(t)
	c := &forgetful{SharedRoot: local.SharedRoot{Path: r.root, Region: "ie1"}, gone: map[uint64]bool{}}
	with := func(o *Options) { o.Custodian = c }
	a := r.node(with)
	all := keys{}
	all.draw(t, a, 300)
	_, s := r.shelf()
	copied := map[shelf.Bucket]map[string][]byte{}
	check(t, s.View(func(tx shelf.Tx) error {
		for _, b := range append(Buckets(), shelf.Meta) {
			copied[b] = map[string][]byte{}
			check(t, tx.Ascend(b, nil, nil, func(k, v []byte) error { copied[b][string(k)] = append([]byte{}, v...); return nil }))
		}
		return nil
	}))
	var dead []store.KeyID
	for id := range all {
		dead = append(dead, id)
	}
	check(t, a.Destroy(dead[:100]))
	gen, err := a.Retire()
	check(t, err)
	check(t, a.Rotate(t.Context()))
	if fate, err := a.Fate(gen); err != nil || fate.Destroyed.IsZero() {
		t.Fatalf("%+v %v", fate, err)
	}
	// The old database is put back as it was.
	check(t, s.Update(func(tx shelf.Tx) error {
		for _, b := range append(Buckets(), shelf.Meta) {
			if _, err := shelf.DeleteAll(tx, b, nil, nil); err != nil {
				return err
			}
			for k, v := range copied[b] {
				check(t, tx.Put(b, []byte(k), v))
			}
		}
		return nil
	}))
	db, s := r.shelf()
	if _, err := Open(context.Background(), Options{Shelf: s, Region: "ie1", Custodian: c, Leases: lease.Contend(lease.Options{Book: db.Book(), Node: "n"})}); !errors.Is(err, &policy.Error{Reason: policy.Destroyed}) {
		t.Fatalf("an old copy opened: %v", err)
	}
}

// forgetful is a custodian that destroys, as a key service does.
type forgetful struct {
	local.SharedRoot
	mu   sync.Mutex
	gone map[uint64]bool
	down atomic.Bool
}

func (f *forgetful) Unwrap(ctx context.Context, gen uint64, token []byte, use store.KeyUse) ([32]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down.Load() {
		return [32]byte{}, errors.New("it is away")
	}
	if f.gone[gen] {
		return [32]byte{}, policy.Errorf(policy.Destroyed, "generation %d was destroyed", gen)
	}
	return f.SharedRoot.Unwrap(ctx, gen, token, use)
}

func (f *forgetful) Destroy(_ context.Context, gen uint64, _ []byte) (time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone[gen] = true
	return time.Now(), nil
}

// A rotation that is cut short after any step, by a node's death, leaves every key
// where it was, and the next one, at another node, comes to its end.
func TestRotationIsCutShortAnywhere(t *testing.T) {
	for _, at := range []string{"swept", "planned", "created", "carried", "committed"} {
		t.Run(at, func(t *testing.T) {
			r := newRegion(t)
			killed := errors.New("killed")
			a := r.node(func(o *Options) {
				o.step = func(name string) error {
					if name == at {
						return killed
					}
					return nil
				}
			})
			b := r.node(nil)
			all, gone := keys{}, map[store.KeyID]bool{}
			all.draw(t, a, 300)
			all.draw(t, b, 300)
			destroy := func(n *Table, count int) {
				for id := range all {
					if count == 0 {
						break
					}
					if !gone[id] {
						gone[id] = true
						check(t, n.Destroy([]store.KeyID{id}))
						count--
					}
				}
			}
			destroy(a, 5)
			if err := a.Rotate(t.Context()); !errors.Is(err, killed) {
				t.Fatal(err)
			}
			destroy(b, 5) // also what the rotation has carried
			all.draw(t, b, 300)
			all.opens(t, r, gone)
			check(t, b.Rotate(t.Context()))
			all.draw(t, a, 50)
			all.opens(t, r, gone)
			_, s := r.shelf()
			check(t, s.View(func(tx shelf.Tx) error {
				if n, err := tx.Count(bucketSheets); err != nil || n != 1 {
					t.Errorf("%d sheets are left, %v", n, err)
				}
				if n, err := tx.Count(bucketStale); err != nil || n != 0 {
					t.Errorf("%d sets of blocks wait to be deleted, %v", n, err)
				}
				return nil
			}))
		})
	}
}

// Keys are drawn, used and destroyed at both nodes while both rotate.
func TestNodesWorkWhileBothRotate(t *testing.T) {
	r := newRegion(t)
	nodes := []*Table{r.node(nil), r.node(nil)}
	var mu sync.Mutex
	all, gone := keys{}, map[store.KeyID]bool{}
	var wait sync.WaitGroup
	for i := range 4 {
		n, other := nodes[i%2], nodes[(i+1)%2]
		wait.Go(func() {
			for j := range 120 {
				id, key, err := n.Draw()
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := other.Open(id); err != nil || got != key {
					t.Errorf("key %v at the other node: %v", id, err)
				}
				dead := j%5 == 0
				if dead {
					if err := other.Destroy([]store.KeyID{id}); err != nil {
						t.Error(err)
					}
				}
				mu.Lock()
				if _, twice := all[id]; twice {
					t.Errorf("key %v was handed out twice", id)
				}
				all[id] = key
				if dead {
					gone[id] = true
				}
				mu.Unlock()
			}
		})
	}
	for _, n := range nodes {
		wait.Go(func() {
			for range 3 {
				if err := n.Rotate(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	all.opens(t, r, gone)
	if g := nodes[0].Status().Generation; g != 7 {
		t.Errorf("generation %d after six rotations", g)
	}
}

// While the key service is away a node works with what it has, and then not.
func TestKeysEndWhenTheServiceStaysAway(t *testing.T) {
	r := newRegion(t)
	c := &forgetful{SharedRoot: local.SharedRoot{Path: r.root, Region: "ie1"}, gone: map[uint64]bool{}}
	a := r.node(func(o *Options) { o.Custodian = c })
	all := keys{}
	all.draw(t, a, 1)
	c.down.Store(true)
	all.draw(t, a, 1)
	r.clock.Store(int64(policy.KeysFor + time.Second))
	for id := range all {
		if _, err := a.Open(id); !errors.Is(err, &policy.Error{Reason: policy.NotReady}) {
			t.Fatalf("a key opens after %s without the key service: %v", policy.KeysFor, err)
		}
	}
	if _, _, err := a.Draw(); err == nil || a.Healthy() == nil {
		t.Fatal("a key was drawn")
	}
	c.down.Store(false)
	check(t, a.reload(t.Context()))
	all.opens(t, r, nil)
}

func TestAnEmptyDatabaseBesideRecordsIsRefused(t *testing.T) {
	r := newRegion(t)
	db, s := r.shelf()
	o := Options{Shelf: s, Region: "ie1", Custodian: &local.SharedRoot{Path: r.root, Region: "ie1"}, Existing: true, Leases: lease.Contend(lease.Options{Book: db.Book(), Node: "n"})}
	if _, err := Open(context.Background(), o); err == nil {
		t.Fatal("a new table was made beside records")
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What another node destroys after a rotation has carried it is destroyed in what
// the rotation puts in place, too.
func TestAKeyDestroyedDuringARotationStaysDestroyed(t *testing.T) {
	r := newRegion(t)
	b := r.node(nil)
	all, gone := keys{}, map[store.KeyID]bool{}
	a := r.node(func(o *Options) {
		o.step = func(name string) error {
			if name != "carried" {
				return nil
			}
			for id := range all {
				if len(gone) == 20 {
					break
				}
				gone[id] = true
			}
			var dead []store.KeyID
			for id := range gone {
				dead = append(dead, id)
			}
			return b.Destroy(dead)
		}
	})
	all.draw(t, a, 300)
	for id := range all { // one, so that the table is written anew
		gone[id] = true
		check(t, b.Destroy([]store.KeyID{id}))
		break
	}
	check(t, a.Rotate(t.Context()))
	all.opens(t, r, gone)
}

// Nodes of a new region that start at once, on one root file, end with one root
// and one table.
func TestNodesThatStartAtOnceHaveOneRoot(t *testing.T) {
	r := newRegion(t)
	var nodes [4]*Table
	var all sync.WaitGroup
	for i := range nodes {
		db, s := r.shelf()
		all.Go(func() {
			k, err := Open(context.Background(), Options{Shelf: s, Region: "ie1", Custodian: &local.SharedRoot{Path: r.root, Region: "ie1"}, Refresh: time.Hour,
				Leases: lease.Contend(lease.Options{Book: db.Book(), Node: "n", TTL: 3 * time.Second})})
			if err != nil {
				t.Error(err)
				return
			}
			nodes[i] = k
		})
	}
	all.Wait()
	keys := map[[32]byte]bool{}
	for _, n := range nodes {
		if n == nil {
			continue
		}
		key, err := n.Named("one")
		check(t, err)
		keys[key] = true
		check(t, n.Close())
	}
	if len(keys) != 1 {
		t.Errorf("one name has %d keys", len(keys))
	}
}
