package keytable

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// ImportOptions of Import. All are required but Told.
type ImportOptions struct {
	Shelf     shelf.Shelf // with Buckets
	Region    policy.RegionID
	Custodian local.Custodian // of the table that is made
	From      *local.Keyring  // frozen
	Move      string          // id of the move: what an earlier try of the same move left is made anew, anything else is refused
	Told      func(done, of uint64)
}

// Imported says what an import carried over.
type Imported struct {
	Generation uint64 `json:"generation"` // the first of the new table
	Keys       uint64 `json:"keys"`       // chunk keys that live
	Destroyed  uint64 `json:"destroyed"`  // places without a key, which stay without
	Names      uint64 `json:"names"`
}

// stateImport names the move that a table came by.
var stateImport = []byte("import")

// CheckImport is why a shelf cannot take a keyring over, else nil.
func CheckImport(s shelf.Shelf, move string) error {
	return s.View(func(tx shelf.Tx) error {
		current, err := tx.Get(bucketState, stateCurrent)
		if err != nil || current == nil {
			return err
		}
		by, err := tx.Get(bucketState, stateImport)
		if err == nil && string(by) != move {
			err = errors.New("the key database holds a key table already: give an empty database")
		}
		return err
	})
}

// Import makes the table of a frozen keyring's keys on a shelf, as the generation
// after the keyring's: ids and names stay, every key is wrapped anew, and what was
// destroyed stays so. It then reads everything back and compares. Until its last
// commit the shelf holds no table. It may be repeated with the same Move.
func Import(ctx context.Context, o ImportOptions) (done Imported, err error) {
	if err := errors.Join(shelf.Format(o.Shelf, "the key table", format), CheckImport(o.Shelf, o.Move)); err != nil {
		return done, fmt.Errorf("hand the keys over: %w", err)
	}
	h, err := o.From.Handover()
	if err != nil {
		return done, fmt.Errorf("hand the keys over: %w", err)
	}
	defer h.Wipe()
	t := &Table{o: Options{Shelf: o.Shelf, Region: o.Region, Custodian: o.Custodian, Rand: rand.Reader, Now: time.Now}}
	i := &importing{t: t, o: o, h: h, sheet: &sheet{generation: h.Generation + 1, kind: o.Custodian.Kind()}}
	defer i.sheet.wipe()
	defer func() { clear(i.key[:]) }()
	for _, step := range []func(context.Context) error{i.clear, i.create, i.blocks, i.commit, i.compare} {
		if err = ctx.Err(); err == nil {
			err = step(ctx)
		}
		if err != nil {
			return i.done, fmt.Errorf("hand the keys over: %w", err)
		}
	}
	return i.done, nil
}

// ClearImport removes what a try of a move left, and has the custodian destroy
// the generation that it made.
func ClearImport(ctx context.Context, s shelf.Shelf, c local.Custodian, move string) error {
	if err := CheckImport(s, move); err != nil {
		return err
	}
	i := &importing{t: &Table{o: Options{Shelf: s, Custodian: c}}, o: ImportOptions{Shelf: s, Custodian: c, Move: move}}
	return i.clear(ctx)
}

type importing struct {
	t     *Table
	o     ImportOptions
	h     *local.Handover
	sheet *sheet
	key   [32]byte // of the generation
	birth map[uint64]birthRow
	done  Imported
}

// clear removes what is there.
func (i *importing) clear(ctx context.Context) error {
	var tokens map[uint64][]byte
	err := i.o.Shelf.View(func(tx shelf.Tx) error {
		tokens = map[uint64][]byte{}
		return tx.Ascend(bucketSheets, nil, nil, func(k, v []byte) error {
			var row sheetRow
			err := unmarshal(v, &row)
			tokens[numberIn(k)] = row.Token
			return err
		})
	})
	for gen, token := range tokens {
		if err == nil {
			_, err = i.o.Custodian.Destroy(ctx, gen, token)
		}
	}
	for _, b := range Buckets() {
		for more := true; more && err == nil; {
			err = i.o.Shelf.Update(func(tx shelf.Tx) error {
				var gone [][]byte
				err := tx.Ascend(b, nil, nil, func(k, _ []byte) error {
					if gone = append(gone, bytes.Clone(k)); len(gone) == carryBlocks {
						return shelf.ErrStop
					}
					return nil
				})
				for _, k := range gone {
					err = errors.Join(err, tx.Delete(b, k))
				}
				more = len(gone) > 0
				return err
			})
		}
	}
	return err
}

