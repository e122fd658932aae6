package move

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/sealed"
	sqlstore "github.com/domicile-io/domicile/dataplane/store/sql"
)

// errLost: the pass must begin anew.
var errLost = errors.New("more rows changed than are noted")

// ErrForeign stops a move: somebody else writes into the database.
var ErrForeign = errors.New("the database is not as this move left it: something else writes into it; make sure that no node uses it, then begin the move again")

// pass is one walk over all rows.
type pass struct {
	m       *Mover
	compare bool // nothing may differ
	kinds   []byte
	from    []byte // the next row
	now     pair   // of the present kind
	sums    []Sum
}

func (m *Mover) newPass(compare bool) *pass {
	p := &pass{m: m, compare: compare, kinds: sealed.Kinds(), now: newPair()}
	p.from = []byte{p.kinds[0]}
	return p
}

// run walks over everything, part by part, each at its own moment.
func (p *pass) run(ctx context.Context) error {
	p.m.set(func(s *Status) { s.Rows, s.Bytes, s.Total = 0, 0, p.m.o.Records.Size() })
	for len(p.kinds) > 0 {
		began, read := time.Now(), uint64(0)
		err := p.m.again(ctx, func() (err error) {
			read, err = p.part(ctx)
			return err
		})
		if err != nil {
			return err
		}
		p.m.throttle(ctx, read, time.Since(began))
	}
	return nil
}

// part brings what was walked over up to date and goes on a little.
func (p *pass) part(ctx context.Context) (read uint64, err error) {
	at, err := p.m.moment()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, at.Close()) }()
	upto := p.from
	if p.compare {
		upto = nil
	}
	if err := p.m.apply(ctx, at, upto, p.compare); err != nil {
		return 0, err
	}
	for budget := uint64(p.m.part()); len(p.kinds) > 0 && read <= budget; { // most kinds have few rows
		n, err := p.walk(ctx, at)
		if read += n; err != nil {
			return read, err
		}
	}
	return read, nil
}

// walk compares the next rows, and writes what differs.
func (p *pass) walk(ctx context.Context, at *localstore.Moment) (uint64, error) {
	here, whole, err := p.read(at)
	if err != nil {
		return 0, err
	}
	kind := p.kinds[0]
	upper := []byte{kind + 1}
	if !whole {
		upper = append(bytes.Clone(here[len(here)-1].key), 0)
	}
	there, err := p.m.o.Rows.Rows(p.from, upper)
	if err != nil {
		return 0, err
	}
	defer there.Close()
	sums := pair{}
	if p.compare {
		sums = p.now.clone() // the part may be done again
	}
	if err := p.merge(ctx, here, there, sums); err != nil {
		return 0, err
	}
	p.now = sums
	var n uint64
	for _, r := range here {
		n += uint64(len(r.key) + len(r.value))
	}
	p.m.set(func(s *Status) { s.Rows, s.Bytes = s.Rows+uint64(len(here)), s.Bytes+n })
	p.from = upper
	if whole {
		return n, p.next(kind)
	}
	return n, nil
}

// next goes over to the next kind of rows.
func (p *pass) next(kind byte) error {
	if p.compare {
		sum, err := p.now.equal(sqlstore.TableOf(kind))
		if err != nil {
			return errors.Join(err, ErrForeign)
		}
		p.sums, p.now = append(p.sums, sum), newPair()
	}
	if p.kinds = p.kinds[1:]; len(p.kinds) > 0 {
		p.from = []byte{p.kinds[0]}
	}
	return nil
}

type row struct{ key, value []byte }

// read reads the next rows of the store; whole: there are no more of their kind.
func (p *pass) read(at *localstore.Moment) (out []row, whole bool, err error) {
	rows, err := at.Rows(p.from, []byte{p.kinds[0] + 1})
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	size := 0
	for ok := rows.First(); ok; ok = rows.Next() {
		if len(out) == partRows || size > p.m.part() {
			return out, false, nil
		}
		value, err := rows.ValueAndErr()
		if err != nil {
			return nil, false, damaged(err)
		}
		r := row{bytes.Clone(rows.Key()), append([]byte{}, value...)}
		out, size = append(out, r), size+len(r.key)+len(r.value)
	}
	if err := rows.Error(); err != nil {
		return nil, false, damaged(err)
	}
	return out, true, nil
}

func damaged(err error) error {
	return fmt.Errorf("rows of the record store cannot be read, and a copy without them would pass for whole: run `domicile-dataplane scrub`, put the folder back from a backup, then begin again: %w", err)
}

// merge walks over both sides at once. A comparison that finds a difference ends
// the move.
func (p *pass) merge(ctx context.Context, here []row, there sealed.Rows, sums pair) error {
	w := p.m.writer()
	ok := there.First()
	for _, r := range here {
		if sums.from != nil {
			sums.from.add(r.key, r.value)
		}
		for ; ok && bytes.Compare(there.Key(), r.key) < 0; ok = there.Next() { // gone meanwhile
			if err := p.stray(w, there); err != nil {
				return err
			}
		}
		same := false
		if ok && bytes.Equal(there.Key(), r.key) {
			value, err := there.ValueAndErr()
			if err != nil {
				return err
			}
			if sums.to != nil {
				sums.to.add(r.key, value)
			}
			same, ok = bytes.Equal(value, r.value), there.Next()
		}
		if same {
			continue
		}
		if p.compare {
			return ErrForeign
		}
		if err := w.set(r.key, r.value); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	for ; ok; ok = there.Next() {
		if err := p.stray(w, there); err != nil {
			return err
		}
	}
	return errors.Join(there.Error(), w.flush())
}

// stray takes away a row that only the database has.
func (p *pass) stray(w *writer, there sealed.Rows) error {
	if p.compare {
		return ErrForeign
	}
	return w.delete(bytes.Clone(there.Key()))
}
