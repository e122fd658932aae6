package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// A keyring is handed over to the key table of a region of several nodes
// (dataplane/keytable): it is frozen, its keys are read and wrapped there anew,
// and once that table is the region's, this one is surrendered. While it is
// frozen and read, nothing is drawn, destroyed or forgotten, so that no key that
// was destroyed here lives on there.

// Freeze lets nothing be drawn, destroyed, forgotten or named anew until Thaw;
// what is held is read as before. It waits for a rotation that has begun.
func (k *Keyring) Freeze(why *policy.Error) {
	k.rotating.Lock()
	defer k.rotating.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.frozen = why
}

// Thaw ends Freeze.
func (k *Keyring) Thaw() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.frozen = nil
}

// Handover is what a frozen keyring holds, but for the chunk keys, which
// EachKey gives. It is secret.
type Handover struct {
	Generation uint64
	Tag        [32]byte              // key of the names' tags
	Names      map[[32]byte][32]byte // tag → key
	Births     []Birth
	Fates      []store.KeyFate // of all generations from 1 on
}

// Birth is the keys that were drawn in one generation.
type Birth struct {
	Generation uint64
	Keys       uint64 // places, a multiple of 256; not all hold a key
}

// Wipe forgets the keys, as far as the language lets it.
func (h *Handover) Wipe() {
	clear(h.Tag[:])
	clear(h.Names)
}

// String shows no key.
func (h *Handover) String() string { return "keys [redacted]" }

// GoString is String.
func (h *Handover) GoString() string { return h.String() }

var errNotFrozen = errors.New("the keyring must be frozen while it is handed over")

// Handover reads everything but the chunk keys of a frozen keyring.
func (k *Keyring) Handover() (*Handover, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.frozen == nil {
		return nil, errNotFrozen
	}
	if err := errors.Join(k.readable(), k.failed); err != nil {
		return nil, err
	}
	h := &Handover{Generation: k.sheet.generation, Tag: k.sheet.tag, Names: k.names.living()}
	for _, key := range k.sheet.tables {
		t, err := k.tableOf(key.birth)
		if err != nil {
			return nil, err
		}
		if t.written > 0 {
			h.Births = append(h.Births, Birth{key.birth, t.written})
		}
	}
	for gen := uint64(1); gen <= h.Generation; gen++ {
		f := store.KeyFate{Generation: gen, Destroyed: k.history.FloorFinal, Final: k.history.FloorFinal}
		if own := k.history.of(gen); own != nil {
			f.Created, f.Retired, f.Destroyed, f.Final = own.Created, own.Retired, own.Destroyed, own.Final
		}
		h.Fates = append(h.Fates, f)
	}
	return h, nil
}

// EachKey visits the places of one birth in order; nil is one without a key: it
// was destroyed, or a crash left the place empty. A key that is damaged in every
// place is an error: it is not dropped silently.
func (k *Keyring) EachKey(birth uint64, visit func(index uint64, key *[32]byte) error) error {
	for from, more := uint64(0), true; more; from += carryBlock {
		var keys []*[32]byte
		var err error
		if keys, more, err = k.someKeys(birth, from); err != nil {
			return err
		}
		for i, key := range keys {
			if err == nil {
				err = visit(from+uint64(i), key)
			}
			if key != nil {
				clear(key[:])
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// someKeys reads the places of a birth from one on.
func (k *Keyring) someKeys(birth, from uint64) (keys []*[32]byte, more bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.frozen == nil {
		return nil, false, errNotFrozen
	}
	if err := k.readable(); err != nil {
		return nil, false, err
	}
	t, err := k.tableOf(birth)
	if err != nil || from >= t.written {
		return nil, false, err
	}
	n := min(carryBlock, t.written-from)
	block := make([]byte, n*entrySize)
	_, _ = t.file.f.ReadAt(block, offset(from)) // what a crash cut short stays zero
	for i := range n {
		key, err := t.handed(block[i*entrySize:(i+1)*entrySize], from+i)
		if err != nil {
			return nil, false, err
		}
		keys = append(keys, key)
	}
	return keys, from+n < t.written, nil
}

func (t *table) handed(entry []byte, index uint64) (*[32]byte, error) {
	if allZero(entry) {
		return nil, nil
	}
	key, err := t.unwrap(entry, index)
	if err != nil && !isDestroyed(err) {
		key, err = t.open(index)
	}
	if isDestroyed(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("key %d of generation %d is damaged in every place (docs/operations/keys.md, \"Keys are damaged\"): %w", index, t.birth, err)
	}
	return &key, nil
}

// Surrender destroys every generation of a keyring that nobody has open, the
// current one too, in both places, and removes its tables: nothing opens any
// more from them, from a copy, or from any older image of either, except where
// the custodian says that it becomes final later. It needs no key and may be
// repeated. It answers what became of the generations that it destroyed.
func Surrender(ctx context.Context, o Options) (out []store.KeyFate, err error) {
	if o.Dir == "" || o.Region == "" {
		return nil, errors.New("surrender a keyring: Dir and Region must be set")
	}
	o.defaults()
	k := &Keyring{o: o, log: o.Logger, places: &places{main: o.Dir, copy: o.Copy, log: o.Logger, retry: o.Retry}, custodian: o.Custodian}
	if k.custodian == nil {
		k.custodian = &fileRoot{p: k.places, root: o.RootFile, region: o.Region, rand: o.Rand, now: o.Now}
	}
	defer func() {
		if err = errors.Join(err, k.custodian.Close(), k.unlock()); err != nil {
			err = fmt.Errorf("surrender the keyring %s: %w", o.Dir, err)
		}
	}()
	if err := errors.Join(k.lock(), k.places.lag()); err != nil {
		return nil, err
	}
	if k.history, err = readHistory(o.Dir); err != nil {
		return nil, err
	}
	list, err := sheets(o.Dir)
	if err != nil {
		return nil, err
	}
	for _, gen := range list { // the current one last
		if f := k.history.at(gen); f.Retired.IsZero() {
			f.Retired = o.Now().UTC()
		}
		if err := k.destroyGeneration(ctx, gen); err != nil {
			return nil, fmt.Errorf("destroy key generation %d: %w", gen, err)
		}
	}
	for _, f := range k.history.Generations {
		out = append(out, store.KeyFate{Generation: f.Generation, Created: f.Created, Retired: f.Retired, Destroyed: f.Destroyed, Final: f.Final})
	}
	return out, k.removeTables()
}

// removeTables removes what no sheet opens any more.
func (k *Keyring) removeTables() error {
	var gone []string
	for _, dir := range []string{k.o.Dir, k.o.Copy} {
		entries, err := os.ReadDir(filepath.Clean(dir))
		if dir == "" || errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if name := e.Name(); (strings.HasPrefix(name, "table-") || strings.HasPrefix(name, "names-") || strings.HasPrefix(name, "sheet-")) && !slices.Contains(gone, name) {
				gone = append(gone, name)
			}
		}
	}
	return k.places.remove(gone...)
}
