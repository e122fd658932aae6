package sealed

import (
	"crypto/cipher"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// cachedAEADs bounds the expanded chunk keys kept for reads (about 1 KiB each).
const cachedAEADs = 4096

// aeadCache keeps expanded keys for policy.KeysFor at most, as the key service
// keeps its own: a key that was destroyed, or whose service is gone, must not
// live on in here. A wall clock that jumps back ends an entry too.
type aeadCache struct {
	aeads *lru.Cache[store.KeyID, heldAEAD]
	now   func() time.Time
}

type heldAEAD struct {
	aead  cipher.AEAD
	since time.Time
}

func newAEADCache(now func() time.Time) *aeadCache {
	aeads, err := lru.New[store.KeyID, heldAEAD](cachedAEADs)
	if err != nil {
		panic("cache of no size: " + err.Error())
	}
	return &aeadCache{aeads, now}
}

func (c *aeadCache) Get(id store.KeyID) (cipher.AEAD, bool) {
	held, ok := c.aeads.Get(id)
	if !ok {
		return nil, false
	}
	if tooOld(held.since, c.now()) {
		c.aeads.Remove(id)
		return nil, false
	}
	return held.aead, true
}

func (c *aeadCache) Add(id store.KeyID, aead cipher.AEAD) { c.aeads.Add(id, heldAEAD{aead, c.now()}) }

// expire takes out what has been held for too long, also what nobody asks for.
func (c *aeadCache) expire() {
	now := c.now()
	for _, id := range c.aeads.Keys() {
		if held, ok := c.aeads.Peek(id); ok && tooOld(held.since, now) {
			c.aeads.Remove(id)
		}
	}
}

// tooOld reports whether something may not be held any longer.
func tooOld(since, now time.Time) bool {
	age := now.Sub(since)
	return age < 0 || age >= policy.KeysFor
}

func (c *aeadCache) Remove(id store.KeyID) { c.aeads.Remove(id) }
