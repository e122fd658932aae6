package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
)

// rewrite carries the surviving keys of one table into its next version.
type rewrite struct {
	from, to *table
	wrap     wrapper  // from's: from itself may be dropped meanwhile
	key      [32]byte // of to
	upto     uint64   // entries carried so far
	alive    uint64   // of them, not destroyed
	marked   []uint64 // destroyed meanwhile
}

// rotation is one turn from a generation to the next.
type rotation struct {
	next     *sheet
	key      [32]byte // of the generation
	rewrites []*rewrite
	tables   []*table // what was made, the rewrites' included
	names    *names
	asked    bool // Retire asked for it
}

// carryBlock is how many entries are carried in one step.
const carryBlock = 4 * tableBlock

// Rotate begins the next key generation and destroys the one before it: every
// table in which a key was destroyed is wrapped anew under a new key, the others
// go over as they are, the names are wrapped anew. Draw, Open and Destroy go on
// meanwhile. The work is in proportion to the tables in which something was
// destroyed.
//
// A crash at any point leaves the old generation or the new one whole; what was
// left to destroy is destroyed after the next start. An error before the new
// sheet is in place leaves everything as it was. An error after that is about
// the destruction, which is tried again by itself.
func (k *Keyring) Rotate(ctx context.Context) error {
	k.rotating.Lock()
	defer k.rotating.Unlock()
	return k.turn(ctx)
}

// turn is Rotate; the caller holds k.rotating.
func (k *Keyring) turn(ctx context.Context) error {
	k.uses.Count(store.UseRotate, OpRotate)
	began := k.o.Elapsed()
	err := k.rotate(ctx)
	if err != nil {
		k.turns.failed(err, k.o.Now())
		return fmt.Errorf("rotate keys: %w", err)
	}
	k.turns.succeeded(k.o.Now(), k.o.Elapsed()-began)
	return k.retireOld(ctx)
}

func (k *Keyring) rotate(ctx context.Context) error {
	r := &rotation{}
	defer func() { clear(r.key[:]) }()
	defer k.turns.progress(0, 0)
	err := k.plan(r)
	if err == nil {
		k.step("planned")
		err = k.create(ctx, r)
	}
	if err == nil {
		k.step("created")
		err = k.carryAll(ctx, r)
	}
	if err == nil {
		k.step("carried")
		err = k.commit(r)
	}
	if err != nil {
		k.abandon(ctx, r)
		return err
	}
	k.step("committed")
	k.log.Info("a key generation began", "generation", r.next.generation, "tables", len(r.next.tables), "written_anew", len(r.rewrites))
	return nil
}

// plan finds what must be written anew. From here on Destroy tells the rewrites.
func (k *Keyring) plan(r *rotation) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.usable(); err != nil {
		return err
	}
	old := k.sheet
	r.next = &sheet{ring: old.ring, generation: old.generation + 1, kind: old.kind, tag: old.tag}
	k.planned, r.asked, k.asked = r.next.generation, k.asked, false
	total := uint64(0)
	for _, t := range old.tables {
		dirty, err := k.isDirty(t)
		if err != nil {
			return err
		}
		if !dirty {
			r.next.tables = append(r.next.tables, t)
			continue
		}
		from, err := k.tableOf(t.birth)
		if err != nil {
			return err
		}
		w := &rewrite{from: from, wrap: from.wrap}
		if w.key, err = randomKey(k.o.Rand); err != nil {
			return err
		}
		if w.to, err = createTable(k.places, k.o.Region, t.birth, r.next.generation, w.key); err != nil {
			return err
		}
		from.anew = w
		r.rewrites, r.tables = append(r.rewrites, w), append(r.tables, w.to)
		total += from.written
	}
	k.turns.progress(0, total)
	return nil
}

