package peer

import (
	"bytes"
	"fmt"

	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/policy"
)

// purgePiece is how many keys one transaction of a purge deletes at most.
const purgePiece = 1000

// Purge deletes every row that came from a tenant, with its notes and marks, and
// counts the rows. What comes later is refused, in this process. Each piece of
// purgePiece keys is durable when the next begins; a purge that was cut short is
// asked for again, and counts what was left then.
//
// The rows go first and the marks last: as long as there is something, a transfer
// that another node still takes for a living tenant's comes under its place.
func (in *Inbox) Purge(t policy.TenantID) (rows uint64, err error) {
	in.ended.Store(t, true)
	for _, b := range []shelf.Bucket{bucketRows, bucketTaken, bucketGraves, bucketSources, bucketMarks} {
		n, err := in.empty(b, []byte(string(t)+"/"))
		if b == bucketRows {
			rows = n
		}
		if err != nil {
			return rows, fmt.Errorf("delete what came from a tenant that ends (%s): %w", b, err)
		}
	}
	return rows, nil
}

// empty deletes the keys of a bucket that begin with prefix, a piece after the other.
func (in *Inbox) empty(b shelf.Bucket, prefix []byte) (n uint64, err error) {
	for after := []byte(nil); ; {
		var keys [][]byte
		err := in.shelf.Update(func(tx shelf.Tx) error {
			keys = keys[:0] // the transaction may be run again
			err := tx.Ascend(b, prefix, after, func(k, _ []byte) error {
				if keys = append(keys, bytes.Clone(k)); len(keys) == purgePiece {
					return shelf.ErrStop
				}
				return nil
			})
			for _, k := range keys {
				if err != nil {
					return err
				}
				err = tx.Delete(b, k)
			}
			return err
		})
		if err != nil {
			return n, err
		}
		if n += uint64(len(keys)); len(keys) < purgePiece {
			return n, nil
		}
		after = keys[len(keys)-1]
	}
}
