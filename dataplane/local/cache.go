package local

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// cachedKeys bounds the chunk keys that are kept unwrapped for reads (about 150
// bytes each).
const cachedKeys = 1 << 16

// keyCache keeps unwrapped keys for policy.KeysFor at most, and wipes them when
// they leave.
type keyCache struct {
	mu   sync.Mutex
	keys *lru.LRU[store.KeyID, *cachedKey]
}

type cachedKey struct {
	key   [32]byte
	until time.Duration // on the keyring's clock
}

func newKeyCache(size int) *keyCache {
	keys, err := lru.NewLRU(size, func(_ store.KeyID, c *cachedKey) { clear(c.key[:]) })
	if err != nil {
		panic("cache of no size: " + err.Error())
	}
	return &keyCache{keys: keys}
}

func (c *keyCache) add(id store.KeyID, key [32]byte, now time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys.Remove(id)
	c.keys.Add(id, &cachedKey{key, now + policy.KeysFor})
}

func (c *keyCache) get(id store.KeyID, now time.Duration) ([32]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.keys.Get(id)
	if !ok || now >= e.until {
		return [32]byte{}, false
	}
	return e.key, true
}

func (c *keyCache) remove(id store.KeyID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys.Remove(id)
}

// sweep wipes what is past its time.
func (c *keyCache) sweep(now time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range c.keys.Keys() {
		if e, ok := c.keys.Peek(id); ok && now >= e.until {
			c.keys.Remove(id)
		}
	}
}

func (c *keyCache) purge() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys.Purge()
}

func (c *keyCache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.keys.Len()
}
