package keytable

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/store"
)

// carryBlocks is how many blocks are carried in one transaction.
const carryBlocks = 32

// rotation is one turn from a generation to the next. All its writes are under
// the lease that it began with.
type rotation struct {
	shelf shelf.Shelf // under the fence
	from  *sheet
	next  *sheet
	key   [32]byte // of the generation
	made  bool     // the custodian has made it
	asked bool     // Retire asked for it
	carry []*carried
}

// carried is a birth whose surviving keys are wrapped anew.
type carried struct {
	birth uint64
	was   uint64 // version
	old   binder
	anew  binder
	key   tableKey
	done  uint64 // blocks
	alive uint64
}

// Rotate begins the next key generation and destroys the one before it, as
// local.Keyring.Rotate does. It waits until no other node rotates.
func (t *Table) Rotate(ctx context.Context) error { return t.alone(ctx, t.turn) }

// alone runs f while no other node changes generations.
func (t *Table) alone(ctx context.Context, f func(context.Context) error) error {
	held, release, err := t.o.Leases.Hold(ctx, lease.Turn)
	if err != nil {
		return fmt.Errorf("wait for the lease of the key table: %w", err)
	}
	defer release()
	return f(held)
}

// turn is Rotate for who holds the lease of ctx.
func (t *Table) turn(ctx context.Context) error {
	t.uses.Count(store.UseRotate, local.OpRotate)
	began := t.o.Elapsed()
	err := t.rotate(ctx)
	if err != nil {
		t.turned(err, 0)
		return fmt.Errorf("rotate keys: %w", err)
	}
	t.turned(nil, t.o.Elapsed()-began)
	return t.retireOld(ctx)
}

func (t *Table) rotate(ctx context.Context) error {
	r := &rotation{shelf: t.o.Shelf.Under(lease.FenceOf(ctx))}
	defer func() { clear(r.key[:]) }()
	defer t.progress(0, 0)
	steps := []struct {
		name string
		do   func(context.Context, *rotation) error
	}{{"swept", t.sweep}, {"planned", t.plan}, {"created", t.create}, {"carried", t.carryAll}, {"committed", t.commit}}
	for _, s := range steps {
		err := ctx.Err()
		if err == nil {
			err = s.do(ctx, r)
		}
		if err != nil {
			t.abandon(ctx, r)
			return err
		}
		if err := t.o.step(s.name); err != nil {
			return err // a test's crash: nothing is taken back
		}
	}
	t.log.Info("a key generation began", "generation", r.next.generation, "tables", len(r.next.Tables), "written_anew", len(r.carry))
	return t.reload(ctx)
}

// sweep deletes blocks that nothing leads to, of rotations that were done or cut
// short. It needs no key.
func (t *Table) sweep(ctx context.Context, r *rotation) error {
	for ctx.Err() == nil {
		var left bool
		err := r.shelf.Update(func(tx shelf.Tx) error {
			left = false
			var set []byte
			if err := tx.Ascend(bucketStale, nil, nil, func(k, _ []byte) error { set = bytes.Clone(k); return shelf.ErrStop }); err != nil || set == nil {
				return err
			}
			left = true
			var gone [][]byte
			err := tx.Ascend(bucketBlocks, set, nil, func(k, _ []byte) error {
				if gone = append(gone, bytes.Clone(k)); len(gone) == carryBlocks {
					return shelf.ErrStop
				}
				return nil
			})
			for _, k := range gone {
				err = errors.Join(err, tx.Delete(bucketBlocks, k))
			}
			if err != nil || len(gone) == carryBlocks {
				return err
			}
			return tx.Delete(bucketStale, set)
		})
		if err != nil || !left {
			return err
		}
	}
	return ctx.Err()
}

