package move_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/keytable"
	"github.com/domicile-io/domicile/dataplane/lease"
	keyring "github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/move"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/shelf/bolt"
	shelfsql "github.com/domicile-io/domicile/dataplane/shelf/sql"
	"github.com/domicile-io/domicile/dataplane/store"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/sealed"
	sqlstore "github.com/domicile-io/domicile/dataplane/store/sql"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/internal/postgres"
	"github.com/domicile-io/domicile/policy"
)

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

const region = storetest.Region

// world is an embedded store with its keys and a shelf, and the databases that
// they move to.
type world struct {
	t       *testing.T
	dir     string
	keys    *keyring.Keyring
	records *localstore.Store
	file    *bolt.Shelf
	dsn     string // of the records
	rows    *sqlstore.Rows
	shelf   shelf.Shelf
	table   *shelfsql.DB

	mu    sync.Mutex
	acked map[string]int // native id → how often it was answered as stored
}

const things shelf.Bucket = "things"

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), dsn: postgres.Database(t), acked: map[string]int{}}
	var err error
	w.keys, err = keyring.OpenKeyring(keyring.Options{Dir: filepath.Join(w.dir, "keys"), Region: region, RootFile: filepath.Join(w.dir, "root.key")})
	check(t, err)
	w.records, err = localstore.Open(localstore.Options{Dir: filepath.Join(w.dir, "records"), Region: region, Keys: w.keys})
	check(t, err)
	w.file, err = bolt.Open(filepath.Join(w.dir, "things.db"), []shelf.Bucket{things})
	check(t, err)
	t.Cleanup(func() { check(t, errors.Join(w.records.Close(), w.file.Close(), w.keys.Close())) })
	check(t, shelf.Format(w.file, "things", 1))
	dial := (&net.Dialer{}).DialContext
	w.rows, err = sqlstore.OpenRows(t.Context(), sqlstore.Options{DSN: w.dsn, Dial: dial})
	check(t, err)
	t.Cleanup(func() { check(t, w.rows.Close()) })
	db, err := shelfsql.Open(t.Context(), shelfsql.Options{DSN: w.dsn, Dial: dial, Region: region, Cluster: "test"})
	check(t, err)
	t.Cleanup(db.Close)
	w.shelf, err = db.Shelf(t.Context(), "things")
	check(t, err)
	w.table, err = shelfsql.Open(t.Context(), shelfsql.Options{DSN: postgres.Database(t), Dial: dial, Region: region, Cluster: "test"})
	check(t, err)
	t.Cleanup(w.table.Close)
	return w
}

func (w *world) keyShelf() shelf.Shelf {
	s, err := w.table.Shelf(w.t.Context(), "keys")
	check(w.t, err)
	return s
}

// put changes the shelf: what is there is numbered, and every third goes again.
func (w *world) put(n int) {
	check(w.t, w.file.Update(func(tx shelf.Tx) error {
		key := fmt.Appendf(nil, "thing-%06d", n)
		if n%3 == 0 && n > 3 {
			return errors.Join(tx.Put(things, key, key), tx.Delete(things, fmt.Appendf(nil, "thing-%06d", n-3)))
		}
		return tx.Put(things, key, key)
	}))
}

// send appends calls of a tenant until they are acknowledged or ctx ends.
func (w *world) send(ctx context.Context, tenant policy.TenantID, from, to int) bool {
	permit := storetest.Permit(w.t, tenant, policy.Ingest)
	recs := make([]record.Record, 0, to-from)
	for n := from; n < to; n++ {
		recs = append(recs, storetest.Native(n))
	}
	for ctx.Err() == nil {
		out, err := w.records.Append(ctx, permit, recs)
		if err == nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			for i, a := range out {
				if a.State != store.Duplicate {
					w.acked[string(tenant)+recs[i].Key.NativeID]++
				}
			}
			return true
		}
		if !errors.Is(err, &policy.Error{Reason: policy.NotReady}) && ctx.Err() == nil {
			w.t.Errorf("append: %v", err)
			return false
		}
	}
	return false
}

