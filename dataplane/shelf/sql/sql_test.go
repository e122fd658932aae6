package sql

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/shelf/shelftest"
	"github.com/domicile-io/domicile/internal/postgres"
	"github.com/domicile-io/domicile/policy"
)

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

func open(t *testing.T, dsn string, region policy.RegionID) (*DB, error) {
	t.Helper()
	dialer := net.Dialer{}
	db, err := Open(context.Background(), Options{DSN: dsn, Dial: dialer.DialContext, Region: region, Cluster: "test"})
	if err == nil {
		t.Cleanup(db.Close)
	}
	return db, err
}

func mustOpen(t *testing.T, dsn string) *DB {
	t.Helper()
	db, err := open(t, dsn, "ie1")
	check(t, err)
	return db
}

func TestShelfInADatabase(t *testing.T) {
	shelftest.Run(t, func(t *testing.T) (shelf.Shelf, func() shelf.Shelf) {
		dsn := postgres.Database(t)
		at := func() shelf.Shelf {
			s, err := mustOpen(t, dsn).Shelf(context.Background(), "test")
			check(t, err)
			return s
		}
		return at(), at
	}, false)
}

// A change that was committed and answered with an error is made once, and its outcome
// said to be unknown.
func TestACommitWhoseAnswerIsLostIsMadeOnce(t *testing.T) {
	for _, code := range []string{"08P01", "40003", "XX000"} {
		p := &postgres.Pooler{Code: code}
		db, err := Open(context.Background(), Options{DSN: postgres.Database(t), Dial: p.Dial, Region: "ie1", Cluster: "test"})
		check(t, err)
		t.Cleanup(db.Close)
		s, err := db.Shelf(context.Background(), "test")
		check(t, err)
		key := []byte("count")
		p.Arm()
		err = s.Update(func(tx shelf.Tx) error {
			n, err := tx.Get(shelf.Meta, key)
			return errors.Join(err, tx.Put(shelf.Meta, key, append(n, 'x')))
		})
		if p.Armed() || !errors.Is(err, &policy.Error{Reason: policy.OutcomeUnknown}) {
			t.Errorf("%s: %v", code, err)
		}
		check(t, s.View(func(tx shelf.Tx) error {
			n, err := tx.Get(shelf.Meta, key)
			if string(n) != "x" {
				t.Errorf("%s: the change was made %d times", code, len(n))
			}
			return err
		}))
	}
}

func TestINV02_ADatabaseIsOfOneRegion(t *testing.T) {
	dsn := postgres.Database(t)
	mustOpen(t, dsn)
	if _, err := open(t, dsn, "us1"); err == nil || !strings.Contains(err.Error(), "belongs to region ie1") {
		t.Fatalf("another region's node: %v", err)
	}
	mustOpen(t, dsn)
}

