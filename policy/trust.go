package policy

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// The trust root. An offline operator root, pinned in the configuration of
// every node, certifies keys of tenants and of approvers; a tenant's key may
// certify its successor. From the enrolment of its first key on, a tenant's
// policy counts only with a signature of the key that stands last in its chain,
// so that nobody who merely holds the control plane can write one.

// KeyPurpose is what a signing key may sign.
type KeyPurpose string

// The purposes of signing keys.
const (
	TenantKey   KeyPurpose = "tenant"   // the tenant's own word; one at a time, successors form a chain
	ApproverKey KeyPurpose = "approver" // the second person under a loosening change
)

// MaxSigningKeys bounds each list of [Signers].
const MaxSigningKeys = 32

// SigningKey is an Ed25519 public key with the certificate that enrolled it.
type SigningKey struct {
	ID          string     `json:"id"` // see KeyIDOf
	Purpose     KeyPurpose `json:"purpose"`
	Principal   string     `json:"principal,omitempty"` // approvers: PR…, opaque
	Entity      string     `json:"entity,omitempty"`    // approvers: contracting entity that employs them
	Boundary    Boundary   `json:"boundary,omitempty"`  // approvers: where they work
	PublicKey   string     `json:"public_key"`          // hex
	Certificate Signature  `json:"certificate"`         // over Statement, by the root or, for a tenant's key, by its predecessor
}

// Signers are the enrolled keys of one tenant.
type Signers struct {
	Sequence  uint64       `json:"sequence"`            // of the policy in force; each signed one has the next
	Tenant    []SigningKey `json:"tenant"`              // a chain: only the last one signs
	Approvers []SigningKey `json:"approvers,omitempty"` // the last one of each principal counts, unless it was withdrawn
	Withdrawn []Withdrawal `json:"withdrawn,omitempty"` // of approvers; one per key at most
	Keys      *KeyMark     `json:"api_keys,omitempty"`  // set, and then for good: API keys above ingest count only when they are signed
}

// KeyIDOf names a public key: hex of the first 16 bytes of its SHA-256.
func KeyIDOf(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:16])
}

// NewSigningKey names a public key, given in hex.
func NewSigningKey(purpose KeyPurpose, public string) (SigningKey, error) {
	raw, err := hex.DecodeString(public)
	if err != nil {
		return SigningKey{}, errors.New("public key is not hex")
	}
	k := SigningKey{ID: KeyIDOf(raw), Purpose: purpose, PublicKey: public}
	_, err = k.Public()
	return k, err
}

// Public is the key itself. An error if it is malformed or not what ID names.
func (k SigningKey) Public() (ed25519.PublicKey, error) {
	raw, err := hex.DecodeString(k.PublicKey)
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("signing key is not %d bytes in hex", ed25519.PublicKeySize)
	}
	if k.ID != KeyIDOf(raw) {
		return nil, errors.New("signing key's id is not that of its public key")
	}
	return raw, nil
}

// Statement is what a certificate of the key signs: one line each, none of
// which can hold a line break.
func (k SigningKey) Statement(cluster string, tenant TenantID) []byte {
	return fmt.Appendf(nil, "domicile signing key v1\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n", cluster, tenant, k.Purpose, k.Principal, k.Entity, k.Boundary, k.PublicKey)
}

// Check looks at the form of a key, not at its certificate.
func (k SigningKey) Check() error {
	if _, err := k.Public(); err != nil {
		return err
	}
	switch k.Purpose {
	case TenantKey:
		if k.Principal != "" || k.Entity != "" || k.Boundary != "" {
			return errors.New("a tenant's key names no principal, entity or boundary")
		}
	case ApproverKey:
		if !ValidID("PR", k.Principal) || !entityPattern.MatchString(k.Entity) || !boundaryPattern.MatchString(string(k.Boundary)) {
			return errors.New("an approver's key names a principal (PR…), an entity and a boundary")
		}
	default:
		return errors.New("a signing key's purpose is tenant or approver")
	}
	return nil
}

