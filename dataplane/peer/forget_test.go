package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/shelf/bolt"
	"github.com/domicile-io/domicile/dataplane/shelf/shelftest"
	"github.com/domicile-io/domicile/dataplane/shelf/sql"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/internal/postgres"
	"github.com/domicile-io/domicile/policy"
)

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

func erasePermit(t *testing.T) policy.Permit {
	t.Helper()
	region := policy.Region{ID: "ie1", Boundary: "eu", Country: "IE", BackupRegion: "none", Lifecycle: policy.Active}
	top, err := policy.NewTopology([]policy.Region{region})
	check(t, err)
	p := policy.DefaultPolicy(tenant, region, "DOM-IE")
	set := (&policy.Set{}).With(1, []*policy.Rules{policy.Compile(&p, policy.TenantActive)}, nil)
	d := policy.Decide(set, top, policy.Request{Tenant: tenant, Op: policy.Erase, Class: policy.CallRecord, Region: "ie1", Now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Attestation: policy.Declared})
	return d.Permit()
}

// reaching is a sender that needs no export permit.
func (r *road) reaching(region policy.RegionID) *Sender {
	s := r.sender(region, mtls.DataPlane, cluster)
	conn, err := s.Dial(policy.Permit{})
	check(r.t, err)
	s.Reach = func(policy.TenantID, policy.RegionID, string) (grpc.ClientConnInterface, error) { return conn, nil }
	return s
}

func (r *road) rows() (out []string) {
	r.t.Helper()
	got, _, err := r.receiver.Inbox().Page(tenant, recipient, "", MaxPage)
	check(r.t, err)
	for _, row := range got {
		var p data.PseudonymRow
		check(r.t, json.Unmarshal(row.JSON, &p))
		out = append(out, p.Row)
	}
	return out
}

func TestRowsOfErasedCallsAreDeletedByTheRegionTheyCameFrom(t *testing.T) {
	ctx := context.Background()
	r := newRoad(t)
	s := r.reaching("ie1")
	_, err := s.Send(ctx, permit(t), outgoing(t, 1, 5))
	check(t, err)
	before := r.rows()
	gone := []string{before[1], before[3], fmt.Sprintf("%032x", 7)}

	// Another region, another tenant's data plane, and whoever may not erase, get nothing deleted.
	if _, err := r.reaching("au1").Forget(ctx, erasePermit(t), "us1", "", recipient, gone); !errors.Is(err, &policy.Error{Reason: policy.EgressDenied}) {
		t.Errorf("another region: %v", err)
	}
	if _, err := s.Forget(ctx, permit(t), "us1", "", recipient, gone); !errors.Is(err, &policy.Error{Reason: policy.PermissionDenied}) {
		t.Errorf("with an export permit: %v", err)
	}
	if _, err := s.Forget(ctx, erasePermit(t), "us1", "", recipient, []string{"+353861234567"}); !errors.Is(err, &policy.Error{Reason: policy.InvalidArgument}) {
		t.Errorf("what is no pseudonym: %v", err)
	}
	if n := len(r.rows()); n != 5 {
		t.Fatalf("%d rows are left", n)
	}
	r.pair.From = "au1"                   // the recipient has lost its pair with ie1 since; the rows still came from there
	for _, want := range []uint64{2, 2} { // asked again, because the answer was lost
		n, err := s.Forget(ctx, erasePermit(t), "us1", "", recipient, gone)
		if err != nil || n != want {
			t.Fatalf("%d deleted, %v; want %d", n, err, want)
		}
	}
	if got := r.rows(); len(got) != 3 || got[0] != before[0] || got[1] != before[2] || got[2] != before[4] {
		t.Errorf("left: %v of %v", got, before)
	}
	// A stream of which nothing is here needs nobody's word.
	if n, err := r.reaching("au1").Forget(ctx, erasePermit(t), "us1", "", "RP00000000000000000000000000000009", gone); err != nil || n != 0 {
		t.Errorf("nothing to delete: %d, %v", n, err)
	}
	// The same transfer again does not bring them back.
	r.pair.From = "ie1"
	_, err = s.Send(ctx, permit(t), outgoing(t, 1, 5))
	check(t, err)
	if n := len(r.rows()); n != 3 {
		t.Errorf("%d rows after the transfer came again", n)
	}
}

// A transfer that was on its way while its rows were deleted, because its sender
// had given it up, brings none of them; nor does one that comes back with a file.
func TestINV21_RowsThatWereDeletedDoNotComeLate(t *testing.T) {
	ctx := context.Background()
	r := newRoad(t)
	s := r.reaching("ie1")
	late := outgoing(t, 1, 5)
	rows, err := Thawed(late.Payload, late.Rows)
	check(t, err)
	gone := []string{rows[1].Row, rows[3].Row}
	if n, err := s.Forget(ctx, erasePermit(t), "us1", "", recipient, gone); err != nil || n != 0 {
		t.Fatalf("%d deleted before anything came, %v", n, err)
	}
	mark, err := s.Send(ctx, permit(t), late)
	if err != nil || mark != 1 {
		t.Fatalf("mark %d, %v", mark, err)
	}
	if got := r.rows(); len(got) != 3 || got[0] != rows[0].Row || got[1] != rows[2].Row || got[2] != rows[4].Row {
		t.Errorf("there are %v", got)
	}
	// Whoever is no source of the stream buries nothing in advance.
	if _, err := r.reaching("au1").Forget(ctx, erasePermit(t), "us1", "", "RP00000000000000000000000000000009", gone); err != nil {
		t.Error(err)
	}
	graves := 0
	check(t, r.receiver.Inbox().shelf.View(func(tx shelf.Tx) (err error) { graves, err = tx.Count(bucketGraves); return err }))
	if graves != 2 {
		t.Errorf("%d rows are kept from coming, want 2", graves)
	}
}

