package sealed

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"sync"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// format is the number of every sealed layout; it stands first in each value
// and in each AAD.
const format = 1

func newAEAD(key [32]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// aad binds sealed bytes to format, region, tenant, kind, key id and their own
// key in the engine, so that none can stand in another's place.
func (s *Store) aad(k kind, t tenantRaw, id store.KeyID, place []byte) []byte {
	out := make([]byte, 0, 96+len(place))
	out = append(out, "domicile store\x00"...)
	out = append(out, format, byte(k))
	out = append(out, s.region...)
	out = append(out, 0)
	out = append(out, t[:]...)
	out = binary.BigEndian.AppendUint64(out, id.Generation)
	out = binary.BigEndian.AppendUint64(out, id.Index)
	return append(out, place...)
}

// rowSealer seals the small rows that are rewritten in place (rollups, feeds,
// instances). Its key is drawn for this process start alone and the
// nonce counts, so no pair repeats, however often a row is rewritten.
type rowSealer struct {
	mu    sync.Mutex
	id    store.KeyID
	aead  cipher.AEAD
	count uint64
}

// rowsPerKey bounds how many rows one key seals.
const rowsPerKey = 1 << 24

// rowHeader is the clear part of a sealed row: format, key id, nonce.
const rowHeader = 1 + 16 + 12

// next draws a key when there is none or it is used up, and counts a nonce.
func (r *rowSealer) next(keys store.Keys) (store.KeyID, cipher.AEAD, [12]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var nonce [12]byte
	if r.aead == nil || r.count >= rowsPerKey {
		id, key, err := keys.For(store.UseIngest).Draw()
		if err != nil {
			return id, nil, nonce, err
		}
		aead, err := newAEAD(key)
		if err != nil {
			return id, nil, nonce, err
		}
		r.id, r.aead, r.count = id, aead, 0
	}
	binary.BigEndian.PutUint64(nonce[4:], r.count)
	r.count++
	return r.id, r.aead, nonce, nil
}

// sealRow seals the value of the row at key.
func (s *Store) sealRow(k kind, t tenantRaw, key, plain []byte) ([]byte, error) {
	id, aead, nonce, err := s.rows.next(s.keys)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, rowHeader+len(plain)+16)
	out = append(out, format)
	out = binary.BigEndian.AppendUint64(out, id.Generation)
	out = binary.BigEndian.AppendUint64(out, id.Index)
	out = append(out, nonce[:]...)
	return aead.Seal(out, nonce[:], plain, s.aad(k, t, id, key)), nil
}

// ownNonce is the nonce under a key that seals one value alone; the counting
// nonces of shared keys begin with zeros.
var ownNonce = [12]byte{0: 0xff}

// sealOwn seals a row that must be forgotten one day, under a key of its own.
func (s *Store) sealOwn(k kind, t tenantRaw, place, plain []byte) ([]byte, error) {
	id, key, err := s.keys.Draw()
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, rowHeader+len(plain)+16), format)
	out = append(appendKeyID(out, id), ownNonce[:]...)
	return aead.Seal(out, ownNonce[:], plain, s.aad(k, t, id, place)), nil
}

// ownKey reports whether a row was sealed by sealOwn.
func ownKey(value []byte) bool { return len(value) >= rowHeader && [12]byte(value[17:29]) == ownNonce }

// openRow opens what sealRow or sealOwn sealed for the same key.
func (s *Store) openRow(k kind, t tenantRaw, key, value []byte) ([]byte, error) {
	if len(value) < rowHeader+16 || value[0] != format {
		return nil, s.corrupt(k, nil)
	}
	id := keyIn(value)
	aead, err := s.aeadOf(k, id)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, value[17:29], value[29:], s.aad(k, t, id, key))
	if err != nil {
		return nil, s.corrupt(k, err)
	}
	return plain, nil
}

// aeadOf finds the AEAD of a key, from the cache when it was used lately. A key
// that the service does not have means that the row names a wrong one.
func (s *Store) aeadOf(k kind, id store.KeyID) (cipher.AEAD, error) {
	if aead, ok := s.aeads.Get(id); ok {
		return aead, nil
	}
	destroyed := s.destroyed.Load()
	key, err := s.keys.For(store.UseRead).Open(id)
	if err != nil {
		if isReason(err, policy.Internal) {
			return nil, s.corrupt(k, err)
		}
		return nil, err
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	s.aeads.Add(id, aead)
	if s.destroyed.Load() != destroyed {
		s.aeads.Remove(id) // it may have been this one
	}
	return aead, nil
}

// corrupt reports bytes that are not what was written: never served, never
// silently dropped (INV34).
func (s *Store) corrupt(k kind, cause error) error {
	if s.onCorrupt != nil {
		s.onCorrupt(k.name())
	}
	s.log.Error("stored bytes are not what was written", "kind", k.name(), "cause", cause)
	return &policy.Error{Reason: policy.Internal, Cause: errors.Join(errCorrupt, cause),
		Message: "a stored " + k.name() + " is not what was written; it is not served; restore this region's records from a backup"}
}

// errCorrupt is a cause of every error that corrupt made.
var errCorrupt = errors.New("corrupt")

func isCorrupt(err error) bool { return errors.Is(err, errCorrupt) }