// same reports whether two are one key, certified for one purpose. How the certificates
// are written is all one: each was verified, and of one signature there are several
// forms (base64 skips line breaks), so whoever sends another form changes nothing.
func (k SigningKey) same(other SigningKey) bool {
	k.Certificate, other.Certificate = Signature{}, Signature{}
	return k == other
}

// PolicyHash is SHA-256 of the canonical form: what people approve.
func PolicyHash(p *ResidencyPolicy) ([sha256.Size]byte, error) {
	b, err := p.Canonical()
	return sha256.Sum256(b), err
}

// PolicyStatement is what a signature of a policy signs. The sequence keeps an
// earlier policy of the tenant, signed as well, from coming back.
func PolicyStatement(cluster string, tenant TenantID, sequence uint64, hash [sha256.Size]byte) []byte {
	return fmt.Appendf(nil, "domicile policy signature v1\n%s\n%s\n%d\n%x\n", cluster, tenant, sequence, hash)
}

// Sign signs a statement.
func Sign(key ed25519.PrivateKey, statement []byte) Signature {
	return Signature{KeyID: KeyIDOf(key.Public().(ed25519.PublicKey)), Value: base64.StdEncoding.EncodeToString(ed25519.Sign(key, statement))}
}

// VerifySignature checks one signature by one key.
func VerifySignature(key ed25519.PublicKey, statement []byte, s Signature) error {
	value, err := base64.StdEncoding.DecodeString(s.Value)
	if err != nil || s.KeyID != KeyIDOf(key) || !ed25519.Verify(key, statement, value) {
		return errors.New("signature is not of that key over this statement")
	}
	return nil
}

// Head is the tenant's key that signs now. False without one.
func (s *Signers) Head() (SigningKey, bool) {
	if s == nil || len(s.Tenant) == 0 {
		return SigningKey{}, false
	}
	return s.Tenant[len(s.Tenant)-1], true
}

// Approver finds an approver's key that counts: one that was not withdrawn and
// that no later key of the same principal has replaced, withdrawn or not.
func (s *Signers) Approver(id string) (SigningKey, bool) {
	if s == nil || s.Withdrew(id) {
		return SigningKey{}, false
	}
	gone := map[string]bool{}
	for i := len(s.Approvers) - 1; i >= 0; i-- {
		k := s.Approvers[i]
		if k.ID == id && !gone[k.Principal] {
			return k, true
		}
		gone[k.Principal] = true
	}
	return SigningKey{}, false
}

// Verify checks every key: its form, that none stands twice, and that its
// certificate is the root's or, in the tenant's chain, the predecessor's; every
// withdrawal; and what the tenant says of its API keys.
func (s *Signers) Verify(cluster string, tenant TenantID, root ed25519.PublicKey) error {
	if len(s.Tenant) == 0 || len(s.Tenant) > MaxSigningKeys || len(s.Approvers) > MaxSigningKeys {
		return fmt.Errorf("there are %d tenant keys and %d approvers, want 1 to %d and at most as many", len(s.Tenant), len(s.Approvers), MaxSigningKeys)
	}
	seen := map[string]bool{}
	for list, keys := range [][]SigningKey{s.Tenant, s.Approvers} {
		var before ed25519.PublicKey
		for i, k := range keys {
			if err := k.Check(); err != nil {
				return fmt.Errorf("signing key %d: %w", i, err)
			}
			if (k.Purpose == TenantKey) != (list == 0) || seen[k.ID] {
				return fmt.Errorf("signing key %d stands in the wrong list, or twice", i)
			}
			seen[k.ID] = true
			if err := k.certified(cluster, tenant, root, before); err != nil {
				return fmt.Errorf("signing key %d: %w", i, err)
			}
			if list == 0 {
				before, _ = k.Public() // it passed Check
			}
		}
	}
	if s.SignsKeys() {
		if err := s.VerifyMark(cluster, tenant, *s.Keys); err != nil {
			return err
		}
	}
	return s.verifyWithdrawals(cluster, tenant, root)
}

