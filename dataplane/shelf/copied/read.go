package copied

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/domicile-io/domicile/dataplane/shelf"
)

// Reading is a copy that was read onto a shelf of its own and is not believed yet.
type Reading struct {
	o       Options // whose Shelf holds what was read
	objects []seen
	digest  string
	stop    *seen  // that an earlier try of a restore has left behind the last change
	key     []byte // of the MACs; nil: not believed yet
}

// errForeign refuses what is not of this region's shelf.
var errForeign = errors.New("the copy is of another cluster, region or table")

// Read reads the copy that is in a place onto an empty shelf, o.Shelf. least is how far
// it must go: what ends before is older than what was acknowledged. It holds nothing
// that is to be believed before Genuine.
func Read(ctx context.Context, o Options, least uint64) (*Reading, error) {
	r := &Reading{o: o}
	name := o.baseName()
	base, err := r.object(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no copy of %s", o.Place, o.Of.Shelf)
	}
	if err == nil && base.Kind != kindBase {
		err = errBroken
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	r.digest = base.Before
	for last := base; ; {
		name := o.changeName(last.Number + 1)
		next, err := r.object(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err == nil && next.Kind == kindStop && next.Number == last.Number+1 {
			r.stop = &next
			break
		}
		if err == nil && (next.Kind != kindChange || next.Number != last.Number+1 || next.Before != r.digest) {
			err = errors.New("it does not follow the one before it")
		}
		if err == nil && next.Copy != base.Copy {
			err = errForeign
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		r.digest, last = hex.EncodeToString(next.digest), next
	}
	if r.Number() < least {
		return nil, fmt.Errorf("the copy of %s ends with change %d, and the records' database says that it had %d: it is older than what was acknowledged; put its newer objects back into %s", o.Of.Shelf, r.Number(), least, o.Place)
	}
	return r, nil
}

// Number is that of the last change.
func (r *Reading) Number() uint64 { return r.objects[len(r.objects)-1].Number }

// Time is when the last change was made.
func (r *Reading) Time() time.Time { return r.objects[len(r.objects)-1].Time }

// readBatch is how many rows are written to the shelf at once.
const readBatch = 256

// object reads one object onto the shelf.
func (r *Reading) object(ctx context.Context, name string) (seen, error) {
	in, _, err := r.o.Place.Read(ctx, name)
	if err != nil {
		return seen{}, err
	}
	defer in.Close()
	known := map[shelf.Bucket]bool{}
	for _, b := range r.o.Buckets {
		known[b] = true
	}
	var batch []row
	flush := func() error {
		rows := batch
		batch = nil
		return r.o.Shelf.Update(func(tx shelf.Tx) error { return apply(tx, rows) })
	}
	s, err := readObject(in, func(w row) error {
		if !known[w.bucket] || len(w.key) == 0 {
			return errBroken
		}
		if batch = append(batch, w); len(batch) < readBatch {
			return nil
		}
		return flush()
	})
	if err == nil && s.Of != r.o.Of {
		err = errForeign
	}
	if err == nil {
		err = flush()
	}
	if err == nil && s.Kind != kindStop {
		r.objects = append(r.objects, s)
	}
	return s, err
}

func apply(tx shelf.Tx, rows []row) error {
	for _, w := range rows {
		var err error
		if w.value == nil {
			err = tx.Delete(w.bucket, w.key)
		} else {
			err = tx.Put(w.bucket, w.key, w.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Genuine refuses a copy of which any object was not written under the table's key.
func (r *Reading) Genuine(root [32]byte) error {
	key := keyFor(root, r.o.Of)
	all := slices.Clone(r.objects)
	if r.stop != nil {
		all = append(all, *r.stop)
	}
	for _, s := range all {
		if !s.genuine(key) {
			return fmt.Errorf("object %d of the copy of %s was not written by a node that has its key: it was changed", s.Number, r.o.Of.Shelf)
		}
	}
	r.key = key
	return nil
}

// PutBack writes what was read, and is Genuine, to a shelf of the same buckets that holds
// nothing, or half of an earlier try. The rows of the bucket last, which are few ("": of
// none), go in the last transaction, with the state by which the copy goes on under a new
// name, behind a stop: what the former table's nodes still write is refused from then on.
func (r *Reading) PutBack(ctx context.Context, to shelf.Shelf, last shelf.Bucket) error {
	if r.key == nil {
		return errors.New("what was read is not believed yet")
	}
	for _, b := range r.o.Buckets {
		if err := clearBucket(to, b); err != nil {
			return err
		}
	}
	for _, b := range r.o.Buckets {
		if b == last {
			continue
		}
		for next := []byte(nil); ; {
			rows, err := r.page(b, next)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				break
			}
			if err := to.Update(func(tx shelf.Tx) error { return apply(tx, rows) }); err != nil {
				return err
			}
			next = append(rows[len(rows)-1].key, 0)
		}
		if err := r.o.step("put back"); err != nil {
			return err
		}
	}
	var rows []row
	if last != "" {
		var err error
		if rows, err = r.page(last, nil); err != nil || len(rows) == readBatch {
			return errors.Join(err, errBroken)
		}
	}
	base := r.objects[0]
	st := &state{Copy: rand.Text(), From: base.Copy, Place: r.o.Place.String(), Number: r.Number() + 1, Digest: r.digest,
		Stops: append(base.Stops[max(0, len(base.Stops)-maxStops+1):], r.Number()+1)}
	if err := r.putStop(ctx, st); err != nil {
		return err
	}
	if err := r.o.step("stopped"); err != nil {
		return err
	}
	return to.Update(func(tx shelf.Tx) error { return errors.Join(apply(tx, rows), putState(tx, st)) })
}

// maxStops is how many stops are kept: of as many restores.
const maxStops = 32

// putStop puts a stop: an object without rows in the place of the next change, which
// stays there. A node with the former database finds it where its own next change would
// go, and is refused; one that was faster is found by it.
func (r *Reading) putStop(ctx context.Context, st *state) error {
	if r.stop != nil {
		return nil
	}
	var object bytes.Buffer
	w, err := newWriter(&object, head{Format: format, Kind: kindStop, Of: r.o.Of, Copy: st.Copy, Number: st.Number, Before: st.Digest, Time: r.Time()})
	if err == nil {
		_, err = w.end(&object, r.key)
	}
	if err != nil {
		return err
	}
	err = r.o.Place.Put(ctx, r.o.changeName(st.Number), "", bytes.NewReader(object.Bytes()))
	if errors.Is(err, ErrChanged) {
		err = fmt.Errorf("the copy of %s was changed while it was read: does a node still run with the former database? Stop all of them, and begin again", r.o.Of.Shelf)
	}
	return err
}

// page are some rows of what was read, from a key on.
func (r *Reading) page(b shelf.Bucket, from []byte) (rows []row, err error) {
	err = r.o.Shelf.View(func(tx shelf.Tx) error {
		rows = nil
		return tx.Ascend(b, nil, from, func(k, v []byte) error {
			rows = append(rows, row{b, append([]byte{}, k...), append([]byte{}, v...)})
			if len(rows) == readBatch {
				return shelf.ErrStop
			}
			return nil
		})
	})
	return rows, err
}

func clearBucket(s shelf.Shelf, b shelf.Bucket) error {
	for more := true; more; {
		err := s.Update(func(tx shelf.Tx) error {
			var gone []row
			err := tx.Ascend(b, nil, nil, func(k, _ []byte) error {
				if gone = append(gone, row{bucket: b, key: append([]byte{}, k...)}); len(gone) == readBatch {
					return shelf.ErrStop
				}
				return nil
			})
			more = len(gone) > 0
			return errors.Join(err, apply(tx, gone))
		})
		if err != nil {
			return err
		}
	}
	return nil
}
