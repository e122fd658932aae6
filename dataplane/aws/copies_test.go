package aws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/shelf/bolt"
	"github.com/domicile-io/domicile/dataplane/shelf/copied"
	"github.com/domicile-io/domicile/dataplane/shelf/shelftest"
	"github.com/domicile-io/domicile/dataplane/shelf/sql"
	"github.com/domicile-io/domicile/internal/postgres"
	"github.com/domicile-io/domicile/policy"
)

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

var copyRoot = [32]byte{1, 2, 3}

// library is a database with a shelf, and the bucket of its copy.
type library struct {
	t       *testing.T
	g       *gateway
	c       S3Config
	dsn     string
	anchors shelf.Shelf
}

func newLibrary(t *testing.T) *library {
	t.Helper()
	g := startGateway(t, "eu-west-1")
	l := &library{t: t, g: g, c: g.bucket("eu-west-1", "key-copies"), dsn: postgres.Database(t)}
	s, err := l.database(postgres.Database(t)).Shelf(t.Context(), "link")
	check(t, err)
	l.anchors = s
	return l
}

func (l *library) database(dsn string) *sql.DB {
	l.t.Helper()
	dialer := net.Dialer{}
	db, err := sql.Open(context.Background(), sql.Options{DSN: dsn, Dial: dialer.DialContext, Region: "ie1", Cluster: "test"})
	check(l.t, err)
	l.t.Cleanup(db.Close)
	return db
}

func (l *library) place() *Copies {
	l.t.Helper()
	_, client := clientFor(l.t, policy.LocalKey, l.c.CA, l.c.Destinations()...)
	b, err := NewS3(l.c, client)
	check(l.t, err)
	l.t.Cleanup(func() { _ = b.Close() })
	return NewCopies(b, nil)
}

func (l *library) options(dsn string) copied.Options {
	l.t.Helper()
	s, err := l.database(dsn).Shelf(l.t.Context(), "test")
	check(l.t, err)
	return copied.Options{Shelf: s, Buckets: append(shelftest.Buckets(), shelf.Meta), Place: l.place(), Spool: l.t.TempDir(),
		Of: copied.Of{Cluster: "test", Region: "ie1", Shelf: "test"}, Anchors: l.anchors, AnchorBucket: "anchors"}
}

// node is one node's copy, begun.
func (l *library) node(change func(*copied.Options)) (*copied.Copy, *copied.Shelf) {
	l.t.Helper()
	o := l.options(l.dsn)
	o.Shelf = shelftest.Repeating(o.Shelf, postgres.Collision())
	if change != nil {
		change(&o)
	}
	c := copied.New(o)
	check(l.t, c.Begin(l.t.Context(), copyRoot))
	return c, c.Shelf()
}

func write(s shelf.Shelf, pairs ...string) error {
	return s.Update(func(tx shelf.Tx) error {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i+1] == "" {
				if err := tx.Delete("one", []byte(pairs[i])); err != nil {
					return err
				}
			} else if err := tx.Put("one", []byte(pairs[i]), []byte(pairs[i+1])); err != nil {
				return err
			}
		}
		return nil
	})
}

func contents(t *testing.T, s shelf.Shelf) string {
	t.Helper()
	var out []string
	check(t, s.View(func(tx shelf.Tx) error {
		out = nil
		return tx.Ascend("one", nil, nil, func(k, v []byte) error { out = append(out, string(k)+"="+string(v)); return nil })
	}))
	return strings.Join(out, " ")
}

// read reads the copy onto a shelf of its own.
func (l *library) read(least uint64, root [32]byte, change func(*copied.Options)) (string, error) {
	l.t.Helper()
	o := l.options(l.dsn)
	staged, err := bolt.Open(filepath.Join(l.t.TempDir(), "staged"), o.Buckets)
	check(l.t, err)
	defer staged.Close()
	if o.Shelf = staged; change != nil {
		change(&o)
	}
	r, err := copied.Read(l.t.Context(), o, least)
	if err == nil {
		err = r.Genuine(root)
	}
	if err != nil {
		return "", err
	}
	return contents(l.t, staged), nil
}

func (l *library) objects() (out []string) {
	l.t.Helper()
	check(l.t, l.place().List(l.t.Context(), "test/", func(name string) error { out = append(out, name); return nil }))
	return out
}