func (k *Keyring) isDirty(t tableKey) (bool, error) {
	if open, ok := k.tables[t.birth]; ok {
		return open.dirty, nil
	}
	f, err := os.Open(filepath.Join(k.o.Dir, tableName(t.birth, t.version)))
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, tableHead)
	if _, err := io.ReadFull(f, head); err != nil {
		return false, fmt.Errorf("head of %s: %w", f.Name(), errChanged)
	}
	return head[tableDirty] != 0, nil
}

func (k *Keyring) create(ctx context.Context, r *rotation) (err error) {
	ctx, cancel := context.WithTimeout(ctx, custodianAnswer)
	defer cancel()
	r.next.created = k.o.Now().UTC().Truncate(time.Second)
	if r.next.token, r.key, err = k.custodian.Create(ctx, r.next.generation); err != nil {
		return fmt.Errorf("make the key of generation %d: %w", r.next.generation, err)
	}
	if r.next.names, err = randomKey(k.o.Rand); err != nil {
		return err
	}
	birth := tableKey{birth: r.next.generation, version: r.next.generation}
	if birth.key, err = randomKey(k.o.Rand); err != nil {
		return err
	}
	t, err := createTable(k.places, k.o.Region, birth.birth, birth.version, birth.key)
	if err != nil {
		return err
	}
	r.tables = append(r.tables, t)
	r.next.tables = append(r.next.tables, birth)
	return nil
}

// carryAll carries what the tables held when the rotation was planned.
func (k *Keyring) carryAll(ctx context.Context, r *rotation) error {
	for _, w := range r.rewrites {
		k.mu.Lock()
		upto := w.from.written
		k.mu.Unlock()
		for w.upto < upto {
			if err := ctx.Err(); err != nil {
				return err
			}
			n := min(carryBlock, upto-w.upto)
			if err := k.carry(w, n, false); err != nil {
				return err
			}
			k.turns.advance(n)
		}
		if err := w.to.file.sync(); err != nil {
			return err
		}
	}
	return nil
}

// carry wraps the next n entries under the new key. What does not open, because
// Destroy is writing it or because it is damaged, is read again under the lock.
func (k *Keyring) carry(w *rewrite, n uint64, locked bool) error {
	old := make([]byte, n*entrySize)
	if got, err := w.from.file.f.ReadAt(old, offset(w.upto)); err != nil && !(errors.Is(err, io.EOF) && got >= 0) {
		return fmt.Errorf("read %s: %w", w.from.file.name, err)
	}
	anew := make([]byte, 0, n*entrySize)
	for i := range n {
		e, index := old[i*entrySize:(i+1)*entrySize], w.upto+i
		if allZero(e) {
			anew = append(anew, e...)
			continue
		}
		key, err := unwrapEntry(w.wrap, w.from.birth, index, e)
		if err != nil && !isDestroyed(err) {
			key, err = k.openAgain(w.from, index, locked)
		}
		if isDestroyed(err) {
			anew = append(anew, destroyedMark...)
			continue
		}
		if err != nil {
			return fmt.Errorf("key %d of generation %d is damaged in every place: %w", index, w.from.birth, err)
		}
		anew, err = w.to.entry(anew, index, key, k.o.Rand)
		clear(key[:])
		if err != nil {
			return err
		}
		w.alive++
	}
	if !allZero(anew) {
		if err := w.to.file.put(anew, offset(w.upto)); err != nil {
			return err
		}
	}
	w.upto += n
	return nil
}

func (k *Keyring) openAgain(t *table, index uint64, locked bool) ([32]byte, error) {
	if !locked {
		k.mu.Lock()
		defer k.mu.Unlock()
	}
	return t.open(index)
}

