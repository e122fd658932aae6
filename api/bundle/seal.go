package bundle

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"time"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// Format of the seal's statement, which names how the state hash is made: 2 is
// [State]'s tree, 1 was one hash over all rows. Readers refuse any other.
const Format = 2

// Statement is what a seal signs.
type Statement struct {
	Cluster    string // CL…
	Region     policy.RegionID
	Revision   uint64
	StateHash  Hash
	FreshUntil time.Time // whole seconds; until then the bundle counts as fresh
}

// Bytes is the canonical form that the bundle key signs: one line each for
// purpose and format, cluster, region, revision, hash, and fresh_until in Unix
// seconds. No field can hold a line break.
func (s Statement) Bytes() []byte {
	return fmt.Appendf(nil, "domicile bundle v%d\n%s\n%s\n%d\n%x\n%d\n", Format, s.Cluster, s.Region, s.Revision, s.StateHash, s.FreshUntil.Unix())
}

// Certificate is the byte string by which the operator's root certifies a bundle key.
func Certificate(cluster string, key ed25519.PublicKey) []byte {
	return []byte("domicile bundle key v1\n" + cluster + "\n" + hex.EncodeToString(key))
}

// CertifyKey signs Certificate with the root.
func CertifyKey(root ed25519.PrivateKey, cluster string, key ed25519.PublicKey) []byte {
	return ed25519.Sign(root, Certificate(cluster, key))
}

// Signer holds a cluster's bundle key.
type Signer struct {
	cluster     string
	key         ed25519.PrivateKey
	certificate []byte
}

// NewSigner checks that root certified the key of this seed for this cluster.
func NewSigner(cluster string, seed, certificate []byte, root ed25519.PublicKey) (*Signer, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("bundle key's seed is %d bytes, want %d", len(seed), ed25519.SeedSize)
	}
	if len(root) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("root public key is %d bytes, want %d", len(root), ed25519.PublicKeySize)
	}
	key := ed25519.NewKeyFromSeed(seed)
	if !ed25519.Verify(root, Certificate(cluster, key.Public().(ed25519.PublicKey)), certificate) {
		return nil, fmt.Errorf("bundle key's certificate is not the root's for cluster %s: certify the key again", cluster)
	}
	return &Signer{cluster: cluster, key: key, certificate: certificate}, nil
}

// Seal signs one state of a region's bundle. FreshUntil is cut to whole seconds.
func (s *Signer) Seal(region policy.RegionID, revision uint64, hash Hash, freshUntil time.Time) *controlv1.Seal {
	st := Statement{Cluster: s.cluster, Region: region, Revision: revision, StateHash: hash, FreshUntil: freshUntil}
	return &controlv1.Seal{
		Format: Format, Cluster: s.cluster, Region: string(region), StateHash: hash[:],
		Signature: ed25519.Sign(s.key, st.Bytes()),
		Key:       s.key.Public().(ed25519.PublicKey), KeyCertificate: s.certificate,
	}
}

// Expect is what a node knows from its own configuration and certificate.
type Expect struct {
	Cluster string
	Region  policy.RegionID
	Root    ed25519.PublicKey
}

// Verify checks a push that carries a seal: format, cluster, region, the
// root's certificate of the bundle key, and the signature. It does not compare
// the state hash with what the node holds, nor the revision with its floor:
// the caller does. A push without a seal is an error.
func Verify(p *controlv1.Push, want Expect) (Statement, error) {
	s := p.GetSeal()
	switch {
	case s == nil:
		return Statement{}, fmt.Errorf("push carries no seal")
	case s.GetFormat() != Format:
		return Statement{}, fmt.Errorf("seal has format %d, this node reads %d", s.GetFormat(), Format)
	case s.GetCluster() != want.Cluster:
		return Statement{}, fmt.Errorf("seal is of another cluster")
	case s.GetRegion() != string(want.Region):
		return Statement{}, fmt.Errorf("seal is of another region")
	case len(want.Root) != ed25519.PublicKeySize, len(s.GetKey()) != ed25519.PublicKeySize:
		return Statement{}, fmt.Errorf("seal's key, or the pinned root, is not an Ed25519 key")
	case len(s.GetStateHash()) != len(Hash{}):
		return Statement{}, fmt.Errorf("seal's state hash is malformed")
	}
	key := ed25519.PublicKey(bytes.Clone(s.GetKey()))
	if !ed25519.Verify(want.Root, Certificate(want.Cluster, key), s.GetKeyCertificate()) {
		return Statement{}, fmt.Errorf("seal's key is not certified by the pinned root")
	}
	st := Statement{Cluster: want.Cluster, Region: want.Region, Revision: p.GetRevision(),
		StateHash: Hash(s.GetStateHash()), FreshUntil: time.Unix(p.GetFreshUntil(), 0)}
	if !ed25519.Verify(key, st.Bytes(), s.GetSignature()) {
		return Statement{}, fmt.Errorf("seal's signature does not fit the push")
	}
	return st, nil
}
