package policy

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
)

// Withdrawal ends an approver without a successor. It stands beside the keys for
// good, so that whoever was given it once notices when it is missing.
type Withdrawal struct {
	Key       string    `json:"key"`       // id of the approver's key
	Signature Signature `json:"signature"` // over Statement, by the root or by a key of the tenant's chain
}

// Statement is what a withdrawal signs: one line each, none of which can hold a
// line break. It names no sequence: a key that was withdrawn is not enrolled again.
func (w Withdrawal) Statement(cluster string, tenant TenantID) []byte {
	return fmt.Appendf(nil, "domicile approver withdrawal v1\n%s\n%s\n%s\n", cluster, tenant, w.Key)
}

// Withdrew reports whether an approver's key was withdrawn.
func (s *Signers) Withdrew(id string) bool {
	if s != nil {
		for _, w := range s.Withdrawn {
			if w.Key == id {
				return true
			}
		}
	}
	return false
}

// Withdrawable reports whether an approver's key is enrolled and not withdrawn. One
// that was replaced is: a node that knew it as withdrawn asks for that for good.
func (s *Signers) Withdrawable(id string) bool {
	return s != nil && !s.Withdrew(id) && slices.ContainsFunc(s.Approvers, func(k SigningKey) bool { return k.ID == id })
}

// keepsApprovers reports whether nothing that old says of approvers is taken back:
// each is there as it was, each withdrawal as well, and who counted no more does not
// count. In which order they stand, and whether a withdrawal was signed anew, is all
// one: a restored control plane learns again what it has forgotten, in any order.
func (s *Signers) keepsApprovers(old *Signers) error {
	for _, k := range old.Approvers {
		if !slices.ContainsFunc(s.Approvers, k.same) {
			return errors.New("an enrolled signing key is missing or changed")
		}
		_, did := old.Approver(k.ID)
		if _, does := s.Approver(k.ID); does && !did && !old.Withdrew(k.ID) {
			return errors.New("an approver's key that was replaced counts again")
		}
	}
	for _, w := range old.Withdrawn {
		if !s.Withdrew(w.Key) {
			return errors.New("the withdrawal of an approver is missing")
		}
	}
	return nil
}

// verifyWithdrawals checks that each is of an approver's key here, stands once,
// and is signed by the root or by a key of the tenant's chain: also by a former
// one, because a node that was away cannot tell when it was given, and all that a
// withdrawal can do is to forbid.
func (s *Signers) verifyWithdrawals(cluster string, tenant TenantID, root ed25519.PublicKey) error {
	left := map[string]bool{}
	for _, k := range s.Approvers {
		left[k.ID] = true
	}
	by := []ed25519.PublicKey{root}
	for _, k := range s.Tenant {
		public, _ := k.Public() // Verify has checked it
		by = append(by, public)
	}
	for i, w := range s.Withdrawn {
		if !left[w.Key] {
			return fmt.Errorf("withdrawal %d is of no approver's key, or stands twice", i)
		}
		left[w.Key] = false
		if !signedByOne(by, w.Statement(cluster, tenant), w.Signature) {
			return fmt.Errorf("withdrawal %d: its signature is neither the root's nor the tenant's", i)
		}
	}
	return nil
}

func signedByOne(by []ed25519.PublicKey, statement []byte, s Signature) bool {
	for _, public := range by {
		if VerifySignature(public, statement, s) == nil {
			return true
		}
	}
	return false
}
