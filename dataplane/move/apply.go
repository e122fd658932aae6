package move

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/sealed"
)

// Batches of what is written: one transaction each.
const (
	batchRows  = 4_096
	batchBytes = 4 << 20
)

// writer writes rows of the database in batches.
type writer struct {
	m     *Mover
	batch sealed.Batch
	size  int
}

func (m *Mover) writer() *writer { return &writer{m: m, batch: m.o.Rows.NewBatch()} }

func (w *writer) set(key, value []byte) error {
	w.size += len(key) + len(value)
	return errors.Join(w.batch.Set(key, value), w.some())
}

func (w *writer) delete(key []byte) error {
	w.size += len(key)
	return errors.Join(w.batch.Delete(key), w.some())
}

func (w *writer) some() error {
	if w.batch.Count() < batchRows && w.size < batchBytes {
		return nil
	}
	return w.flush()
}

func (w *writer) flush() error {
	n := w.batch.Count()
	if n == 0 {
		return nil
	}
	if err := w.m.o.Rows.Write(w.batch); err != nil {
		return err
	}
	w.batch.Reset()
	w.size = 0
	w.m.set(func(s *Status) { s.Written += uint64(n) })
	return nil
}

// moment is the store's rows as they are now; what changed since the moment before
// is pending.
func (m *Mover) moment() (*localstore.Moment, error) {
	c, at, err := m.o.Records.Moment()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.pending.Add(c)
	lost := m.pending.Lost || m.pending.Len() > noteKeys // while the database is away they gather here
	if lost {
		m.pending = localstore.Changes{}
		m.status.Restarts++
	}
	m.mu.Unlock()
	if lost {
		return nil, errors.Join(errLost, at.Close())
	}
	return at, nil
}

// apply writes what is pending as it is at a moment: of the rows before upto, since
// the pass comes to the others; nil: of all. check: what was written is read back.
func (m *Mover) apply(ctx context.Context, at *localstore.Moment, upto []byte, check bool) error {
	w := m.writer()
	for _, r := range m.pending.Ranges {
		if upto != nil && bytes.Compare(r.Lower, upto) >= 0 {
			continue
		}
		if err := m.applyRange(w, at, r); err != nil {
			return err
		}
	}
	keys := slices.Sorted(maps.Keys(m.pending.Keys))
	for _, k := range keys {
		if upto != nil && k >= string(upto) {
			break
		}
		value, err := at.Get([]byte(k))
		if err != nil {
			return damaged(err)
		}
		if value == nil {
			err = w.delete([]byte(k))
		} else {
			err = w.set([]byte(k), value)
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
	}
	if err := w.flush(); err != nil {
		return err
	}
	if check {
		if err := m.readBack(at, keys); err != nil {
			return err
		}
		for _, r := range m.pending.Ranges {
			if err := m.rangeBack(at, r); err != nil {
				return err
			}
		}
		m.later += uint64(len(keys))
	}
	m.mu.Lock()
	m.pending = localstore.Changes{}
	m.mu.Unlock()
	return nil
}

// applyRange deletes a range, and writes what is in it.
func (m *Mover) applyRange(w *writer, at *localstore.Moment, r localstore.Range) error {
	if err := errors.Join(w.flush(), w.batch.DeleteRange(r.Lower, r.Upper), w.flush()); err != nil {
		return err
	}
	rows, err := at.Rows(r.Lower, r.Upper)
	if err != nil {
		return damaged(err)
	}
	defer rows.Close()
	for ok := rows.First(); ok; ok = rows.Next() {
		value, err := rows.ValueAndErr()
		if err != nil {
			return damaged(err)
		}
		if err := w.set(bytes.Clone(rows.Key()), bytes.Clone(value)); err != nil {
			return err
		}
	}
	return errors.Join(rows.Error(), w.flush())
}

// ofOneTable bounds how many rows are read back at once.
const ofOneTable = 1_024

// readBack holds rows of the database against those of a moment.
func (m *Mover) readBack(at *localstore.Moment, keys []string) error {
	for len(keys) > 0 {
		n := alike(keys)
		there, err := m.read(keys[:n])
		if err != nil {
			return err
		}
		for i, key := range keys[:n] {
			here, err := at.Get([]byte(key))
			if err != nil {
				return damaged(err)
			}
			if (here == nil) != (there[i] == nil) || !bytes.Equal(here, there[i]) {
				return ErrForeign
			}
		}
		keys = keys[n:]
	}
	return nil
}

// rangeBack holds a range of the database against that of a moment.
func (m *Mover) rangeBack(at *localstore.Moment, r localstore.Range) error {
	here, err := at.Rows(r.Lower, r.Upper)
	if err != nil {
		return damaged(err)
	}
	defer here.Close()
	there, err := m.o.Rows.Rows(r.Lower, r.Upper)
	if err != nil {
		return err
	}
	defer there.Close()
	ok, also := here.First(), there.First()
	for ; ok && also; ok, also = here.Next(), there.Next() {
		value, err := here.ValueAndErr()
		if err != nil {
			return damaged(err)
		}
		found, err := there.ValueAndErr()
		if err != nil {
			return err
		}
		if !bytes.Equal(here.Key(), there.Key()) || !bytes.Equal(value, found) {
			return ErrForeign
		}
	}
	if err := here.Error(); err != nil {
		return damaged(err)
	}
	if err := there.Error(); err != nil {
		return err
	}
	if ok || also {
		return ErrForeign
	}
	return nil
}

// shortKey is how long a key is at most that ends with its tenant's part, or is of
// no tenant.
const shortKey = 17

// alike counts the first keys that are read at once: of one table and tenant, or
// of one table and of no tenant.
func alike(keys []string) int {
	prefix := keys[0][:1]
	if len(keys[0]) > shortKey {
		prefix = keys[0][:shortKey]
	}
	n := 1
	for n < min(len(keys), ofOneTable) && strings.HasPrefix(keys[n], prefix) && (len(keys[n]) > shortKey) == (len(keys[0]) > shortKey) {
		n++
	}
	return n
}

// read reads rows that are alike.
func (m *Mover) read(keys []string) ([][]byte, error) {
	out := make([][]byte, len(keys))
	if len(keys[0]) > shortKey {
		for i, k := range keys {
			out[i] = []byte(k)
		}
		return m.o.Rows.GetAll(out)
	}
	rows, err := m.o.Rows.Rows([]byte(keys[0]), append([]byte(keys[len(keys)-1]), 0))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	i := 0
	for ok := rows.First(); ok && i < len(keys); ok = rows.Next() {
		for i < len(keys) && keys[i] < string(rows.Key()) {
			i++
		}
		if i < len(keys) && keys[i] == string(rows.Key()) {
			value, err := rows.ValueAndErr()
			if err != nil {
				return nil, err
			}
			out[i] = append([]byte{}, value...)
		}
	}
	return out, rows.Error()
}
