package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A tenant that signs its policies signs its API keys, too: whoever holds the
// control plane could otherwise issue itself one and read. Keys of role ingest
// need no signature: they can only bring records in.
//
// A signature covers the key and a number that rises with each key of the tenant.
// A node refuses a signed key that it has not had and whose number it has passed:
// such a key was revoked. So that this outlives the newest key, the tenant's row
// carries the newest signature of all, which proves its number by itself.

// NoKey stands in place of a digest where a tenant says that it signs its API
// keys and has none. Nothing has this digest.
var NoKey = strings.Repeat("0", hex.EncodedLen(sha256.Size))

// KeyMark is the newest thing that a tenant has signed about its API keys. While
// a row holds one, no unsigned key above ingest counts.
type KeyMark struct {
	Number    uint64 `json:"number"`
	Digest    string `json:"digest"`    // of the key, which may be revoked by now; or NoKey
	Signature string `json:"signature"` // base64; of the tenant's present key over KeyStatement
}

// NeedsSignature reports whether the key counts only when it is signed, once its
// tenant signs keys.
func (k APIKey) NeedsSignature() bool { return k.Role != RoleIngest }

// signed reports whether a signature that matters is there; nothing else that a key
// says of its number counts.
func (k APIKey) signed() bool { return k.NeedsSignature() && k.Signature != "" }

// Digest is hex SHA-256 of everything about a key that a node goes by. Each field
// is one line, and their number is fixed, so that none can pass for two.
func (k APIKey) Digest() string {
	expires := "never"
	if k.ExpiresAt != nil {
		expires = k.ExpiresAt.UTC().Format(time.RFC3339Nano)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n%s\n%s\n%d\n%s\n%s\n%d\n",
		k.ID, k.Tenant, k.Region, k.Role, k.SecretSHA256, k.HomeEpoch, k.Recipient, expires, k.Epoch))
	return hex.EncodeToString(sum[:])
}

// KeyStatement is what a signature of an API key signs.
func KeyStatement(cluster string, tenant TenantID, number uint64, digest string) []byte {
	return fmt.Appendf(nil, "domicile api key v1\n%s\n%s\n%d\n%s\n", cluster, tenant, number, digest)
}

// SignsKeys reports whether keys above ingest count only when they are signed.
func (s *Signers) SignsKeys() bool { return s != nil && s.Keys != nil }

// VerifyKey checks that the tenant's present key signed k.
func (s *Signers) VerifyKey(cluster string, k APIKey) error {
	return s.VerifyMark(cluster, k.Tenant, KeyMark{Number: k.Number, Digest: k.Digest(), Signature: k.Signature})
}

// VerifyMark checks that the tenant's present key signed m.
func (s *Signers) VerifyMark(cluster string, tenant TenantID, m KeyMark) error {
	head, _ := s.Head()
	public, err := head.Public()
	if err != nil || VerifySignature(public, KeyStatement(cluster, tenant, m.Number, m.Digest), Signature{KeyID: head.ID, Value: m.Signature}) != nil {
		return errors.New("an API key is not signed by the tenant's present key")
	}
	return nil
}

// Counting is the keys that count: what is left without a needed signature is as
// if it were not there. It does not verify signatures: VerifyKeys has.
func (s *Signers) Counting(keys []APIKey) []APIKey {
	if !s.SignsKeys() {
		return keys
	}
	out := make([]APIKey, 0, len(keys))
	for _, k := range keys {
		if !k.NeedsSignature() || k.signed() {
			out = append(out, k)
		}
	}
	return out
}

// Newest is the highest number that the tenant has given, as a row tells.
func (s *Signers) Newest(keys []APIKey) (n uint64) {
	if s.SignsKeys() {
		n = s.Keys.Number
	}
	for _, k := range signedKeys(keys) {
		n = max(n, k.Number)
	}
	return n
}

// VerifyKeys checks the signatures of keys, by the tenant's present key, and
// holds them against what was there before (nil: nothing). A signed key that is
// new and has no new number was revoked. Keys without a signature are no error:
// a key is issued first and signed then, and does not count in between.
func (s *Signers) VerifyKeys(cluster string, keys []APIKey, old *Signers, had []APIKey) error {
	if !s.SignsKeys() {
		return nil
	}
	before := signedKeys(had)
	for _, k := range keys {
		if !k.signed() {
			continue
		}
		if err := s.VerifyKey(cluster, k); err != nil {
			return err
		}
		if b, ok := before[k.ID]; ok && b.Number == k.Number && b.Digest() == k.Digest() {
			continue
		}
		if old.SignsKeys() && k.Number <= old.Newest(had) {
			return errors.New("an API key that was revoked came back")
		}
	}
	return nil
}

// Keep is what to go on with of keys that a restored control plane lists, which
// may know their signatures no more: a key that was there stays as it was, and one
// that is new counts only as VerifyKeys would have it.
func (s *Signers) Keep(cluster string, had, listed []APIKey) []APIKey {
	if !s.SignsKeys() {
		return listed
	}
	before, newest := signedKeys(had), s.Newest(had)
	out := make([]APIKey, 0, len(listed))
	for _, k := range listed {
		if b, ok := before[k.ID]; ok {
			k = b
		} else if k.signed() && (k.Number <= newest || s.VerifyKey(cluster, k) != nil) {
			k.Number, k.Signature = 0, ""
		}
		out = append(out, k)
	}
	return out
}

func signedKeys(keys []APIKey) map[KeyID]APIKey {
	out := make(map[KeyID]APIKey, len(keys))
	for _, k := range keys {
		if k.signed() {
			out[k.ID] = k
		}
	}
	return out
}
