package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// retireOld destroys every generation before the current one, and removes its
// files. A generation is destroyed only when both places hold its successor:
// else the copy would hold nothing that opens. The caller holds k.rotating.
func (k *Keyring) retireOld(ctx context.Context) error {
	k.mu.Lock()
	current, closed := k.sheet.generation, k.closed || k.failed != nil
	k.mu.Unlock()
	if closed {
		return nil
	}
	list, err := sheets(k.o.Dir)
	if err != nil {
		return err
	}
	for _, gen := range list {
		if gen >= current {
			continue
		}
		if err := k.destroyGeneration(ctx, gen); err != nil {
			return fmt.Errorf("destroy key generation %d: %w", gen, err)
		}
		k.step("destroyed")
	}
	return k.tidy()
}

func (k *Keyring) destroyGeneration(ctx context.Context, gen uint64) error {
	if err := k.places.lag(); err != nil {
		return fmt.Errorf("it waits for the copy of the key table: %w", err)
	}
	data, err := os.ReadFile(filepath.Join(k.o.Dir, sheetName(gen)))
	if err != nil {
		return err
	}
	var token []byte
	if s, _, err := sheetHead(data); err == nil {
		token = s.token
	} else if k.custodian.Kind() != "file" {
		return err // without its token the service's key cannot be named
	}
	ctx, cancel := context.WithTimeout(ctx, custodianAnswer)
	defer cancel()
	final, err := k.custodian.Destroy(ctx, gen, token)
	if err != nil {
		return err
	}
	if err := k.places.lag(); err != nil {
		return fmt.Errorf("it may still stand in the copy of the key table: %w", err)
	}
	k.step("overwritten")
	now := k.o.Now().UTC()
	k.mu.Lock()
	f := k.history.at(gen)
	f.Destroyed, f.Final = now, final.UTC()
	err = k.history.save(k.places, now)
	k.mu.Unlock()
	if err != nil {
		return err
	}
	k.log.Info("a key generation is destroyed", "generation", gen, "final", final.UTC().Format(time.RFC3339))
	return k.places.remove(sheetName(gen))
}

// tidy removes the files that the current sheet does not name.
func (k *Keyring) tidy() error {
	k.mu.Lock()
	keep := map[string]bool{namesName(k.sheet.generation): true}
	for _, t := range k.sheet.tables {
		keep[tableName(t.birth, t.version)] = true
	}
	held := k.held
	k.mu.Unlock()
	if !held {
		return nil
	}
	entries, err := os.ReadDir(k.o.Dir)
	if err != nil {
		return err
	}
	var gone []string
	for _, e := range entries {
		name := e.Name()
		if e.Type().IsRegular() && (strings.HasPrefix(name, "table-") || strings.HasPrefix(name, "names-")) && !keep[name] {
			gone = append(gone, name)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return k.places.remove(gone...)
}

// Retire implements store.Keys.
func (k *Keyring) Retire() (uint64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked = true
	if !k.history.Asked {
		k.history.Asked = true
		if err := k.history.save(k.places, k.o.Now().UTC()); err != nil {
			k.history.Asked = false
			return 0, fmt.Errorf("note that the key generation is to be replaced: %w", err)
		}
	}
	select {
	case k.wake <- struct{}{}:
	default:
	}
	if k.planned != 0 { // what was destroyed lately may be in the sheet that is being written
		return k.planned, nil
	}
	return k.sheet.generation, nil
}

// due reports why a rotation is due, "" when none is.
func (k *Keyring) due() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	age := k.o.Now().Sub(k.sheet.created)
	switch {
	case k.closed || k.unchangeable() != nil || !k.held || k.away != nil || !k.turns.mayTry(k.o.Now()):
		return ""
	case k.asked && age >= k.o.RotateSpacing:
		return "asked for"
	case k.o.RotateEvery > 0 && age >= k.o.RotateEvery:
		return "by schedule"
	}
	return ""
}