// stored reports whether any object of the bucket holds a word, as its disk has it.
func (l *library) stored(word string) (in []string) {
	l.t.Helper()
	check(l.t, filepath.WalkDir(l.g.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if strings.Contains(string(raw), word) {
			in = append(in, path)
		}
		return err
	}))
	return in
}

// A shelf with a copy is a shelf.
func TestACopiedShelfIsAShelf(t *testing.T) {
	g := startGateway(t, "eu-west-1")
	n := 0
	var mu sync.Mutex
	shelftest.Run(t, func(t *testing.T) (shelf.Shelf, func() shelf.Shelf) {
		mu.Lock()
		defer mu.Unlock()
		n++
		l := &library{t: t, g: g, c: g.bucket("eu-west-1", fmt.Sprintf("copies-%d", n)), dsn: postgres.Database(t)}
		at := func() shelf.Shelf {
			c := copied.New(l.options(l.dsn))
			check(t, c.Begin(t.Context(), copyRoot))
			return c.Shelf()
		}
		return at(), at
	}, false)
}

// What two nodes were told is done is in the copy at that moment.
func TestINV33_ACopyHasWhatWasAcknowledged(t *testing.T) {
	l := newLibrary(t)
	_, a := l.node(nil)
	_, b := l.node(nil)
	var wait sync.WaitGroup
	for i, s := range []shelf.Shelf{a, b} {
		wait.Go(func() {
			for j := range 10 {
				if err := write(s, fmt.Sprintf("k%d-%d", i, j), "v"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	want := contents(t, a)
	if got, err := l.read(20, copyRoot, nil); err != nil || got != want || strings.Count(got, "=v") != 20 {
		t.Errorf("the copy has %q, %v; the shelf %q", got, err, want)
	}
	for i := range 5 { // each is there when its change is answered
		check(t, write(a, "last", fmt.Sprint(i)))
		if got, err := l.read(0, copyRoot, nil); err != nil || !strings.Contains(got, fmt.Sprintf("last=%d", i)) {
			t.Fatalf("change %d is acknowledged and not in the copy: %q, %v", i, got, err)
		}
	}
	// Away, nothing is changed, and it goes on afterwards.
	l.g.server.Stop()
	if err := write(a, "while", "away"); !errors.Is(err, &policy.Error{Reason: policy.NotReady}) {
		t.Errorf("a change that the copy cannot take: %v", err)
	}
	if strings.Contains(contents(t, a), "while") {
		t.Error("it is in the shelf")
	}
	l.g.server.Start()
	check(t, write(b, "and", "back"))
	if got, err := l.read(0, copyRoot, nil); err != nil || got != contents(t, a) {
		t.Errorf("%q, %v", got, err)
	}
}

var errCut = errors.New("cut")

// Cut short at any point, a change is in both or in neither once the next one is made.
func TestINV33_CrashesLeaveACopyWhole(t *testing.T) {
	for _, point := range []string{"put", "based"} {
		t.Run(point, func(t *testing.T) {
			l := newLibrary(t)
			_, a := l.node(nil)
			check(t, write(a, "a", "1", "gone", "secret"))
			armed := true
			c, s := l.node(func(o *copied.Options) {
				o.Step = func(at string) error {
					if armed && at == point {
						return errCut
					}
					return nil
				}
			})
			if point == "put" {
				if err := write(s, "b", "never"); !errors.Is(err, errCut) {
					t.Fatal(err)
				}
			} else if err := c.Rebase(t.Context()); !errors.Is(err, errCut) {
				t.Fatal(err)
			}
			check(t, write(a, "b", "2", "gone", ""))
			if got, err := l.read(2, copyRoot, nil); err != nil || got != "a=1 b=2" {
				t.Errorf("the copy has %q, %v", got, err)
			}
			armed = false
			check(t, c.Rebase(t.Context()))
			check(t, write(s, "c", "3"))
			if got, err := l.read(3, copyRoot, nil); err != nil || got != "a=1 b=2 c=3" || got != contents(t, a) {
				t.Errorf("the copy has %q, %v", got, err)
			}
		})
	}
}

// After a base nothing of what was deleted before is left in the bucket, and what comes
// late is removed.
func TestINV21_ACopyForgetsWhatIsDeleted(t *testing.T) {
	l := newLibrary(t)
	c, s := l.node(nil)
	check(t, write(s, "k", "the-secret", "other", "stays"))
	check(t, write(s, "k", ""))
	if len(l.stored("the-secret")) == 0 {
		t.Fatal("it never was there: the test shows nothing")
	}
	check(t, c.Rebase(t.Context()))
	if in := l.stored("the-secret"); len(in) != 0 {
		t.Errorf("it is still in %v", in)
	}
	if got := l.objects(); !slices.Equal(got, []string{"test/base"}) {
		t.Errorf("objects: %v", got)
	}
	for who, removes := range map[string]func(context.Context) error{"who ends a generation": c.Prune, "who looks now and then": c.Tend} {
		check(t, l.place().Put(t.Context(), fmt.Sprintf("test/change/%020d", 1), "", strings.NewReader("the-secret, late")))
		if got, err := l.read(2, copyRoot, nil); err != nil || got != "other=stays" {
			t.Errorf("what came late is read: %q, %v", got, err)
		}
		check(t, removes(t.Context()))
		if in := l.stored("the-secret"); len(in) != 0 {
			t.Errorf("what came late is still in %v after %s", in, who)
		}
	}
}

// A node that was stopped in the middle of a base does not bring back what another has
// removed since.
func TestINV21_ABaseOfBeforeIsRefused(t *testing.T) {
	l := newLibrary(t)
	fast, s := l.node(nil)
	check(t, write(s, "k", "the-secret"))
	slow := l.place()
	_, tag, err := slow.Read(t.Context(), "test/base")
	check(t, err)
	check(t, write(s, "k", ""))
	check(t, fast.Rebase(t.Context()))
	if err := slow.Put(t.Context(), "test/base", tag, strings.NewReader("the-secret")); !errors.Is(err, copied.ErrChanged) {
		t.Errorf("a base of before the last one: %v", err)
	}
	if in := l.stored("the-secret"); len(in) != 0 {
		t.Errorf("it is in %v", in)
	}
}

// stalled stops before the first object that is put.
type stalled struct {
	copied.Place
	before func()
}

func (p *stalled) Put(ctx context.Context, name, tag string, data io.ReadSeeker) error {
	if before := p.before; before != nil {
		p.before = nil
		before()
	}
	return p.Place.Put(ctx, name, tag, data)
}

// A node whose transaction ended while it stood still does not replace what another has
// committed since.
func TestINV33_WhoLostTheLockReplacesNothing(t *testing.T) {
	l := newLibrary(t)
	_, b := l.node(nil)
	check(t, write(b, "a", "1"))
	dsn := l.dsn
	l.dsn += " idle_in_transaction_session_timeout=300" // ms: the server ends who stands still
	slow := &stalled{Place: l.place()}
	o := l.options(l.dsn)
	o.Place = slow
	c := copied.New(o)
	check(t, c.Begin(t.Context(), copyRoot))
	a := c.Shelf()
	l.dsn = dsn
	slow.before = func() { check(t, write(b, "k", "committed")) } // waits for the lock
	if err := write(a, "k", "lost"); err == nil {
		t.Error("a transaction that was ended commits")
	}
	if got, err := l.read(2, copyRoot, nil); err != nil || got != "a=1 k=committed" || got != contents(t, b) {
		t.Errorf("the copy has %q, %v", got, err)
	}
	check(t, write(a, "c", "3"))
	if got, err := l.read(3, copyRoot, nil); err != nil || got != contents(t, b) {
		t.Errorf("the copy has %q, %v", got, err)
	}
}

// A copy that is another's, was changed, or ends too early is refused.
func TestINV07_ForeignAndOlderCopiesAreRefused(t *testing.T) {
	l := newLibrary(t)
	_, s := l.node(nil)
	check(t, write(s, "a", "1"))
	check(t, write(s, "b", "2"))
	least, err := copied.Anchored(l.anchors, "anchors", "test")
	check(t, err)
	if least != 2 {
		t.Errorf("the records know of change %d, want 2", least)
	}
	refused := func(what, says string, least uint64, root [32]byte, change func(*copied.Options)) {
		t.Helper()
		if _, err := l.read(least, root, change); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want one that says %q", what, err, says)
		}
	}
	refused("another region's", "another cluster, region or table", least, copyRoot, func(o *copied.Options) { o.Of.Region = "us1" })
	refused("another cluster's", "another cluster, region or table", least, copyRoot, func(o *copied.Options) { o.Of.Cluster = "other" })
	refused("another table's", "changed", least, [32]byte{9}, nil)
	p := l.place()
	name := fmt.Sprintf("test/change/%020d", 2)
	in, tag, err := p.Read(t.Context(), name)
	check(t, err)
	raw, err := io.ReadAll(in)
	check(t, errors.Join(err, in.Close()))
	check(t, p.Put(t.Context(), name, tag, strings.NewReader(strings.Replace(string(raw), "b\x01\x012", "b\x01\x013", 1))))
	refused("one that was changed", "changed", least, copyRoot, nil)
	check(t, p.Remove(t.Context(), name))
	refused("one that lacks the last change", "older than what was acknowledged", least, copyRoot, nil)
	// The nodes see it, and mend it.
	c, _ := l.node(nil)
	check(t, c.Tend(t.Context()))
	if got, err := l.read(least, copyRoot, nil); err != nil || got != "a=1 b=2" {
		t.Errorf("%q, %v", got, err)
	}
}

// A node that knows of no copy changes nothing of a shelf that has one, and a copy of
// another table is not overwritten.
func TestACopyIsKeptByAllNodesOrNone(t *testing.T) {
	l := newLibrary(t)
	o := l.options(l.dsn)
	o.Place = nil
	old := copied.New(o).Shelf()
	check(t, write(old, "before", "1"))
	_, s := l.node(nil)
	if err := write(old, "after", "1"); err == nil || !strings.Contains(err.Error(), "keys.copy_s3") {
		t.Errorf("a node without a copy changes what has one: %v", err)
	}
	if copied.New(o).Begin(t.Context(), copyRoot) == nil {
		t.Error("it starts")
	}
	check(t, write(s, "after", "2"))
	if got, err := l.read(1, copyRoot, nil); err != nil || got != "after=2 before=1" {
		t.Errorf("%q, %v", got, err)
	}
	l.dsn = postgres.Database(t)
	if err := copied.New(l.options(l.dsn)).Begin(t.Context(), copyRoot); err == nil || !strings.Contains(err.Error(), "holds a copy") {
		t.Errorf("another table's copy is begun over it: %v", err)
	}
}

// Put back, the copy goes on from there, and the former database's nodes do not.
func TestACopyIsPutBack(t *testing.T) {
	l := newLibrary(t)
	former, s := l.node(nil)
	for i := range 300 {
		if i%100 == 0 {
			check(t, write(s, fmt.Sprint("x", i), "1"))
		}
	}
	o := l.options(l.dsn)
	staged, err := bolt.Open(filepath.Join(t.TempDir(), "staged"), o.Buckets)
	check(t, err)
	defer staged.Close()
	o.Shelf = staged
	r, err := copied.Read(t.Context(), o, 3)
	check(t, err)
	check(t, r.Genuine(copyRoot))
	want := contents(t, s)
	l.dsn = postgres.Database(t)
	to := l.options(l.dsn)
	check(t, r.PutBack(t.Context(), to.Shelf, ""))
	next, anew := l.node(nil)
	if got := contents(t, anew); got != want {
		t.Errorf("%q is put back, want %q", got, want)
	}
	check(t, write(anew, "y", "2"))
	if err := write(s, "z", "3"); err == nil {
		t.Error("the former database's node goes on")
	}
	if err := former.Rebase(t.Context()); err == nil {
		t.Error("the former database's node replaces the base")
	}
	check(t, next.Tend(t.Context()))
	if got, err := l.read(4, copyRoot, nil); err != nil || got != contents(t, anew) {
		t.Errorf("%q, %v", got, err)
	}
}

// A copy that was ended and begun anew goes on behind the numbers that the records know
// of: it can be read, and objects of the one that was ended pass for nothing newer.
func TestINV33_ACopyThatIsBegunAnewCanBeRead(t *testing.T) {
	l := newLibrary(t)
	c, s := l.node(nil)
	for i := range 3 {
		check(t, write(s, "a", fmt.Sprint(i)))
	}
	check(t, c.End(t.Context()))
	_, s = l.node(nil)
	for _, last := range []string{"", "b=1"} {
		if last != "" {
			check(t, write(s, "b", "1"))
		}
		least, err := copied.Anchored(l.anchors, "anchors", "test")
		check(t, err)
		if got, err := l.read(least, copyRoot, nil); err != nil || got != strings.TrimSpace("a=2 "+last) {
			t.Errorf("the copy that was begun anew: %q, %v", got, err)
		}
	}
}

// A node that still has the former database is refused after a restore, also when nothing
// was changed since, or what was is in the base already.
func TestINV33_WhoHasTheFormerDatabaseIsRefused(t *testing.T) {
	for _, changes := range []int{0, 2} {
		l := newLibrary(t)
		_, former := l.node(nil)
		check(t, write(former, "a", "1"))
		o := l.options(l.dsn)
		staged, err := bolt.Open(filepath.Join(t.TempDir(), "staged"), o.Buckets)
		check(t, err)
		defer staged.Close()
		o.Shelf = staged
		r, err := copied.Read(t.Context(), o, 1)
		check(t, err)
		check(t, r.Genuine(copyRoot))
		lost := l.dsn
		l.dsn = postgres.Database(t)
		check(t, r.PutBack(t.Context(), l.options(l.dsn).Shelf, ""))
		next, anew := l.node(nil)
		for i := range changes {
			check(t, write(anew, "b", fmt.Sprint(i)))
		}
		check(t, next.Rebase(t.Context()))
		if err := write(former, "z", "3"); err == nil {
			t.Errorf("%d changes later the former database's node goes on", changes)
		}
		here := l.dsn
		l.dsn = lost
		c, late := l.node(nil)
		if write(late, "z", "4") == nil {
			t.Errorf("%d changes later a node that starts with the former database goes on", changes)
		}
		if c.End(t.Context()) == nil {
			t.Errorf("%d changes later who has the former database ends the copy", changes)
		}
		l.dsn = here
		if err := write(anew, "c", "1"); err != nil {
			t.Errorf("%d changes later the node with what was put back is refused: %v", changes, err)
		}
	}
}

// A bucket that keeps what is deleted is refused.
func TestINV21_ABucketThatKeepsVersionsIsRefused(t *testing.T) {
	l := newLibrary(t)
	check(t, l.place().Ready(t.Context()))
	_, err := l.g.open(l.c).client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("locked"), ObjectLockEnabledForBucket: aws.Bool(true),
		CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: "eu-west-1"}})
	check(t, err)
	l.c.Bucket = "locked"
	if err := l.place().Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "object lock") {
		t.Errorf("a bucket with object lock: %v", err)
	}
	// Versions cannot be had from the server as it runs here.
	for _, status := range []string{"Enabled", "Suspended"} {
		server, ca, login := tlsServer(t, redirecting{map[string]http.HandlerFunc{
			"location":   xml(`<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">eu-west-1</LocationConstraint>`),
			"versioning": xml(`<VersioningConfiguration><Status>` + status + `</Status></VersioningConfiguration>`)}})
		l.c = S3Config{Account: Account{Region: "eu-west-1", Endpoint: server, CredentialsFile: login, CA: ca}, Bucket: "copies", Compatible: true}
		if err := l.place().Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "versioning "+status) {
			t.Errorf("versioning %s: %v", status, err)
		}
	}
}

// A store that passes over conditions is refused: two nodes would replace each other's
// objects.
func TestAStoreWithoutConditionsHoldsNoCopy(t *testing.T) {
	l := newLibrary(t)
	server, ca, login := tlsServer(t, redirecting{map[string]http.HandlerFunc{
		"location":   xml(`<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">eu-west-1</LocationConstraint>`),
		"versioning": xml(`<VersioningConfiguration/>`),
		"object-lock": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotImplemented)
			_, _ = io.WriteString(w, `<Error><Code>NotImplemented</Code></Error>`)
		}}})
	l.c = S3Config{Account: Account{Region: "eu-west-1", Endpoint: server, CredentialsFile: login, CA: ca}, Bucket: "copies", Compatible: true}
	if err := l.place().Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "passes over conditions") {
		t.Errorf("%v", err)
	}
}
