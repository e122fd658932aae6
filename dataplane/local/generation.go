package local

import (
	"errors"
	"fmt"
	"os"

	"github.com/domicile-io/domicile/policy"
)

// NextGeneration begins a new key generation and gives its number: keys drawn
// from now on are of it, and the named keys are wrapped anew under it. Chunk
// keys of older generations stay until their generation is destroyed; whoever
// still needs one must have rewritten its chunk by then.
func (k *Keyring) NextGeneration() (uint64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.usable(); err != nil {
		return 0, err
	}
	gen := k.gens.count + 1
	// A names file of a generation that never came about is in the way.
	if err := os.Remove(namesPath(k.dir, gen)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, k.fail(err)
	}
	slot, key, err := k.gens.make(gen)
	if err != nil {
		return 0, k.fail(err)
	}
	next, err := openNames(k.dir, k.region, gen, key, k.nameTag)
	if err != nil {
		return 0, k.fail(err)
	}
	if err := next.takeOver(k.names, k.rand); err != nil {
		next.file.Close()
		return 0, k.fail(err)
	}
	// Only now does the generation exist: a crash before this leaves the old one.
	if err := k.gens.add(gen, slot, key); err != nil {
		next.file.Close()
		return 0, k.fail(err)
	}
	old := k.names
	k.names = next
	return gen, old.file.Close()
}

// DestroyGeneration makes all keys of an older generation impossible to open:
// its slot is overwritten in place and synced, then its files are removed. What
// the disk itself may keep of the old sector is stated in the package comment.
func (k *Keyring) DestroyGeneration(gen uint64) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.usable(); err != nil {
		return err
	}
	if gen == k.gens.current() {
		return policy.Errorf(policy.InvalidArgument, "generation %d is the current one: begin another first", gen)
	}
	if _, err := k.gens.key(gen); err != nil {
		return err
	}
	if err := k.gens.destroy(gen); err != nil {
		return k.fail(fmt.Errorf("destroy generation %d: %w", gen, err))
	}
	for _, id := range k.cache.Keys() {
		if id.Generation == gen {
			k.cache.Remove(id)
		}
	}
	if t, ok := k.tables[gen]; ok {
		delete(k.tables, gen)
		_ = t.file.Close()
	}
	return errors.Join(removeIfThere(tablePath(k.dir, gen)), removeIfThere(namesPath(k.dir, gen)), syncDir(k.dir))
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
