package local

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/domicile-io/domicile/policy"
)

// cachedKeys bounds the chunk keys that are kept unwrapped for reads (about 150
// bytes each).
const cachedKeys = 1 << 16

// KeyCache keeps unwrapped keys for policy.KeysFor at most, and wipes them when
// they leave. Times are of whatever clock its owner has. It is safe for concurrent
// use.
type KeyCache[ID comparable] struct {
	mu   sync.Mutex
	keys *lru.LRU[ID, *cachedKey]
}

type cachedKey struct {
	key   [32]byte
	until time.Duration // on the owner's clock
}

// NewKeyCache is a cache of at most size keys; size must be positive.
func NewKeyCache[ID comparable](size int) *KeyCache[ID] {
	keys, err := lru.NewLRU(size, func(_ ID, c *cachedKey) { clear(c.key[:]) })
	if err != nil {
		panic("cache of no size: " + err.Error())
	}
	return &KeyCache[ID]{keys: keys}
}

// Add keeps a key in the place of any before it.
func (c *KeyCache[ID]) Add(id ID, key [32]byte, now time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys.Remove(id)
	c.keys.Add(id, &cachedKey{key, now + policy.KeysFor})
}

// Get finds a key that is not past its time.
func (c *KeyCache[ID]) Get(id ID, now time.Duration) ([32]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.keys.Get(id)
	if !ok || now >= e.until {
		return [32]byte{}, false
	}
	return e.key, true
}

// Remove wipes a key.
func (c *KeyCache[ID]) Remove(id ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys.Remove(id)
}

// Sweep wipes what is past its time.
func (c *KeyCache[ID]) Sweep(now time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range c.keys.Keys() {
		if e, ok := c.keys.Peek(id); ok && now >= e.until {
			c.keys.Remove(id)
		}
	}
}

// Purge wipes all.
func (c *KeyCache[ID]) Purge() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys.Purge()
}

// Len is how many keys are kept.
func (c *KeyCache[ID]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.keys.Len()
}
