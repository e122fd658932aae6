package policy

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// How well a node's place is known. A node that has a certificate of the
// cluster is declared: its authority says where it stands. The operator's root
// may say so as well, offline, in a NodeAdmission; or the cloud may, in a
// document that the node shows (package internal/instance). Whoever holds the
// control plane can write neither, and a node verifies its own.

// MaxAdmission is how long a NodeAdmission may hold.
const MaxAdmission = 5 * 366 * 24 * time.Hour

var keyHashPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// NodeAdmission is the operator root's statement that one node stands in a region.
type NodeAdmission struct {
	Node      NodeID      `json:"node"`
	Region    RegionID    `json:"region"`
	Level     Attestation `json:"level"`      // operator_signed: what the root can know
	KeySHA256 string      `json:"key_sha256"` // hex, of the subject public key info (RFC 5280, 4.1) of the node's certificate or of the authority that issued it
	IssuedAt  int64       `json:"issued_at"`  // Unix seconds
	NotAfter  int64       `json:"not_after"`  // Unix seconds
	Signature Signature   `json:"signature"`  // over Statement, by the root
}

// Statement is what the root signs: one line each, none of which can hold a line break.
func (a NodeAdmission) Statement(cluster string) []byte {
	return fmt.Appendf(nil, "domicile node admission v1\n%s\n%s\n%s\n%s\n%s\n%d\n%d\n", cluster, a.Node, a.Region, a.Level, a.KeySHA256, a.IssuedAt, a.NotAfter)
}

// Check looks at the form of an admission, not at its signature.
func (a NodeAdmission) Check() error {
	_, region := ParseRegionID(string(a.Region))
	switch {
	case !ValidID(KindNode, string(a.Node)) || region != nil:
		return errors.New("an admission names a node (ND…) and its region")
	case a.Level != OperatorSigned:
		return errors.New("an admission's level is operator_signed: the root can vouch for nothing else")
	case !keyHashPattern.MatchString(a.KeySHA256):
		return errors.New("an admission names a key by its SHA-256, 64 hex digits")
	case a.IssuedAt <= 0 || a.NotAfter <= a.IssuedAt || a.NotAfter-a.IssuedAt > int64(MaxAdmission/time.Second):
		return fmt.Errorf("an admission ends after it was issued, and at most %d days after", int(MaxAdmission.Hours()/24))
	}
	return nil
}

// Verify checks form and signature.
func (a NodeAdmission) Verify(cluster string, root ed25519.PublicKey) error {
	if err := a.Check(); err != nil {
		return err
	}
	if err := VerifySignature(root, a.Statement(cluster), a.Signature); err != nil {
		return errors.New("the admission is not signed by the operator's root for this cluster")
	}
	return nil
}

// Holder is a node as its certificate shows it.
type Holder struct {
	Node   NodeID
	Region RegionID
	Keys   []string // hex SHA-256 of the subject public key infos of its verified chain
}

// Covers reports whether a verified admission is about this holder, now.
func (a NodeAdmission) Covers(h Holder, now time.Time) error {
	switch {
	case a.Node != h.Node || a.Region != h.Region:
		return errors.New("the admission is of another node or region")
	case !slices.Contains(h.Keys, a.KeySHA256):
		return errors.New("the admission names another key than that of the node's certificate and its authority")
	case now.Unix() >= a.NotAfter:
		return errors.New("the admission has ended")
	}
	return nil
}

// NodeRow is what a region's bundle says of one of its nodes that is more than
// declared.
type NodeRow struct {
	ID        NodeID         `json:"id"`
	Region    RegionID       `json:"region"`
	Level     Attestation    `json:"level"` // that the control plane has verified
	Admission *NodeAdmission `json:"admission,omitempty"`
}

// Proved is the level that the node itself can vouch for, and until when: never
// more than what the root signed, or what cloud, its own check of its own
// document, says. Whatever the control plane claims beyond that is not believed.
// The zero time is "no end".
func (n *NodeRow) Proved(cluster string, root ed25519.PublicKey, h Holder, cloud bool, now time.Time) (Attestation, time.Time) {
	if n == nil || n.ID != h.Node || n.Region != h.Region {
		return Declared, time.Time{}
	}
	if cloud && n.Level >= CloudSigned {
		return CloudSigned, time.Time{}
	}
	if a := n.Admission; a != nil && a.Verify(cluster, root) == nil && a.Covers(h, now) == nil {
		return OperatorSigned, time.Unix(a.NotAfter, 0)
	}
	return Declared, time.Time{}
}

// Weak reports whether a node of a level has nothing to do with a pair: the
// sender's policy demands more of whoever holds its data, pseudonyms included.
func (p *InboundPair) Weak(level Attestation) bool {
	return max(p.MinAttestation, p.Demands) > max(level, Declared)
}

// For is the row as a node of a level may have it. Of a tenant whose policy
// demands more, there is left what a refusal needs: which tenant, whose key,
// and what would be enough. It carries no policy, so that nothing can be done.
func (r Row) For(level Attestation) Row {
	if p := r.Pair; p != nil && p.Weak(level) {
		bare := *p
		bare.Demands, bare.Purpose, bare.Transforms, bare.AllowListHash, bare.Basis = p.MinAttestation, "", "", "", ""
		r.Pair = &bare
		return r
	}
	if r.Tenant == nil || r.Tenant.Policy == nil || r.Tenant.Policy.MinAttestation <= max(level, Declared) {
		return r
	}
	t := *r.Tenant
	t.Demands, t.Policy = t.Policy.MinAttestation, nil
	r.Tenant = &t
	return r
}
