package peer

import (
	"errors"
	"fmt"
	"testing"

	"github.com/domicile-io/domicile/dataplane/shelf"
)

// Thousands of rows of a tenant that ends go in pieces, each a transaction of its own,
// on a file and in a database; one that is cut short anywhere is repeated, and what is
// left of the tenant until then has its marks. Another tenant's rows stay.
func TestINV21_ManyRowsArePurgedInPieces(t *testing.T) {
	for name, open := range shelves(t) {
		t.Run(name, func(t *testing.T) {
			p := &pieces{Shelf: open()}
			in, err := openInbox(p, nil)
			check(t, err)
			defer in.Close()
			const rows, piece = 3000, 1000
			other := streamKey("TNffffffffffffffffffffffffffffffff", recipient)
			check(t, p.Shelf.Update(func(tx shelf.Tx) error { return fillStream(tx, other, 3) }))
			check(t, p.Shelf.Update(func(tx shelf.Tx) error { return fillStream(tx, streamKey(tenant, recipient), rows) }))
			cut, counted := errors.New("the node ends here"), uint64(0)
			for at := 2; ; at++ {
				p.n, p.fail = 0, func(n int) error {
					if n == at {
						return cut
					}
					return nil
				}
				n, err := in.Purge(tenant)
				counted += n
				if err == nil {
					break
				}
				if !errors.Is(err, cut) {
					t.Fatalf("cut at %d: %v", at, err)
				}
				check(t, p.Shelf.View(func(tx shelf.Tx) error {
					mark, err := markIn(tx, streamKey(tenant, recipient))
					if left := ofTenant(t, p.Shelf); mark == 0 && left > 0 {
						t.Errorf("cut at %d: %d keys are left, and no mark", at, left)
					}
					return err
				}))
			}
			if counted != rows {
				t.Errorf("%d rows were counted, want %d", counted, rows)
			}
			if p.most > 2*piece { // each is found, and deleted
				t.Errorf("one transaction has %d keys, want at most %d", p.most, 2*piece)
			}
			if n := ofTenant(t, p.Shelf); n > 0 {
				t.Errorf("%d keys of the tenant are left", n)
			}
			left := 0
			check(t, p.Shelf.View(func(tx shelf.Tx) (err error) { left, err = tx.Count(bucketRows); return err }))
			if left != 3 {
				t.Errorf("%d rows of another tenant are left, want 3", left)
			}
		})
	}
}

// fillStream puts so many rows, transfers and graves of a stream, its source and its mark.
func fillStream(tx shelf.Tx, stream []byte, rows int) (err error) {
	for n := range rows {
		err = errors.Join(err,
			tx.Put(bucketRows, rowKey(stream, uint64(n+1), 0), []byte("row")),
			tx.Put(bucketTaken, fmt.Appendf(nil, "%s/EX%032x", stream, n), []byte("taken")),
			tx.Put(bucketGraves, graveKey(stream, fmt.Sprintf("%032x", n)), []byte{graveDone}))
	}
	return errors.Join(err, tx.Put(bucketSources, stream, []byte("ie1")), putMark(tx, stream, uint64(rows)))
}