// plan finds what must be written anew. From here on Destroy tells both versions.
func (t *Table) plan(_ context.Context, r *rotation) error {
	err := t.with(r.shelf.Update, func(tx shelf.Tx, s *sheet) error {
		*r = rotation{shelf: r.shelf, from: s, next: &sheet{generation: s.generation + 1, kind: s.kind, secrets: secrets{Tag: bytes.Clone(s.Tag)}}}
		asked, err := tx.Get(bucketState, stateAsked)
		if err != nil {
			return err
		}
		r.asked = asked != nil
		total := uint64(0)
		births := map[uint64]birthRow{}
		if err := eachBirth(tx, func(birth uint64, b birthRow) error { births[birth] = b; return nil }); err != nil {
			return err
		}
		for _, key := range s.Tables {
			b, ok := births[key.Birth]
			if !ok {
				continue // nothing of it is left
			}
			if b.Pending, b.Redirty = 0, false; !b.Dirty {
				r.next.Tables = append(r.next.Tables, tableKey{key.Birth, key.Version, bytes.Clone(key.Key)})
			} else {
				c, err := t.carriedOf(s, key, r.next.generation)
				if err != nil {
					return err
				}
				b.Pending, r.carry = r.next.generation, append(r.carry, c)
				total += b.Blocks * blockSize
				// Should this be cut short, what it has written is deleted.
				if err := tx.Put(bucketStale, number(key.Birth, b.Pending), nil); err != nil {
					return err
				}
			}
			if err := putJSON(tx, bucketBirths, number(key.Birth), b); err != nil {
				return err
			}
		}
		t.progress(0, total)
		return errors.Join(tx.Put(bucketState, statePlanned, number(r.next.generation)), tx.Delete(bucketState, stateAsked))
	})
	if err != nil {
		r.next = nil
	}
	return err
}

func (t *Table) carriedOf(s *sheet, key tableKey, version uint64) (c *carried, err error) {
	c = &carried{birth: key.Birth, was: key.Version, key: tableKey{Birth: key.Birth, Version: version}}
	if c.key.Key, err = t.randomKey(); err != nil {
		return nil, err
	}
	if c.old, err = t.binderOf(s, key.Birth, key.Version); err != nil {
		return nil, err
	}
	c.anew, err = newBinder(c.key.Key, t.o.Region, "chunk", t.o.Rand)
	return c, err
}

func eachBirth(tx shelf.Tx, visit func(uint64, birthRow) error) error {
	return tx.Ascend(bucketBirths, nil, nil, func(k, v []byte) error {
		var b birthRow
		if err := unmarshal(v, &b); err != nil {
			return err
		}
		return visit(numberIn(k), b)
	})
}

func (t *Table) create(ctx context.Context, r *rotation) (err error) {
	ctx, cancel := context.WithTimeout(ctx, custodianAnswer)
	defer cancel()
	r.next.created = t.o.Now().UTC().Truncate(time.Second)
	if r.next.token, r.key, err = t.o.Custodian.Create(ctx, r.next.generation); err != nil {
		return fmt.Errorf("make the key of generation %d: %w", r.next.generation, err)
	}
	r.made = true
	if r.next.Names, err = t.randomKey(); err != nil {
		return err
	}
	birth := tableKey{Birth: r.next.generation, Version: r.next.generation}
	if birth.Key, err = t.randomKey(); err != nil {
		return err
	}
	r.next.Tables = append(r.next.Tables, birth)
	return nil
}

// carryAll carries what the tables hold, a few blocks in each transaction.
func (t *Table) carryAll(ctx context.Context, r *rotation) error {
	for _, c := range r.carry {
		for more := true; more; {
			if err := ctx.Err(); err != nil {
				return err
			}
			var done, alive uint64
			err := r.shelf.Update(func(tx shelf.Tx) (err error) {
				done, alive, more, err = t.carry(tx, c, carryBlocks)
				return err
			})
			if err != nil {
				return err
			}
			c.done, c.alive = c.done+done, c.alive+alive
			t.advance(done * blockSize)
		}
	}
	return nil
}