// commit carries what came meanwhile and puts the new sheet in place. From then
// on the new generation is the current one, here and after a crash.
func (k *Keyring) commit(r *rotation) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.usable(); err != nil {
		return err
	}
	for _, w := range r.rewrites {
		if err := k.finish(w); err != nil {
			return err
		}
		if w.alive > 0 || len(w.marked) > 0 {
			r.next.tables = append(r.next.tables, tableKey{w.to.birth, w.to.version, w.key})
		}
	}
	slices.SortFunc(r.next.tables, func(a, b tableKey) int { return int(int64(a.birth) - int64(b.birth)) })
	var err error
	if r.names, err = createNames(k.places, k.o.Region, r.next.generation, r.next.names, r.next.tag, k.names.living(), k.o.Rand); err != nil {
		return err
	}
	data, err := r.next.encode(r.key, k.o.Region, k.o.Rand)
	if err != nil {
		return err
	}
	if err := k.places.do(syncDir); err != nil {
		return err
	}
	k.step("ready")
	if err := k.places.writeWhole(sheetName(r.next.generation), data); err != nil {
		return k.fail(err) // which generation is the current one is not known
	}
	k.adopt(r)
	return nil
}

// finish carries the tail of a table and marks what was destroyed meanwhile.
// Such a key was wrapped under the new key for a moment, so that its table is
// dirty again.
func (k *Keyring) finish(w *rewrite) error {
	for w.upto < w.from.written {
		if err := k.carry(w, min(carryBlock, w.from.written-w.upto), true); err != nil {
			return err
		}
	}
	w.to.written = w.from.written
	if n := len(w.from.ready); n > 0 { // drawn by nobody, and never will be
		if err := w.to.file.put(bytes.Repeat(destroyedMark, n), offset(w.from.next)); err != nil {
			return err
		}
		w.alive -= uint64(n)
	}
	for _, index := range w.marked {
		if err := w.to.mark(index); err != nil {
			return err
		}
	}
	return w.to.file.sync()
}

// adopt makes a rotation's result what this process works with.
func (k *Keyring) adopt(r *rotation) {
	old := k.sheet
	for _, w := range r.rewrites {
		w.from.anew = nil
	}
	for birth, t := range k.tables {
		if key, ok := r.next.table(birth); !ok || key.version != t.version {
			delete(k.tables, birth)
			t.drop()
		} else if birth == old.generation {
			for i := range t.ready { // what was ready stays behind as a hole
				clear(t.ready[i][:])
			}
			t.ready = nil
		}
	}
	for _, t := range r.tables {
		if _, ok := r.next.table(t.birth); !ok {
			t.drop()
			continue
		}
		k.tables[t.birth] = t
	}
	k.names.drop()
	k.sheet, k.names, k.planned = r.next, r.names, 0
	old.wipe()
	k.extend()
	now := k.o.Now().UTC()
	k.history.at(old.generation).Retired = now
	k.history.at(r.next.generation).Created = r.next.created
	k.history.Asked = k.asked // meanwhile
	if err := k.history.save(k.places, now); err != nil {
		k.log.Error("the history of key generations cannot be written", "cause", err.Error())
	}
}

// abandon takes back a rotation that did not come to its end.
func (k *Keyring) abandon(ctx context.Context, r *rotation) {
	k.mu.Lock()
	k.planned, k.asked = 0, k.asked || r.asked
	for _, w := range r.rewrites {
		w.from.anew = nil
	}
	failed := k.failed
	k.mu.Unlock()
	var gone []string
	for _, t := range r.tables {
		gone = append(gone, t.file.name)
		t.drop()
	}
	if r.names != nil {
		gone = append(gone, r.names.file.name)
		r.names.drop()
	}
	if failed != nil {
		return // the new sheet may be in place: the next start decides
	}
	if err := k.places.remove(gone...); err != nil {
		k.log.Warn("files of a rotation that failed are left; the next start removes them", "cause", err.Error())
	}
	if r.next == nil || r.key == [32]byte{} {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), custodianAnswer)
	defer cancel()
	if _, err := k.custodian.Destroy(ctx, r.next.generation, r.next.token); err != nil {
		k.log.Warn("the key of a generation that never began could not be destroyed; it protects nothing", "generation", r.next.generation, "cause", err.Error())
	}
}
