package copied

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/domicile-io/domicile/dataplane/shelf"
)

// maxChanges is how many changes may be behind a base before the next is written.
const maxChanges = 1000

// baseLimit bounds writing and sending a base.
const baseLimit = 10 * time.Minute

// Rebase writes the shelf whole, in the place of the base before it, and removes the
// changes that are in it. When it has answered nil, the place holds nothing that was
// deleted before it began, but see [Late]. Of two at once one fails.
func (c *Copy) Rebase(ctx context.Context) error {
	err := c.rebase(ctx)
	if c.told(err); err != nil {
		return fmt.Errorf("write the copy of %s anew: %w", c.o.Of.Shelf, err)
	}
	return nil
}

func (c *Copy) rebase(ctx context.Context) error {
	key, _ := c.held()
	if key == nil || c.o.Place == nil {
		return errors.New("it has not begun")
	}
	ctx, cancel := context.WithTimeout(ctx, baseLimit)
	defer cancel()
	if err := c.ready(ctx); err != nil {
		return err
	}
	was, tag, err := c.baseHead(ctx)
	if err != nil {
		return err
	}
	spool, err := os.CreateTemp(c.o.Spool, "copy-*.tmp")
	if err != nil {
		return fmt.Errorf("make room for what is sent: %w", err)
	}
	defer spool.Close()
	if err := os.Remove(spool.Name()); err != nil { // a crash leaves nothing
		return err
	}
	st, err := c.write(spool, key)
	if err != nil {
		return err
	}
	if was != nil && was.Copy != st.Copy && (st.Based || was.Copy != st.From) {
		return c.foreign()
	}
	if err := c.o.Place.Put(ctx, c.o.baseName(), tag, spool); err != nil {
		return err
	}
	if err := c.o.step("based"); err != nil {
		return err
	}
	if !st.Based {
		if err := c.based(st.Copy); err != nil {
			return err
		}
	}
	return c.prune(ctx, st.Number, st.Stops)
}

// write spools all rows as one transaction sees them.
func (c *Copy) write(spool *os.File, key []byte) (st *state, err error) {
	err = c.o.Shelf.View(func(tx shelf.Tx) error {
		if _, err := spool.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := spool.Truncate(0); err != nil {
			return err
		}
		if st, err = stateIn(tx); err != nil {
			return err
		}
		if st == nil {
			return errEnded
		}
		w, err := newWriter(spool, c.head(kindBase, st))
		if err != nil {
			return err
		}
		for _, b := range c.o.Buckets {
			if err := tx.Ascend(b, nil, nil, func(k, v []byte) error { return w.put(row{b, k, append([]byte{}, v...)}) }); err != nil {
				return err
			}
		}
		_, err = w.end(spool, key)
		return err
	})
	if err == nil {
		_, err = spool.Seek(0, io.SeekStart)
	}
	return st, err
}

// based notes that there is a base.
func (c *Copy) based(of string) error {
	return c.o.Shelf.Update(func(tx shelf.Tx) error {
		st, err := stateIn(tx)
		if err != nil || st == nil || st.Copy != of {
			return errors.Join(errEnded, err)
		}
		st.Based, st.From = true, ""
		return putState(tx, st)
	})
}

// baseHead reads how the base begins; nil: there is none.
func (c *Copy) baseHead(ctx context.Context) (*head, string, error) {
	in, tag, err := c.o.Place.Read(ctx, c.o.baseName())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	defer in.Close()
	r := &hashing{from: bufio.NewReaderSize(io.LimitReader(in, 2*maxHead), 2*maxHead), sum: sha256.New()}
	h, err := r.readHead()
	return &h, tag, err
}

// Prune removes what the base makes superfluous: changes that arrived late.
func (c *Copy) Prune(ctx context.Context) error {
	base, _, err := c.baseHead(ctx)
	if err == nil && base == nil {
		err = errors.New("there is no base")
	}
	if err == nil {
		err = c.prune(ctx, base.Number, base.Stops)
	}
	c.told(err)
	return err
}

