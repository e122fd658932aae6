package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
)

const (
	guardFile   = "guard"
	guardFormat = 1
)

// guardRecord is a guard as it is kept, sealed under the cache's key and
// replaced as a whole.
type guardRecord struct {
	Format int `json:"format"`
	guard
}

func (c *cache) guardAdditional() []byte {
	return append([]byte("domicile bundle guard 1\n"), c.who...)
}

// loadGuard reads the guard; nil when there is none. A guard that cannot be
// read is an error: without it the node would take what it must refuse.
func (c *cache) loadGuard() (*guard, error) {
	sealed, err := os.ReadFile(filepath.Join(c.dir, guardFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errGuard, err)
	}
	plain, err := c.unseal(sealed, c.guardAdditional())
	if err != nil {
		return nil, fmt.Errorf("%w: it does not open under this region's key", errGuard)
	}
	rec := guardRecord{guard: *newGuard()}
	if err := json.Unmarshal(plain, &rec); err != nil || rec.Format != guardFormat {
		return nil, fmt.Errorf("%w: it has format %d, this node reads %d", errGuard, rec.Format, guardFormat)
	}
	return rec.guard.clone(), nil
}

func (c *cache) saveGuard(g *guard) error {
	plain, err := json.Marshal(guardRecord{Format: guardFormat, guard: *g.clone()})
	if err != nil {
		return fmt.Errorf("encode the guard: %w", err)
	}
	return c.replaceFile(guardFile, c.seal(plain, c.guardAdditional()))
}

// sameGuard reports whether two guards keep the same, durably.
func sameGuard(a, b *guard) bool {
	if a.empty() && b.empty() {
		return true
	}
	if a.empty() != b.empty() || !maps.Equal(a.Keys, b.Keys) || len(a.Tenants) != len(b.Tenants) || len(a.Bases) != len(b.Bases) {
		return false
	}
	for id := range b.Tenants { // a base is never replaced by another
		if _, ok := a.Tenants[id]; !ok {
			return false
		}
	}
	for id := range b.Bases {
		if _, ok := a.Bases[id]; !ok {
			return false
		}
	}
	return true
}