// create makes the new generation's key, and those of its sheet. Nothing is written
// yet: one that is cut short here leaves a key of the custodian that opens nothing.
func (i *importing) create(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, custodianAnswer)
	defer cancel()
	i.sheet.created = time.Now().UTC().Truncate(time.Second)
	if i.sheet.token, i.key, err = i.o.Custodian.Create(ctx, i.sheet.generation); err != nil {
		return fmt.Errorf("make the key of generation %d: %w", i.sheet.generation, err)
	}
	i.sheet.Tag = bytes.Clone(i.h.Tag[:])
	if i.sheet.Names, err = i.t.randomKey(); err != nil {
		return err
	}
	i.birth = map[uint64]birthRow{}
	for _, b := range append(i.h.Births, local.Birth{Generation: i.sheet.generation}) {
		key := tableKey{Birth: b.Generation, Version: i.sheet.generation}
		if key.Key, err = i.t.randomKey(); err != nil {
			return err
		}
		i.sheet.Tables = append(i.sheet.Tables, key)
		i.birth[b.Generation] = birthRow{Version: i.sheet.generation, Blocks: b.Keys / blockSize}
	}
	return nil
}

// blocks wraps the chunk keys, a few blocks in each transaction.
func (i *importing) blocks(ctx context.Context) error {
	var total, at uint64
	for _, b := range i.h.Births {
		total += b.Keys
	}
	for _, b := range i.h.Births {
		w, err := i.t.binderOf(i.sheet, b.Generation, i.sheet.generation)
		if err != nil {
			return err
		}
		var waiting [][]byte
		first, block := uint64(0), make([]byte, 0, blockBytes)
		flush := func() error {
			if err := ctx.Err(); err != nil || len(waiting) == 0 {
				return err
			}
			err := i.o.Shelf.Update(func(tx shelf.Tx) error {
				for n, block := range waiting {
					if err := tx.Put(bucketBlocks, number(b.Generation, i.sheet.generation, first+uint64(n)), block); err != nil {
						return err
					}
				}
				return nil
			})
			first, waiting = first+uint64(len(waiting)), nil
			if i.o.Told != nil {
				i.o.Told(at, total)
			}
			return err
		}
		err = i.o.From.EachKey(b.Generation, func(index uint64, key *[32]byte) error {
			at++
			if key == nil {
				block, i.done.Destroyed = append(block, destroyedMark...), i.done.Destroyed+1
			} else {
				entry, err := w.seal(key[:], number(b.Generation, index))
				if err != nil {
					return err
				}
				block, i.done.Keys = append(block, entry...), i.done.Keys+1
			}
			if len(block) < blockBytes {
				return nil
			}
			if waiting, block = append(waiting, block), make([]byte, 0, blockBytes); len(waiting) < carryBlocks {
				return nil
			}
			return flush()
		})
		if err == nil {
			err = flush()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// commit writes names, fates and births, and makes the table appear.
func (i *importing) commit(context.Context) error {
	w, err := newBinder(i.sheet.Names, i.o.Region, "name", i.t.o.Rand)
	if err != nil {
		return err
	}
	return i.o.Shelf.Update(func(tx shelf.Tx) error {
		i.done.Generation, i.done.Names = i.sheet.generation, uint64(len(i.h.Names))
		for tag, key := range i.h.Names {
			sealed, err := w.seal(key[:], tag[:])
			if err != nil {
				return err
			}
			if err := tx.Put(bucketNames, append(number(i.sheet.generation), tag[:]...), sealed); err != nil {
				return err
			}
		}
		for _, f := range i.h.Fates {
			if f.Generation == i.h.Generation {
				f.Retired = i.sheet.created
			}
			if err := putJSON(tx, bucketFates, number(f.Generation), fate{Created: f.Created, Retired: f.Retired, Destroyed: f.Destroyed, Final: f.Final}); err != nil {
				return err
			}
		}
		for birth, row := range i.birth {
			if err := putJSON(tx, bucketBirths, number(birth), row); err != nil {
				return err
			}
		}
		return errors.Join(tx.Put(bucketState, stateImport, []byte(i.o.Move)), i.t.putSheet(tx, i.sheet, i.key))
	})
}

var errNotCarried = errors.New("what was read back of the key database is not what was written; look at its disk and its log")

// compare opens the table as a node will, and holds every key and name against
// the keyring's.
func (i *importing) compare(ctx context.Context) error {
	t := &Table{o: i.t.o, named: local.NewKeyCache[string](1)}
	t.o.Elapsed = bootTime
	if err := t.reload(ctx); err != nil {
		return err
	}
	s := t.sheet
	defer s.wipe()
	for _, b := range i.h.Births {
		w, err := t.binderOf(s, b.Generation, s.generation)
		if err != nil {
			return err
		}
		var block []byte
		err = i.o.From.EachKey(b.Generation, func(index uint64, key *[32]byte) error {
			if index%blockSize == 0 {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := i.o.Shelf.View(func(tx shelf.Tx) error {
					found, err := tx.Get(bucketBlocks, number(b.Generation, s.generation, index/blockSize))
					block = bytes.Clone(found)
					return err
				}); err != nil {
					return err
				}
			}
			entry, err := entryOf(block, store.KeyID{Generation: b.Generation, Index: index})
			if err != nil {
				return err
			}
			return same(w, entry, number(b.Generation, index), key)
		})
		if err != nil {
			return err
		}
	}
	return i.compareNames(s)
}

func (i *importing) compareNames(s *sheet) error {
	w, err := newBinder(s.Names, i.o.Region, "name", i.t.o.Rand)
	if err != nil {
		return err
	}
	return i.o.Shelf.View(func(tx shelf.Tx) error {
		n := 0
		err := tx.Ascend(bucketNames, nil, nil, func(k, v []byte) error {
			n++
			if len(k) != 8+32 || numberIn(k) != s.generation {
				return errNotCarried
			}
			key, ok := i.h.Names[[32]byte(k[8:])]
			if !ok {
				return errNotCarried
			}
			return same(w, v, k[8:], &key)
		})
		if err == nil && n != len(i.h.Names) {
			err = errNotCarried
		}
		return err
	})
}

// same holds an entry against the key that it is to hold; nil: none.
func same(w binder, entry, place []byte, want *[32]byte) error {
	got, err := w.openKey(entry, place)
	defer clear(got[:])
	switch {
	case want == nil && isDestroyed(err):
		return nil
	case want == nil || err != nil || subtle.ConstantTimeCompare(got[:], want[:]) != 1:
		return errors.Join(errNotCarried, err)
	}
	return nil
}

// NoteFates writes what became of generations that another custodian destroyed
// after their keys were carried over here. It may be repeated.
func NoteFates(s shelf.Shelf, fates []store.KeyFate) error {
	return s.Update(func(tx shelf.Tx) error {
		for _, f := range fates {
			var now fate
			ok, err := readJSON(tx, bucketFates, number(f.Generation), &now)
			if err != nil {
				return err
			}
			if !ok || !now.Destroyed.IsZero() || f.Destroyed.IsZero() {
				continue
			}
			now.Destroyed, now.Final = f.Destroyed, f.Final
			if err := putJSON(tx, bucketFates, number(f.Generation), now); err != nil {
				return err
			}
		}
		return nil
	})
}
