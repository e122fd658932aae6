package move

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/domicile-io/domicile/dataplane/shelf"
)

// Pages of a shelf that are compared at once.
const (
	pageRows  = 512
	pageBytes = 2 << 20
)

// shelves makes the database's shelves what the node's are, and compares them; shut:
// nothing changes meanwhile, so that they must be the same.
func (m *Mover) shelves(ctx context.Context, shut bool) (out []Sum, err error) {
	for _, s := range m.o.Shelves {
		buckets := append([]shelf.Bucket{shelf.Meta}, s.Buckets...)
		for _, b := range buckets {
			if err := s.copy(ctx, b); err != nil {
				return nil, fmt.Errorf("move %s: %w", s.Name, err)
			}
		}
		both := pair{newSum(), newSum()}
		if err := errors.Join(addShelf(ctx, s.From, buckets, both.from), addShelf(ctx, s.To, buckets, both.to)); err != nil {
			return nil, fmt.Errorf("compare %s: %w", s.Name, err)
		}
		sum, err := both.equal(s.Name)
		if err != nil && shut {
			return nil, err
		}
		out = append(out, sum)
	}
	return out, nil
}

// copy makes one bucket what it is in the file, page by page.
func (s *Shelf) copy(ctx context.Context, b shelf.Bucket) error {
	for start, more := []byte(nil), true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		page, err := pageOf(s.From, b, start)
		if err != nil {
			return err
		}
		more = page != nil
		var last []byte // nil: to the end
		if more {
			last = page[len(page)-1].key
		}
		err = s.To.Update(func(tx shelf.Tx) error { return mend(tx, b, page, start, last) })
		if err != nil {
			return err
		}
		if more {
			start = append(bytes.Clone(last), 0)
		}
	}
	return nil
}

// pageOf reads the next rows of a bucket; nil: there are none.
func pageOf(s shelf.Shelf, b shelf.Bucket, start []byte) (page []row, err error) {
	size := 0
	err = s.View(func(tx shelf.Tx) error {
		page, size = nil, 0
		return tx.Ascend(b, nil, start, func(k, v []byte) error {
			page, size = append(page, row{bytes.Clone(k), append([]byte{}, v...)}), size+len(k)+len(v)
			if len(page) == pageRows || size > pageBytes {
				return shelf.ErrStop
			}
			return nil
		})
	})
	return page, err
}

// mend makes the rows from start to last, that included, be those of a page.
func mend(tx shelf.Tx, b shelf.Bucket, page []row, start, last []byte) error {
	want := make(map[string][]byte, len(page))
	for _, r := range page {
		want[string(r.key)] = r.value
	}
	var gone [][]byte
	err := tx.Ascend(b, nil, start, func(k, v []byte) error {
		if last != nil && bytes.Compare(k, last) > 0 {
			return shelf.ErrStop
		}
		value, ok := want[string(k)]
		switch {
		case !ok:
			gone = append(gone, bytes.Clone(k))
		case bytes.Equal(value, v):
			delete(want, string(k))
		}
		return nil
	})
	for _, k := range gone {
		err = errors.Join(err, tx.Delete(b, k))
	}
	for _, r := range page {
		if _, ok := want[string(r.key)]; ok {
			err = errors.Join(err, tx.Put(b, r.key, r.value))
		}
	}
	return err
}

func addShelf(ctx context.Context, s shelf.Shelf, buckets []shelf.Bucket, to *sum) error {
	for _, b := range buckets {
		for start := []byte(nil); ; {
			page, err := pageOf(s, b, start)
			if err = errors.Join(err, ctx.Err()); err != nil {
				return err
			}
			if page == nil {
				break
			}
			for _, r := range page {
				to.add(append([]byte(b+"/"), r.key...), r.value)
			}
			start = append(bytes.Clone(page[len(page)-1].key), 0)
		}
	}
	return nil
}