// carry wraps the next blocks of a birth, at most n, under its new key.
func (t *Table) carry(tx shelf.Tx, c *carried, n uint64) (done, alive uint64, more bool, err error) {
	for ; done < n; done++ {
		at := c.done + done
		block, err := tx.Get(bucketBlocks, number(c.birth, c.was, at))
		if err != nil || block == nil {
			return done, alive, false, err
		}
		out := make([]byte, 0, blockBytes)
		for i := range uint64(blockSize) {
			id := store.KeyID{Generation: c.birth, Index: at*blockSize + i}
			entry, err := entryOf(block, id)
			if err != nil {
				return 0, 0, false, err
			}
			key, err := c.old.openKey(entry, number(id.Generation, id.Index))
			if isDestroyed(err) {
				out = append(out, destroyedMark...)
				continue
			}
			if err != nil {
				return 0, 0, false, fmt.Errorf("key %d of generation %d is damaged: %w", id.Index, id.Generation, err)
			}
			entry, err = c.anew.seal(key[:], number(id.Generation, id.Index))
			clear(key[:])
			if err != nil {
				return 0, 0, false, err
			}
			out, alive = append(out, entry...), alive+1
		}
		if err := tx.Put(bucketBlocks, number(c.birth, c.key.Version, at), out); err != nil {
			return 0, 0, false, err
		}
	}
	return done, alive, true, nil
}

// commit carries what came meanwhile and makes the new generation the current one.
func (t *Table) commit(_ context.Context, r *rotation) error {
	return t.with(r.shelf.Update, func(tx shelf.Tx, s *sheet) error {
		if s.generation != r.from.generation {
			return fmt.Errorf("another node began generation %d meanwhile", s.generation)
		}
		next := *r.next
		next.Tables = append([]tableKey(nil), r.next.Tables...)
		for _, c := range r.carry {
			kept, err := t.finish(tx, c)
			if err != nil {
				return err
			}
			if kept {
				next.Tables = append(next.Tables, c.key)
			}
		}
		if err := t.carryNames(tx, s, &next); err != nil {
			return err
		}
		f := fate{}
		if _, err := readJSON(tx, bucketFates, number(s.generation), &f); err != nil {
			return err
		}
		f.Retired = t.o.Now().UTC()
		if err := errors.Join(putJSON(tx, bucketFates, number(s.generation), f), putJSON(tx, bucketBirths, number(next.generation), birthRow{Version: next.generation}),
			tx.Delete(bucketState, statePlanned)); err != nil {
			return err
		}
		return t.putSheet(tx, &next, r.key)
	})
}

// finish carries the tail of a birth and puts its new version in the place of the
// old one; kept is false when none of its keys survives.
func (t *Table) finish(tx shelf.Tx, c *carried) (kept bool, err error) {
	done, alive, _, err := t.carry(tx, c, 1<<40)
	if err != nil {
		return false, err
	}
	var b birthRow
	if ok, err := readJSON(tx, bucketBirths, number(c.birth), &b); err != nil || !ok {
		return false, errors.Join(err, errChanged)
	}
	if b.Blocks != c.done+done {
		return false, fmt.Errorf("%d of %d blocks of generation %d are there: %w", c.done+done, b.Blocks, c.birth, errChanged)
	}
	if err := tx.Put(bucketStale, number(c.birth, c.was), nil); err != nil {
		return false, err
	}
	if c.alive+alive == 0 {
		return false, tx.Delete(bucketBirths, number(c.birth)) // the blocks of both versions are stale
	}
	b.Version, b.Pending, b.Dirty, b.Redirty = c.key.Version, 0, b.Redirty, false
	return true, errors.Join(tx.Delete(bucketStale, number(c.birth, c.key.Version)), putJSON(tx, bucketBirths, number(c.birth), b))
}

