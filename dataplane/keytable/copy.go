package keytable

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/shelf/copied"
)

// remains is what the table's copy may still hold of a destroyed generation. Until it
// is nothing the generation is not final.
type remains string

const (
	inCopy    remains = "copy" // its sheet and the blocks that it opens
	inFlight  remains = "late" // what was on its way to the copy when that was written anew
	noRemains remains = ""
)

// CopyKey is what the objects of the copies are known by. It outlives generations, and
// opens nothing.
func (t *Table) CopyKey() (key [32]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sheet == nil {
		return key
	}
	m := hmac.New(sha256.New, t.sheet.Tag)
	m.Write([]byte("domicile key table: copies"))
	return [32]byte(m.Sum(nil))
}

// copying reports whether the table has a copy, as this node knows.
func (t *Table) copying() bool { return t.o.Copy != nil && t.o.Copy.On() }

// settle lets the copy forget what was destroyed: it is written anew, and what was
// under way to it meanwhile is removed when nothing can arrive any more. Of a copy that
// was ended nothing is left by then.
func (t *Table) settle(ctx context.Context, under shelf.Shelf) error {
	all, _, err := t.fates()
	if err != nil {
		return err
	}
	var held, late []uint64
	for i, f := range all {
		switch {
		case f.Copied == inCopy:
			held = append(held, uint64(i)+1)
		case f.Copied == inFlight && t.o.Now().Sub(f.Destroyed) >= copied.Late:
			late = append(late, uint64(i)+1)
		}
	}
	if len(held) > 0 {
		if err := t.rebase(ctx); err != nil {
			return fmt.Errorf("generations %v are destroyed and may still stand in the copy: %w", held, err)
		}
		if err := t.settled(under, held, inFlight); err != nil {
			return err
		}
	}
	if len(late) == 0 {
		return nil
	}
	if t.copying() {
		if err := t.o.Copy.Prune(ctx); err != nil {
			return fmt.Errorf("generations %v are destroyed and may still stand in the copy: %w", late, err)
		}
	}
	return t.settled(under, late, noRemains)
}

func (t *Table) rebase(ctx context.Context) error {
	if !t.copying() {
		return nil
	}
	return t.o.Copy.Rebase(ctx)
}

// settled notes what remains of generations in the copy.
func (t *Table) settled(under shelf.Shelf, gens []uint64, left remains) error {
	return under.Update(func(tx shelf.Tx) error {
		for _, gen := range gens {
			var f fate
			if ok, err := readJSON(tx, bucketFates, number(gen), &f); err != nil || !ok {
				return errors.Join(err, errChanged)
			}
			if f.Copied = left; left == noRemains {
				f.Final = latest(f.Final, t.o.Now().UTC())
			}
			if err := putJSON(tx, bucketFates, number(gen), f); err != nil {
				return err
			}
		}
		return nil
	})
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Peek opens the newest sheet of a table to look at it: what was read of a copy. It
// changes nothing by itself, and rotates nothing.
func Peek(ctx context.Context, o Options) (*Table, error) {
	o.defaults()
	t := newTable(o)
	t.stop = func() {}
	if err := t.reload(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open the copy of the key table of %s: %w", o.Region, err), o.Custodian.Close())
	}
	return t, nil
}

// Counts says how many blocks and names a table has.
type Counts struct {
	Generation uint64 `json:"generation"`
	Keys       uint64 `json:"keys"` // places of keys, 256 to a block
	Names      int    `json:"names"`
}

// Count counts what a shelf holds.
func Count(s shelf.Shelf) (c Counts, err error) {
	err = s.View(func(tx shelf.Tx) error {
		c = Counts{}
		current, err := tx.Get(bucketState, stateCurrent)
		if err != nil {
			return err
		}
		c.Generation = numberIn(current)
		if c.Names, err = tx.Count(bucketNames); err != nil {
			return err
		}
		return eachBirth(tx, func(_ uint64, b birthRow) error { c.Keys += b.Blocks * blockSize; return nil })
	})
	return c, err
}

// LastBucket is the one that makes a table appear.
const LastBucket = bucketState
