package recovery

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// People is how many different people must sign.
const People = 2

// Officer is the recovery key of one person, certified by the operator's root
// for one cluster. Nothing in it is secret.
type Officer struct {
	Cluster     string           `json:"cluster"`
	Principal   string           `json:"principal"`   // PR…, opaque; one person has one
	PublicKey   string           `json:"public_key"`  // hex Ed25519
	Certificate policy.Signature `json:"certificate"` // of the root over Bytes
}

// Bytes is what the root signs of a recovery key. No other statement begins
// like it, so that no other certificate passes for one.
func (o Officer) Bytes() []byte {
	return fmt.Appendf(nil, "domicile recovery key v1\n%s\n%s\n%s\n", o.Cluster, o.Principal, o.PublicKey)
}

// Certify makes an officer.
func Certify(root ed25519.PrivateKey, cluster, principal string, key ed25519.PublicKey) (Officer, error) {
	o := Officer{Cluster: cluster, Principal: principal, PublicKey: hex.EncodeToString(key)}
	o.Certificate = policy.Sign(root, o.Bytes())
	return o, o.check(cluster, root.Public().(ed25519.PublicKey))
}

func (o Officer) check(cluster string, root ed25519.PublicKey) error {
	switch {
	case o.Cluster != cluster || !policy.ValidID(policy.KindCluster, cluster):
		return errors.New("the recovery key was certified for another cluster")
	case !policy.ValidID(policy.KindPrincipal, o.Principal):
		return errors.New("the recovery key names no person (PR and 32 hex digits)")
	case policy.VerifySignature(root, o.Bytes(), o.Certificate) != nil:
		return errors.New("the recovery key is not certified by the operator's root")
	}
	return nil
}

// Approval is one person's signature over a statement.
type Approval struct {
	Officer   Officer          `json:"officer"`
	Signature policy.Signature `json:"signature"`
}

// Approve signs a statement.
func Approve(s Statement, o Officer, key ed25519.PrivateKey) (Approval, error) {
	if hex.EncodeToString(key.Public().(ed25519.PublicKey)) != o.PublicKey {
		return Approval{}, errors.New("key and certificate do not belong together")
	}
	if s.Cluster != o.Cluster {
		return Approval{}, errors.New("the recovery key was certified for another cluster than the statement's")
	}
	return Approval{Officer: o, Signature: policy.Sign(key, s.Bytes())}, nil
}

// Verify demands that two different people, with different keys that the root
// certified, have signed this very statement, and that it is not too old.
func Verify(s Statement, given []Approval, root ed25519.PublicKey, now time.Time) error {
	if err := s.Check(); err != nil {
		return err
	}
	if now.Before(s.Time.Add(-time.Minute)) || now.After(s.Time.Add(MaxAge)) {
		return fmt.Errorf("the statement is of %s and holds for %v: make and sign a new one, or mend the clock", s.Time.Format(time.RFC3339), MaxAge)
	}
	people, keys := map[string]bool{}, map[string]bool{}
	for i, a := range given {
		if err := a.Officer.check(s.Cluster, root); err != nil {
			return fmt.Errorf("signature %d: %w", i+1, err)
		}
		key, err := hex.DecodeString(a.Officer.PublicKey)
		if err != nil || len(key) != ed25519.PublicKeySize {
			return fmt.Errorf("signature %d: the recovery key is malformed", i+1)
		}
		if policy.VerifySignature(key, s.Bytes(), a.Signature) != nil {
			return fmt.Errorf("signature %d is not of its key over this statement: sign the statement that is carried out", i+1)
		}
		people[a.Officer.Principal], keys[a.Officer.PublicKey] = true, true
	}
	if len(people) < People || len(keys) < People {
		return fmt.Errorf("the signatures are of %d people with %d keys, and %d different people must sign", len(people), len(keys), People)
	}
	return nil
}
