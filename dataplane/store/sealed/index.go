package sealed

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// index is what a tenant's calls and subjects are found by: keyed hashes under a
// key of the tenant's own, which is destroyed when its indexes were built anew
// under another (reindex.go). Its rows stand under one of two sets of kinds, in
// turns, so that two generations can stand side by side.
type index struct {
	generation uint32
	id         store.KeyID
	virgin     bool        // the tenant has no rows and no key yet; nothing is found by this one
	lost       bool        // put back from a backup of before its key was destroyed: see Mend
	saved      atomic.Bool // the row that names the key is in the store

	content cipher.Block
	tags    sync.Pool // *tagger
}

// newIndex derives a tenant's tags. Counters, feeds and instances go by tags
// under the region's key, for good: these tell nothing of a person.
func (s *Store) newIndex(raw tenantRaw, key [32]byte) (*index, error) {
	fold, subject, content := deriveFor(key, "fold", raw), deriveFor(key, "subject", raw), deriveFor(key, "content", raw)
	place := deriveFor(s.indexKey, "place", raw)
	block, err := aes.NewCipher(content[:])
	if err != nil {
		return nil, err
	}
	x := &index{content: block}
	x.tags.New = func() any {
		return &tagger{fold: hmac.New(sha256.New, fold[:]), subject: hmac.New(sha256.New, subject[:]), place: hmac.New(sha256.New, place[:])}
	}
	return x, nil
}

// key begins a row's key of one of the kinds that a generation has of its own.
func (x *index) key(buf []byte, k kind, t tenantRaw) []byte {
	if x.generation%2 == 1 {
		k -= 'a' - 'A'
	}
	return keyOf(buf, k, t)
}

// lower gives both generations of a kind its one name.
func (k kind) lower() kind {
	switch k {
	case 'F', 'D', 'S':
		return k + 'a' - 'A'
	}
	return k
}

func (t *tenant) tagger() (*index, *tagger) {
	x := t.index.Load()
	return x, x.tags.Get().(*tagger)
}

// Rows of kindIndex: which key the tenant's indexes are under, which is being
// built, and since when something should be out of them.
const (
	indexCurrent = 'c'
	indexNext    = 'n'
	indexDirty   = 'd'
	indexMerged  = 'm' // the chunk before which frames were merged: no key, but as small
)

func indexRow(t tenantRaw, what byte) []byte { return append(keyOf(nil, kindIndex, t), what) }

// A current row is: format | generation 4 | key id 16 | began µs 8 | MAC 16. It is
// not sealed, and a changed one would make every call and number vanish.
const indexRowSize = 1 + 4 + 16 + 8 + 16

func (s *Store) indexRowOf(t tenantRaw, x *index, began time.Time) []byte {
	b := binary.BigEndian.AppendUint32([]byte{format}, x.generation)
	b = binary.BigEndian.AppendUint64(appendKeyID(b, x.id), uint64(began.UnixMicro()))
	return append(b, s.indexMAC(t, b)...)
}

func (s *Store) indexMAC(t tenantRaw, row []byte) []byte {
	mac := hmac.New(sha256.New, s.indexKey[:])
	_, _ = io.WriteString(mac, "domicile index row\x00")
	mac.Write(t[:])
	mac.Write(row)
	return mac.Sum(nil)[:16]
}

// loadIndex finds the tenant's index. A tenant without one has no rows: until it
// stores something, nothing is found by a key that nobody keeps.
func (s *Store) loadIndex(raw tenantRaw) (*index, error) {
	row, err := s.get(kindIndex, indexRow(raw, indexCurrent))
	if err != nil {
		return nil, err
	}
	var key [32]byte
	if row == nil {
		if _, err := rand.Read(key[:]); err != nil {
			return nil, err
		}
		x, err := s.newIndex(raw, key)
		if err == nil {
			x.virgin = true
		}
		return x, err
	}
	if len(row) != indexRowSize || !hmac.Equal(row[indexRowSize-16:], s.indexMAC(raw, row[:indexRowSize-16])) {
		return nil, s.corrupt(kindIndex, nil)
	}
	id := readKeyID(row[5:])
	key, err = s.keys.Open(id)
	lost := isReason(err, policy.Destroyed)
	if lost { // its rows lead nowhere any more; until Mend builds them anew, nothing is found
		_, err = rand.Read(key[:])
	}
	if err != nil {
		return nil, err
	}
	x, err := s.newIndex(raw, key)
	if err != nil {
		return nil, err
	}
	x.generation, x.id = binary.BigEndian.Uint32(row[1:]), id
	if x.lost, x.virgin = lost, lost; lost {
		return x, nil
	}
	x.saved.Store(true)
	return x, nil
}

// ownIndex gives a tenant that has no key one, before its first record.
func (t *tenant) ownIndex() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.index.Load().virgin {
		return nil
	}
	id, key, err := t.s.keys.Draw()
	if err != nil {
		return err
	}
	x, err := t.s.newIndex(t.raw, key)
	if err != nil {
		return err
	}
	before := t.index.Load()
	x.id, x.generation, x.lost = id, before.generation, before.lost
	t.index.Store(x)
	return nil
}

// saveIndex puts the row that names the key into the first commit that has rows
// under it. The caller holds t.build, and calls it again when that commit fails.
func (t *tenant) saveIndex(b Batch) error {
	x := t.index.Load()
	if x.saved.Load() || x.virgin {
		return nil
	}
	return b.Set(indexRow(t.raw, indexCurrent), t.s.indexRowOf(t.raw, x, t.s.now()))
}

// soil notes that something should go out of the indexes with their key.
func (t *tenant) soil(b Batch) error {
	return b.Set(indexRow(t.raw, indexDirty), binary.BigEndian.AppendUint64(nil, uint64(t.s.now().UnixMicro())))
}