// load sends batches of both tenants until ctx ends.
func (w *world) load(ctx context.Context, all *sync.WaitGroup) {
	for i, tenant := range []policy.TenantID{storetest.TenantA, storetest.TenantB} {
		all.Go(func() {
			pace := time.NewTicker(10 * time.Millisecond)
			defer pace.Stop()
			for n := 100_000 * (i + 1); w.send(ctx, tenant, n, n+20); n += 20 {
				<-pace.C
				if ctx.Err() == nil { // what came alone is merged while it moves
					if _, err := w.records.Merge(ctx, tenant, sealed.MergeOptions{All: true}); err != nil && !errors.Is(err, &policy.Error{Reason: policy.NotReady}) && ctx.Err() == nil {
						w.t.Errorf("merge: %v", err)
					}
				}
			}
		})
	}
}

func (w *world) options() move.Options {
	return move.Options{Records: w.records, Rows: w.rows, Shelves: []move.Shelf{{Name: "things", From: w.file, To: w.shelf, Buckets: []shelf.Bucket{things}}},
		Freeze: func(why *policy.Error) error { w.keys.Freeze(why); return nil }, Thaw: w.keys.Thaw,
		Hand: func(ctx context.Context, r *move.Report) error {
			d, err := keytable.Import(ctx, keytable.ImportOptions{Shelf: w.keyShelf(), Region: region, Custodian: w.custodian(), From: w.keys, Move: "OP1"})
			r.Details = d
			return err
		}}
}

func (w *world) custodian() keyring.Custodian {
	return &keyring.SharedRoot{Path: filepath.Join(w.dir, "root.key"), Region: region}
}

func (w *world) move(ctx context.Context, change func(*move.Options)) (*move.Mover, error) {
	w.t.Helper()
	o := w.options()
	if change != nil {
		change(&o)
	}
	m, err := move.New(o)
	check(w.t, err)
	return m, m.Run(ctx)
}

// moved opens what the records have become, with the keys that they have now.
func (w *world) moved() (*sqlstore.Store, *keytable.Table) {
	w.t.Helper()
	fates, err := keyring.Surrender(w.t.Context(), keyring.Options{Dir: filepath.Join(w.dir, "keys"), Region: region, RootFile: filepath.Join(w.dir, "root.key")})
	check(w.t, err)
	check(w.t, keytable.NoteFates(w.keyShelf(), fates))
	keys, err := keytable.Open(w.t.Context(), keytable.Options{Shelf: w.keyShelf(), Region: region, Custodian: w.custodian(), Leases: &lease.Alone{}, Existing: true})
	check(w.t, err)
	w.t.Cleanup(func() { check(w.t, keys.Close()) })
	s, err := sqlstore.Open(w.t.Context(), sqlstore.Options{DSN: w.dsn, Dial: (&net.Dialer{}).DialContext, Region: region, Keys: keys})
	check(w.t, err)
	w.t.Cleanup(func() { check(w.t, s.Close()) })
	return s, keys
}