// prune removes everything but the base, the changes behind it and stops, and looks
// whether it is gone.
func (c *Copy) prune(ctx context.Context, upto uint64, stops []uint64) error {
	goes := func(name string) bool {
		n, ok := c.numberOf(name)
		return name != c.o.baseName() && (!ok || n <= upto && !slices.Contains(stops, n))
	}
	for range 2 {
		var gone []string
		err := c.o.Place.List(ctx, c.o.Of.Shelf+"/", func(name string) error {
			if goes(name) {
				gone = append(gone, name)
			}
			return nil
		})
		if err != nil || len(gone) == 0 {
			return err
		}
		for _, name := range gone {
			if err := c.o.Place.Remove(ctx, name); err != nil {
				return err
			}
		}
	}
	return c.o.Place.List(ctx, c.o.Of.Shelf+"/", func(name string) error {
		if goes(name) {
			return fmt.Errorf("%s was removed from %s and is still there", name, c.o.Place)
		}
		return nil
	})
}

// numberOf is the number in the name of a change.
func (c *Copy) numberOf(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, c.o.changePrefix())
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, ok && err == nil && len(digits) == 20
}

// Tend looks whether the copy is whole, and writes it anew when it is not, or when
// many changes are behind its base; else it removes what came later than it should. It
// asks the place for its rules first.
func (c *Copy) Tend(ctx context.Context) error {
	if c.o.Place == nil {
		return nil
	}
	whole, err := c.look(ctx)
	if c.told(err); err != nil {
		return fmt.Errorf("look at the copy of %s: %w", c.o.Of.Shelf, err)
	}
	if !whole {
		return c.Rebase(ctx)
	}
	if err := c.Prune(ctx); err != nil { // what landed later than Late is here until the next look at most
		return fmt.Errorf("remove what came late to the copy of %s: %w", c.o.Of.Shelf, err)
	}
	return nil
}

func (c *Copy) look(ctx context.Context) (whole bool, err error) {
	if err := c.o.Place.Ready(ctx); err != nil {
		c.mu.Lock()
		c.asked = false // nothing goes there before it answers well
		c.mu.Unlock()
		return false, err
	}
	st, err := c.state()
	if err != nil || st == nil {
		return false, errors.Join(errEnded, err)
	}
	base, _, err := c.baseHead(ctx)
	if err != nil || base == nil {
		return false, err
	}
	if base.Copy != st.Copy {
		return false, c.foreign()
	}
	if base.Number > st.Number {
		return true, nil // written since
	}
	next, changes := base.Number+1, 0
	err = c.o.Place.List(ctx, c.o.changePrefix(), func(name string) error {
		if n, ok := c.numberOf(name); ok && n == next {
			next, changes = next+1, changes+1
		}
		return nil
	})
	c.mu.Lock()
	c.changes = changes
	c.mu.Unlock()
	if err == nil && next <= st.Number {
		if again, _, err := c.baseHead(ctx); err != nil || again != nil && again.Number != base.Number {
			return err == nil, err // another node wrote it meanwhile, and removed what was looked for
		}
		c.log.Error("the copy lacks a change that was put into it; it is written anew", "of", c.o.Of.Shelf, "number", next)
		return false, nil
	}
	return changes < maxChanges, err
}

func (c *Copy) foreign() error {
	return fmt.Errorf("%s is of another copy: was the key table put back elsewhere?", c.o.baseName())
}

// End removes the copy, from the place first; the shelf is copied no more.
func (c *Copy) End(ctx context.Context) error {
	st, err := c.state()
	if err != nil {
		return err
	}
	base, _, err := c.baseHead(ctx)
	if err == nil && base != nil && st != nil && base.Copy != st.Copy && (st.Based || base.Copy != st.From) {
		err = c.foreign()
	}
	if err != nil {
		return fmt.Errorf("end the copy of %s: %w", c.o.Of.Shelf, err)
	}
	names := []string{}
	err = c.o.Place.List(ctx, c.o.Of.Shelf+"/", func(name string) error { names = append(names, name); return nil })
	for _, name := range names {
		if err == nil {
			err = c.o.Place.Remove(ctx, name)
		}
	}
	if err != nil {
		return fmt.Errorf("remove the copy of %s: %w", c.o.Of.Shelf, err)
	}
	return c.o.Shelf.Update(func(tx shelf.Tx) error { return tx.Delete(bucketState, stateKey) })
}