// carryNames wraps every name anew.
func (t *Table) carryNames(tx shelf.Tx, from, to *sheet) error {
	old, err := newBinder(from.Names, t.o.Region, "name", t.o.Rand)
	if err != nil {
		return err
	}
	anew, err := newBinder(to.Names, t.o.Region, "name", t.o.Rand)
	if err != nil {
		return err
	}
	rows := map[string][]byte{}
	prefix := number(from.generation)
	err = tx.Ascend(bucketNames, prefix, nil, func(k, v []byte) error {
		key, err := old.openKey(v, k[8:])
		if err != nil {
			return fmt.Errorf("a named key is damaged: %w", err)
		}
		defer clear(key[:])
		rows[string(k[8:])], err = anew.seal(key[:], k[8:])
		return err
	})
	for tag, sealed := range rows {
		if err != nil {
			return err
		}
		err = errors.Join(tx.Put(bucketNames, append(number(to.generation), tag...), sealed), tx.Delete(bucketNames, append(bytes.Clone(prefix), tag...)))
	}
	return err
}

// abandon takes back a rotation that did not come to its end, as far as it can.
func (t *Table) abandon(ctx context.Context, r *rotation) {
	if r.next == nil {
		return
	}
	defer r.next.wipe()
	began := false
	err := r.shelf.Update(func(tx shelf.Tx) error {
		current, err := tx.Get(bucketState, stateCurrent)
		if began = numberIn(current) >= r.next.generation; err != nil || began {
			return err
		}
		err = tx.Delete(bucketState, statePlanned)
		if r.asked {
			err = errors.Join(err, tx.Put(bucketState, stateAsked, nil))
		}
		return err
	})
	if err != nil || began || !r.made {
		return // whether it began is not known: retireOld destroys no current generation
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), custodianAnswer)
	defer cancel()
	if _, err := t.o.Custodian.Destroy(ctx, r.next.generation, r.next.token); err != nil {
		t.log.Warn("the key of a generation that never began could not be destroyed; it protects nothing", "generation", r.next.generation, "cause", err.Error())
	}
}

// retireOld destroys every generation before the current one, and what is stale.
func (t *Table) retireOld(ctx context.Context) error {
	under := t.o.Shelf.Under(lease.FenceOf(ctx))
	var tokens map[uint64][]byte
	err := t.o.Shelf.View(func(tx shelf.Tx) error {
		tokens = map[uint64][]byte{}
		current, err := tx.Get(bucketState, stateCurrent)
		if err != nil {
			return err
		}
		return tx.Ascend(bucketSheets, nil, nil, func(k, v []byte) error {
			if gen := numberIn(k); gen < numberIn(current) {
				var row sheetRow
				if err := unmarshal(v, &row); err != nil {
					return err
				}
				tokens[gen] = row.Token
			}
			return nil
		})
	})
	for gen, token := range tokens {
		if err != nil {
			return err
		}
		err = t.destroyGeneration(ctx, under, gen, token)
	}
	if err != nil {
		return err
	}
	if err := t.sweep(ctx, &rotation{shelf: under}); err != nil {
		return err
	}
	return t.settle(ctx, under)
}

func (t *Table) destroyGeneration(ctx context.Context, under shelf.Shelf, gen uint64, token []byte) error {
	ctx, cancel := context.WithTimeout(ctx, custodianAnswer)
	defer cancel()
	final, err := t.o.Custodian.Destroy(ctx, gen, token)
	if err != nil {
		return fmt.Errorf("destroy key generation %d: %w", gen, err)
	}
	err = under.Update(func(tx shelf.Tx) error {
		var f fate
		if _, err := readJSON(tx, bucketFates, number(gen), &f); err != nil {
			return err
		}
		if f.Destroyed, f.Final = t.o.Now().UTC(), final.UTC(); t.copying() {
			f.Copied = inCopy
		}
		return errors.Join(putJSON(tx, bucketFates, number(gen), f), tx.Delete(bucketSheets, number(gen)))
	})
	if err == nil {
		t.log.Info("a key generation is destroyed", "generation", gen, "final", final.UTC().Format(time.RFC3339))
	}
	return err
}
