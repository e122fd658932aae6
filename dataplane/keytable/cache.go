package keytable

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/domicile-io/domicile/policy"
)

// Bounds of what is kept unwrapped (about 150 bytes each).
const (
	cachedKeys  = 1 << 16
	cachedNames = 1 << 12
)

// cache keeps unwrapped keys for policy.KeysFor at most, and wipes them when they
// leave.
type cache struct {
	mu   sync.Mutex
	keys *lru.LRU[any, *cachedKey]
}

type cachedKey struct {
	key   [32]byte
	until time.Duration
}

func newCache(size int) *cache {
	keys, err := lru.NewLRU(size, func(_ any, c *cachedKey) { clear(c.key[:]) })
	if err != nil {
		panic("cache of no size: " + err.Error())
	}
	return &cache{keys: keys}
}

func (c *cache) add(id any, key [32]byte, now time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys.Remove(id)
	c.keys.Add(id, &cachedKey{key, now + policy.KeysFor})
}

func (c *cache) get(id any, now time.Duration) ([32]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.keys.Get(id)
	if !ok || now >= e.until {
		return [32]byte{}, false
	}
	return e.key, true
}

func (c *cache) remove(id any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys.Remove(id)
}

// sweep wipes what is past its time.
func (c *cache) sweep(now time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range c.keys.Keys() {
		if e, ok := c.keys.Peek(id); ok && now >= e.until {
			c.keys.Remove(id)
		}
	}
}

func (c *cache) purge() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys.Purge()
}

func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.keys.Len()
}