func (k SigningKey) certified(cluster string, tenant TenantID, root, before ed25519.PublicKey) error {
	statement := k.Statement(cluster, tenant)
	if VerifySignature(root, statement, k.Certificate) == nil {
		return nil
	}
	if before != nil && VerifySignature(before, statement, k.Certificate) == nil {
		return nil
	}
	return errors.New("its certificate is neither the root's nor its predecessor's")
}

// Extends reports whether s, which has passed Verify, is what old may become: the
// tenant's chain only grows at its end, approvers and withdrawals are only added,
// nobody who approved no more approves again, and neither the sequence nor the number
// of API keys goes down.
func (s *Signers) Extends(old *Signers) error {
	if s.Sequence < old.Sequence {
		return fmt.Errorf("policy sequence %d is below %d", s.Sequence, old.Sequence)
	}
	if len(s.Tenant) < len(old.Tenant) || !slices.EqualFunc(s.Tenant[:len(old.Tenant)], old.Tenant, SigningKey.same) {
		return errors.New("an enrolled signing key is missing or changed")
	}
	if err := s.keepsApprovers(old); err != nil {
		return err
	}
	if old.SignsKeys() && (!s.SignsKeys() || s.Keys.Number < old.Keys.Number) {
		return errors.New("that the tenant signs its API keys is missing, or of before")
	}
	return nil
}

// VerifyPolicy checks that the tenant's head key signed p with this sequence.
func (s *Signers) VerifyPolicy(cluster string, p *ResidencyPolicy) error {
	head, ok := s.Head()
	if !ok {
		return errors.New("no signing key is enrolled")
	}
	public, err := head.Public()
	if err != nil {
		return err
	}
	hash, err := PolicyHash(p)
	if err != nil {
		return err
	}
	statement := PolicyStatement(cluster, p.Tenant, s.Sequence, hash)
	for _, sig := range p.Signatures {
		if VerifySignature(public, statement, sig) == nil {
			return nil
		}
	}
	return errors.New("the policy is not signed by the tenant's present key")
}

// VerifyRow holds a tenant's row in a bundle against the one that a node has
// (nil: none) and the pinned root. A tenant without a signing key trusts the
// control plane. One that has ever had one does not: its row may not go, lose
// its keys, move, or carry a policy, or an API key above ingest, that its own key
// did not sign.
func VerifyRow(cluster string, root ed25519.PublicKey, old, row *TenantRow) error {
	pinned := old != nil && old.Signers != nil
	switch {
	case row == nil:
		if pinned {
			return errors.New("a tenant with a signing key was left out")
		}
		return nil
	case row.Signers == nil:
		if pinned {
			return errors.New("the tenant's signing keys were left out")
		}
		return nil
	}
	if err := row.Signers.Verify(cluster, row.ID, root); err != nil {
		return err
	}
	if err := row.verifyPurge(cluster); err != nil {
		return err
	}
	if !pinned {
		if err := row.Signers.VerifyKeys(cluster, row.Keys, nil, nil); err != nil {
			return err
		}
		return row.verifyPolicy(cluster)
	}
	if old.Purge != nil && row.Purge == nil {
		return errors.New("a tenant whose end was ordered came back")
	}
	if err := row.Signers.Extends(old.Signers); err != nil {
		return err
	}
	if err := row.Signers.VerifyKeys(cluster, row.Keys, old.Signers, old.Keys); err != nil {
		return err
	}
	if row.Home != old.Home || row.HomeEpoch != old.HomeEpoch {
		return errors.New("the tenant's home changed without its signature")
	}
	if err := row.verifyPolicy(cluster); err != nil {
		return err
	}
	return unchanged(old, row)
}

func (t *TenantRow) verifyPolicy(cluster string) error {
	if t.Policy == nil {
		return nil // it lives elsewhere: nothing here acts on it
	}
	return t.Signers.VerifyPolicy(cluster, t.Policy)
}

// unchanged: one sequence is one policy.
func unchanged(old, row *TenantRow) error {
	if old.Policy == nil || row.Policy == nil || old.Signers.Sequence != row.Signers.Sequence {
		return nil
	}
	a, errA := old.Policy.Canonical()
	b, errB := row.Policy.Canonical()
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		return errors.New("two policies have one sequence")
	}
	return nil
}