// Nodes of a region that are started for the first time together make the same
// tables, types and rows; each must come up.
func TestNodesMakeTheTablesTogether(t *testing.T) {
	for range 10 {
		dsn := postgres.Database(t)
		start := make(chan struct{})
		var all sync.WaitGroup
		for range 6 {
			all.Go(func() {
				<-start
				db, err := open(t, dsn, "ie1")
				if err == nil {
					_, err = db.Shelf(context.Background(), "test")
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		all.Wait()
	}
}

// What another node's table in the making looks like, between its type and its
// relation, is met on purpose: a type of that name without a table.
func TestATypeWithoutItsTableIsTriedAgain(t *testing.T) {
	dsn := postgres.Database(t)
	conn, err := pgx.Connect(context.Background(), dsn)
	check(t, err)
	defer func() { check(t, conn.Close(context.Background())) }()
	_, err = conn.Exec(context.Background(), `CREATE DOMAIN domicile_owner AS int`)
	check(t, err)
	if _, err := open(t, dsn, "ie1"); !again(err) {
		t.Fatalf("it is given up for %v", err)
	}
	_, err = conn.Exec(context.Background(), `DROP DOMAIN domicile_owner`)
	check(t, err)
	mustOpen(t, dsn)
}

// The lease goes to one, by the database's clock, and each change of hands has a
// higher number.
func TestLeasesInADatabase(t *testing.T) {
	ctx := context.Background()
	b := mustOpen(t, postgres.Database(t)).Book()
	fence, ok, err := b.Acquire(ctx, lease.Sweep, "a", time.Hour)
	if err != nil || !ok || fence != 1 {
		t.Fatalf("%d %v %v", fence, ok, err)
	}
	if _, ok, err := b.Acquire(ctx, lease.Sweep, "b", time.Hour); err != nil || ok {
		t.Fatalf("a second holder: %v %v", ok, err)
	}
	if ok, err := b.Renew(ctx, lease.Sweep, "b", 1, time.Hour); err != nil || ok {
		t.Fatalf("another's renewal: %v %v", ok, err)
	}
	if ok, err := b.Renew(ctx, lease.Sweep, "a", 1, time.Millisecond); err != nil || !ok {
		t.Fatalf("renewal: %v %v", ok, err)
	}
	for ok, err = false, nil; !ok && err == nil; { // the database's clock is what is waited for
		fence, ok, err = b.Acquire(ctx, lease.Sweep, "b", time.Hour)
	}
	if err != nil || fence != 2 {
		t.Fatalf("taken over: %d %v %v", fence, ok, err)
	}
	if ok, err := b.Renew(ctx, lease.Sweep, "a", 1, time.Hour); err != nil || ok {
		t.Fatalf("a former holder's renewal: %v %v", ok, err)
	}
	check(t, b.Release(ctx, lease.Sweep, "a", 1))
	if _, ok, _ := b.Acquire(ctx, lease.Sweep, "c", time.Hour); ok {
		t.Fatal("a former holder gave away what is another's")
	}
	check(t, b.Release(ctx, lease.Sweep, "b", 2))
	if fence, ok, err = b.Acquire(ctx, lease.Sweep, "c", time.Hour); err != nil || !ok || fence != 3 {
		t.Fatalf("given back: %d %v %v", fence, ok, err)
	}
}

// Who lost a lease writes nothing more under it, however late it comes.
func TestAFormerHolderCannotWrite(t *testing.T) {
	ctx := context.Background()
	db := mustOpen(t, postgres.Database(t))
	s, err := db.Shelf(ctx, "test")
	check(t, err)
	leases := lease.Contend(lease.Options{Book: db.Book(), Node: "n1"})
	held, release, err := leases.Hold(ctx, lease.Sweep)
	check(t, err)
	mine := s.Under(lease.FenceOf(held))
	put := func() error {
		return mine.Update(func(tx shelf.Tx) error { return tx.Put("one", []byte("k"), []byte("v")) })
	}
	check(t, put())
	release()
	if held.Err() == nil {
		t.Error("the work goes on after the lease was given back")
	}
	check(t, put()) // nobody has it: the last holder may finish
	_, release, err = leases.Hold(ctx, lease.Sweep)
	check(t, err)
	defer release()
	if err := put(); !errors.Is(err, &policy.Error{Reason: policy.NotReady}) {
		t.Fatalf("a former holder wrote: %v", err)
	}
	check(t, s.Update(func(tx shelf.Tx) error { return nil }))
}

// A holder that dies is followed; one that lives keeps it, and its context ends
// when the database has given the lease to another.
func TestTakeover(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	db := mustOpen(t, postgres.Database(t))
	of := func(node string) *lease.Shared {
		return lease.Contend(lease.Options{Book: db.Book(), Node: node, TTL: 600 * time.Millisecond})
	}
	died, _, err := of("n1").Hold(ctx, lease.Sweep)
	check(t, err)
	began := make(chan context.Context)
	stop, end := context.WithCancel(ctx)
	defer end()
	go of("n2").Run(stop, lease.Sweep, func(held context.Context) { began <- held; <-held.Done() })
	select {
	case <-began:
		t.Fatal("two work at once")
	case <-time.After(1200 * time.Millisecond): // twice its length: renewals keep it
	}
	if _, err := db.pool.Exec(ctx, `UPDATE domicile_lease SET holder = '', fence = fence + 1`); err != nil { // it is taken away
		t.Fatal(err)
	}
	<-began
	select {
	case <-died.Done():
	case <-ctx.Done():
		t.Fatal("who lost the lease works on")
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