// complete makes sure that everything acknowledged is there once.
func (w *world) complete(s store.Store) {
	w.t.Helper()
	found := map[string]int{}
	for _, tenant := range []policy.TenantID{storetest.TenantA, storetest.TenantB} {
		permit := storetest.Permit(w.t, tenant, policy.View)
		for token := ""; ; {
			page, err := s.List(w.t.Context(), permit, store.Query{PageSize: 1000, PageToken: token})
			check(w.t, err)
			for _, c := range page.Calls {
				found[string(tenant)+c.Record.Key.NativeID]++
			}
			if token = page.NextPageToken; token == "" {
				break
			}
		}
	}
	for id := range w.acked {
		if found[id] != 1 {
			w.t.Errorf("%s is there %d times", id, found[id])
		}
	}
	w.t.Logf("%d records acknowledged, %d there", len(w.acked), len(found))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A store moves under load, cut short in each of its steps; what was acknowledged
// is in the database once, and opens with the keys that it has there.
func TestINV33_AMoveThatIsCutShortGoesOn(t *testing.T) {
	w := newWorld(t)
	w.send(t.Context(), storetest.TenantA, 0, 800)
	w.send(t.Context(), storetest.TenantB, 0, 300)
	for n := range 700 {
		w.put(n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	w.load(ctx, &all)
	cut := errors.New("cut short")
	for i, step := range []string{"copied", "compared", "shut", "caught up"} {
		_, err := w.move(t.Context(), func(o *move.Options) {
			o.Step = func(name string) error {
				if name == step {
					return cut
				}
				return nil
			}
		})
		if !errors.Is(err, cut) {
			t.Fatalf("cut short when %s: %v", step, err)
		}
		w.put(2000 + i)
		w.send(t.Context(), storetest.TenantA, 3000+i, 3001+i) // it takes in again
	}
	began := time.Now()
	m, err := w.move(t.Context(), func(o *move.Options) { o.Full = true })
	check(t, err)
	r := m.Status().Report
	t.Logf("moved in %s, with a pause of %s: %d rows, %d bytes", time.Since(began), r.Pause, r.Rows, r.Bytes)
	if err := w.file.Update(func(shelf.Tx) error { return nil }); !errors.Is(err, &policy.Error{Reason: policy.NotReady}) {
		t.Errorf("the shelf takes changes after the switch: %v", err)
	}
	cancel()
	all.Wait()
	check(t, w.keys.Close())
	s, _ := w.moved()
	w.complete(s)
	if r.Rows == 0 || len(r.Tables) < 20 || len(r.Shelves) != 1 || r.Shelves[0].Rows < 300 || !r.Paused {
		t.Errorf("the report: %+v", r)
	}
	// What is sent again is a duplicate, and what is new is stamped later.
	out, err := s.Append(t.Context(), storetest.Permit(t, storetest.TenantA, policy.Ingest), []record.Record{storetest.Native(7), storetest.Native(999_999)})
	check(t, err)
	if out[0].State != store.Duplicate || out[1].State != store.Stored {
		t.Errorf("sent again: %+v", out)
	}
}

// From the pause on nothing is taken in any more: what is acknowledged while the
// store moves is what the database has.
func TestINV33_NothingIsTakenInAfterTheSwitch(t *testing.T) {
	w := newWorld(t)
	w.send(t.Context(), storetest.TenantA, 0, 100)
	_, err := w.move(t.Context(), func(o *move.Options) {
		hand := o.Hand
		o.Hand = func(ctx context.Context, r *move.Report) error {
			one, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			defer cancel()
			if w.send(one, storetest.TenantA, 500, 501) {
				t.Error("a record was acknowledged during the pause")
			}
			if _, err := w.records.List(ctx, storetest.Permit(t, storetest.TenantA, policy.View), store.Query{PageSize: 10}); err != nil {
				t.Errorf("a read during the pause: %v", err)
			}
			return hand(ctx, r)
		}
	})
	check(t, err)
	check(t, w.keys.Close())
	s, _ := w.moved()
	w.complete(s)
}

// A switch that fails leaves everything as it was, and takes in again.
func TestAPauseThatFailsIsTakenBack(t *testing.T) {
	w := newWorld(t)
	w.send(t.Context(), storetest.TenantA, 0, 100)
	cut := errors.New("the key service is away")
	_, err := w.move(t.Context(), func(o *move.Options) { o.Hand = func(context.Context, *move.Report) error { return cut } })
	if !errors.Is(err, cut) {
		t.Fatal(err)
	}
	_, err = w.move(t.Context(), func(o *move.Options) {
		o.MaxPause = time.Nanosecond
	})
	if err == nil {
		t.Error("a pause that is too long is not given up")
	}
	if !w.send(t.Context(), storetest.TenantA, 100, 120) {
		t.Error("nothing is taken in")
	}
	w.put(1)
	if _, _, err := w.keys.Draw(); err != nil {
		t.Error(err)
	}
}

// A tenant that is purged once its rows are in the database goes from there too.
func TestINV33_ATenantThatIsPurgedMeanwhileIsNotInTheDatabase(t *testing.T) {
	w := newWorld(t)
	w.send(t.Context(), storetest.TenantA, 0, 50)
	if !w.send(t.Context(), storetest.TenantB, 0, 50) {
		t.Fatal("nothing was taken in")
	}
	_, err := w.move(t.Context(), func(o *move.Options) {
		o.Step = func(name string) error {
			if name != "compared" {
				return nil
			}
			gone, err := w.records.Purge(t.Context(), storetest.TenantB)
			if err == nil && gone.Calls != 50 {
				t.Errorf("purged %+v", gone)
			}
			return err
		}
	})
	check(t, err)
	check(t, w.keys.Close())
	s, _ := w.moved()
	page, err := s.List(t.Context(), storetest.Permit(t, storetest.TenantA, policy.View), store.Query{PageSize: 1000})
	if check(t, err); len(page.Calls) != 50 {
		t.Errorf("the other tenant has %d calls", len(page.Calls))
	}
	raw, err := hex.DecodeString(string(storetest.TenantB)[2:])
	check(t, err)
	prefix := append([]byte{'k'}, raw...)
	frames, err := w.rows.Rows(prefix, append(slices.Clone(prefix), 0xff)) // sealed: whether they open or not
	check(t, err)
	if frames.First() {
		t.Error("frames of the tenant are in the database")
	}
	check(t, errors.Join(frames.Error(), frames.Close()))
}

// forgetful takes changes and keeps none.
type forgetful struct{ shelf.Shelf }

func (forgetful) Update(func(shelf.Tx) error) error { return nil }

// A shelf that is not the same on both sides ends the switch, however rows are
// compared.
func TestAShelfThatDiffersIsFoundInThePause(t *testing.T) {
	w := newWorld(t)
	w.put(1)
	for _, full := range []bool{false, true} {
		_, err := w.move(t.Context(), func(o *move.Options) {
			o.Full, o.Shelves[0].To = full, forgetful{o.Shelves[0].To}
			o.Hand = func(context.Context, *move.Report) error { t.Error("the move was handed over"); return nil }
		})
		if err == nil || !strings.Contains(err.Error(), "things is not the same") {
			t.Fatalf("every row compared in the pause %t: %v", full, err)
		}
	}
}

// What an earlier try left in the database, and the store has no more, goes; what
// somebody changes there is found by the comparison.
func TestAPassMendsAndAComparisonFinds(t *testing.T) {
	w := newWorld(t)
	w.send(t.Context(), storetest.TenantA, 0, 100)
	stray := append([]byte{'q'}, make([]byte, 32)...)
	put := func(value []byte) {
		b := w.rows.NewBatch()
		if value == nil {
			check(t, b.Delete(stray))
		} else {
			check(t, b.Set(stray, value))
		}
		check(t, w.rows.Write(b))
	}
	put([]byte("left"))
	stop := errors.New("stop")
	at := func(step string, do func()) error {
		_, err := w.move(t.Context(), func(o *move.Options) {
			o.Step = func(name string) error {
				if name != step {
					return nil
				}
				do()
				return stop
			}
		})
		return err
	}
	if err := at("copied", func() {
		if v, err := w.rows.Get(stray); err != nil || v != nil {
			t.Errorf("a stray row is there: %q, %v", v, err)
		}
	}); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	_, err := w.move(t.Context(), func(o *move.Options) {
		o.Step = func(name string) error {
			if name == "copied" {
				put([]byte("foreign"))
			}
			return nil
		}
	})
	if err == nil || !errors.Is(err, move.ErrForeign) {
		t.Errorf("a row that somebody wrote: %v", err)
	}
	frames, err := w.rows.Rows([]byte{'k'}, []byte{'l'})
	check(t, err)
	if !frames.First() {
		t.Fatal("there is no frame")
	}
	frame := append([]byte(nil), frames.Key()...)
	check(t, frames.Close())
	_, err = w.move(t.Context(), func(o *move.Options) {
		o.Step = func(name string) error {
			if name != "copied" {
				return nil
			}
			b := w.rows.NewBatch()
			return errors.Join(b.Set(frame, []byte("changed")), w.rows.Write(b))
		}
	})
	if !errors.Is(err, move.ErrForeign) {
		t.Errorf("a row that somebody changed: %v", err)
	}
}
