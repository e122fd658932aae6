package copied

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/policy"
)

// Shelf is a shelf whose changes are in a copy before they commit. It passes the
// suite of every shelf.
type Shelf struct {
	inner shelf.Shelf
	copy  *Copy
}

var _ shelf.Shelf = (*Shelf)(nil)

// View implements shelf.Shelf.
func (s *Shelf) View(read func(shelf.Tx) error) error { return s.inner.View(read) }

// Under implements shelf.Shelf.
func (s *Shelf) Under(f lease.Fence) shelf.Shelf { return &Shelf{s.inner.Under(f), s.copy} }

// Close implements shelf.Shelf.
func (s *Shelf) Close() error { return s.inner.Close() }

// Update implements shelf.Shelf. Without the copy's place nothing is changed.
func (s *Shelf) Update(change func(shelf.Tx) error) error {
	changed := false
	err := s.inner.Update(func(tx shelf.Tx) error {
		w := &watched{Tx: tx, at: map[string]int{}}
		err := change(w)
		if changed = len(w.rows) > 0; err != nil || !changed {
			return err
		}
		return s.copy.follow(tx, w.rows)
	})
	if err == nil && changed {
		err = s.copy.o.step("committed")
	}
	return err
}

// watched notes what a transaction puts and deletes.
type watched struct {
	shelf.Tx
	rows []row
	at   map[string]int
}

func (w *watched) note(b shelf.Bucket, key, value []byte) {
	r := row{bucket: b, key: bytes.Clone(key), value: value}
	name := string(b) + "\x00" + string(key)
	if i, ok := w.at[name]; ok {
		w.rows[i] = r
		return
	}
	w.at[name] = len(w.rows)
	w.rows = append(w.rows, r)
}

// Put implements shelf.Tx.
func (w *watched) Put(b shelf.Bucket, key, value []byte) error {
	err := w.Tx.Put(b, key, value)
	if err == nil {
		w.note(b, key, append([]byte{}, value...))
	}
	return err
}

// Delete implements shelf.Tx.
func (w *watched) Delete(b shelf.Bucket, key []byte) error {
	err := w.Tx.Delete(b, key)
	if err == nil {
		w.note(b, key, nil)
	}
	return err
}

var (
	errUncopied = policy.Errorf(policy.NotReady, "the key table has a copy in a bucket, of which this node knows nothing: give it keys.copy_s3, as the region's other nodes have it, and start it again")
	errEnded    = policy.Errorf(policy.NotReady, "the copy of the key table was ended while this node ran: start it again with the configuration that the region has now")
)

// follow puts a change into the copy, within the transaction that makes it.
func (c *Copy) follow(tx shelf.Tx, rows []row) error {
	st, err := stateIn(tx)
	key, begun := c.held()
	switch {
	case err != nil:
		return err
	case st == nil && begun:
		return errEnded
	case st == nil:
		return nil // it has not begun
	case c.o.Place == nil:
		return errUncopied
	case key == nil:
		return policy.Errorf(policy.Internal, "the copy of %s is not begun on this node", c.o.Of.Shelf)
	}
	ctx, cancel := context.WithTimeout(context.Background(), putLimit)
	defer cancel()
	next := c.head(kindChange, st)
	next.Number++
	var object bytes.Buffer
	w, err := newWriter(&object, next)
	for _, r := range rows {
		if err == nil {
			err = w.put(r)
		}
	}
	if err != nil {
		return err
	}
	st.Number = next.Number
	if st.Digest, err = w.end(&object, key); err != nil {
		return err
	}
	if object.Len() > maxChange {
		return policy.Errorf(policy.Internal, "a change of %s has %d bytes and the copy takes %d", c.o.Of.Shelf, object.Len(), maxChange)
	}
	err = c.put(ctx, tx, next, object.Bytes())
	if err == nil {
		err = c.o.step("put")
	}
	if c.told(err); err != nil {
		return away(err)
	}
	if err := c.anchor(st.Number); err != nil {
		return err
	}
	return putState(tx, st)
}

// away is the refusal of a change that the copy cannot take.
func away(err error) error {
	var domain *policy.Error
	if errors.As(err, &domain) && domain.Reason != policy.NotReady {
		return err
	}
	return &policy.Error{Reason: policy.NotReady, Cause: err, Message: "the copy of the key table cannot be written, and no key is used that it lacks; see the node's log"}
}

// put writes the object of a change whose transaction holds the shelf's lock. What
// has its number already is the try of a transaction that did not commit: it is
// looked at first, then the lock is asked for once more. So an object that somebody
// committed is never replaced.
func (c *Copy) put(ctx context.Context, tx shelf.Tx, h head, object []byte) error {
	if err := c.ready(ctx); err != nil {
		return err
	}
	name, tag := c.o.changeName(h.Number), ""
	for range 4 {
		err := c.o.Place.Put(ctx, name, tag, bytes.NewReader(object))
		if !errors.Is(err, ErrChanged) {
			return err
		}
		found, was, err := c.read(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			tag = ""
			continue
		}
		if err != nil {
			return err
		}
		if bytes.Equal(found, object) {
			return nil // ours, and its answer was lost
		}
		there, err := readObject(bytes.NewReader(found), func(row) error { return nil })
		if err == nil && (there.Of != h.Of || there.Copy != h.Copy || there.Number != h.Number) {
			return fmt.Errorf("%s of %s is of another copy: is this the region's own bucket, and was its key table put back elsewhere?", name, c.o.Place)
		}
		if st, err := stateIn(tx); err != nil || st == nil || st.Number+1 != h.Number {
			return errors.Join(errors.New("the transaction is over"), err)
		}
		tag = was
	}
	return fmt.Errorf("%s of %s changes all the time", name, c.o.Place)
}

// read reads an object of a change whole.
func (c *Copy) read(ctx context.Context, name string) (raw []byte, tag string, err error) {
	in, tag, err := c.o.Place.Read(ctx, name)
	if err != nil {
		return nil, "", err
	}
	defer in.Close()
	raw, err = io.ReadAll(io.LimitReader(in, maxChange+1))
	return raw, tag, err
}