// pieces is a shelf that notes the largest transaction, and that may fail.
type pieces struct {
	shelf.Shelf
	most int // keys read, put and deleted in one
	fail func(updates int) error
	n    int
}

type countedTx struct {
	shelf.Tx
	keys int
}

func (c *countedTx) Get(b shelf.Bucket, k []byte) ([]byte, error) { c.keys++; return c.Tx.Get(b, k) }

func (c *countedTx) Put(b shelf.Bucket, k, v []byte) error { c.keys++; return c.Tx.Put(b, k, v) }

func (c *countedTx) Delete(b shelf.Bucket, k []byte) error { c.keys++; return c.Tx.Delete(b, k) }

func (c *countedTx) Ascend(b shelf.Bucket, prefix, start []byte, visit func(k, v []byte) error) error {
	return c.Tx.Ascend(b, prefix, start, func(k, v []byte) error { c.keys++; return visit(k, v) })
}

func (p *pieces) counted(f func(shelf.Tx) error) func(shelf.Tx) error {
	return func(tx shelf.Tx) error {
		c := &countedTx{Tx: tx}
		defer func() { p.most = max(p.most, c.keys) }()
		return f(c)
	}
}

func (p *pieces) View(f func(shelf.Tx) error) error { return p.Shelf.View(p.counted(f)) }

func (p *pieces) Update(f func(shelf.Tx) error) error {
	p.n++
	if p.fail != nil {
		if err := p.fail(p.n); err != nil {
			return err
		}
	}
	return p.Shelf.Update(p.counted(f))
}

// shelves open an empty inbox in a file and in a database that repeats transactions.
func shelves(t *testing.T) map[string]func() shelf.Shelf {
	return map[string]func() shelf.Shelf{
		"file": func() shelf.Shelf {
			s, err := bolt.Open(filepath.Join(t.TempDir(), "received.db"), Buckets())
			check(t, err)
			return s
		},
		"database": func() shelf.Shelf {
			dialer := net.Dialer{}
			db, err := sql.Open(t.Context(), sql.Options{DSN: postgres.Database(t), Dial: dialer.DialContext, Region: "us1", Cluster: "test"})
			check(t, err)
			t.Cleanup(db.Close)
			s, err := db.Shelf(t.Context(), "received")
			check(t, err)
			return shelftest.Repeating(s, postgres.Collision())
		},
	}
}

// Thousands of rows are forgotten in pieces, each a transaction of its own, on a file
// and in a database; one that is cut short anywhere goes on where it was when it is
// asked again, counts nothing twice, and only the end is answered with a number. Then
// nothing is opened any more to answer again.
func TestINV21_ManyRowsAreForgottenInPieces(t *testing.T) {
	for name, open := range shelves(t) {
		t.Run(name, func(t *testing.T) {
			keys, err := local.OpenKeyring(local.Options{Dir: filepath.Join(t.TempDir(), "keys"), Region: "us1"})
			check(t, err)
			defer keys.Close()
			sealer, err := store.NewSealer(keys, "us1", sealedAs)
			check(t, err)
			p := &pieces{Shelf: open()}
			in, err := openInbox(p, sealer)
			check(t, err)
			defer in.Close()
			const rows = 5000
			stream := streamKey(tenant, recipient)
			gone := map[string]bool{}
			for first := 0; first < rows; first += 500 {
				check(t, p.Shelf.Update(func(tx shelf.Tx) error {
					for n := first; n < first+500; n++ {
						key := rowKey(stream, uint64(n/100+1), uint32(n%100))
						row := fmt.Sprintf("%032x", n)
						if err := tx.Put(bucketRows, key, in.sealer.Seal(fmt.Appendf(nil, `{"row":%q}`, row), key)); err != nil {
							return err
						}
						if n%3 > 0 {
							gone[row] = true
						}
					}
					return nil
				}))
			}
			cut := errors.New("the node ends here")
			for at := 1; ; at += 3 {
				p.n, p.fail = 0, func(n int) error {
					if n == at {
						return cut
					}
					return nil
				}
				n, err := in.forget(stream, gone)
				if err == nil {
					if n != uint64(len(gone)) {
						t.Errorf("%d deleted, want %d", n, len(gone))
					}
					break
				}
				if !errors.Is(err, cut) || n != 0 {
					t.Fatalf("cut at %d: %d, %v", at, n, err)
				}
			}
			p.fail = nil
			if most := 3 * scanPiece; p.most > most {
				t.Errorf("one transaction has %d keys, want at most %d", p.most, most)
			}
			left := 0
			check(t, p.Shelf.View(func(tx shelf.Tx) (err error) { left, err = tx.Count(bucketRows); return err }))
			if left != rows-len(gone) {
				t.Errorf("%d rows are left, want %d", left, rows-len(gone))
			}
			in.sealer = nil // whoever opened a row now would panic
			if n, err := in.forget(stream, gone); err != nil || n != uint64(len(gone)) {
				t.Errorf("asked again: %d, %v", n, err)
			}
		})
	}
}
