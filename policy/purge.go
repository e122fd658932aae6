package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// PurgeOrder tells the nodes of a region to destroy everything of a tenant. It
// stays in the tenant's row for good, so that a node that comes back with an
// old disk destroys what it brought along.
type PurgeOrder struct {
	ID         string      `json:"id"`                   // OP…
	Signatures []Signature `json:"signatures,omitempty"` // over PurgeStatement; of a tenant that signs
}

// PurgeStatement is what a tenant's key and an approver sign to let the
// tenant's data be destroyed. The sequence is that of the policy in force, so
// that a signature given before a later policy counts no more.
func PurgeStatement(cluster string, tenant TenantID, sequence uint64) []byte {
	return fmt.Appendf(nil, "domicile tenant purge v1\n%s\n%s\n%d\n", cluster, tenant, sequence)
}

// VerifyPurge checks that the tenant's present key and a second person have
// signed the end of the tenant, as they would a loosening.
func (s *Signers) VerifyPurge(cluster string, tenant TenantID, signatures []Signature) error {
	statement := PurgeStatement(cluster, tenant, s.Sequence)
	var own, second bool
	for _, sig := range signatures {
		key, ok := s.Approver(sig.KeyID)
		head, _ := s.Head()
		if sig.KeyID == head.ID {
			key, ok = head, true
		}
		public, err := key.Public()
		if !ok || err != nil || VerifySignature(public, statement, sig) != nil {
			continue
		}
		own = own || sig.KeyID == head.ID
		second = second || sig.KeyID != head.ID
	}
	switch {
	case !own:
		return errors.New("the end of the tenant is not signed by its present key")
	case !second:
		return errors.New("the end of the tenant is not signed by an approver, the second person")
	}
	return nil
}

// verifyPurge: what ends a tenant that signs must be signed.
func (t *TenantRow) verifyPurge(cluster string) error {
	if !t.State.Ends() && t.Purge == nil {
		return nil
	}
	if t.Purge == nil || !t.State.Ends() {
		return errors.New("a tenant ends without an order, or an order does not end it")
	}
	return t.Signers.VerifyPurge(cluster, t.ID, t.Purge.Signatures)
}

// PurgeReceipt is a node's word that everything of a tenant is destroyed on it.
// It counts, and names nobody.
type PurgeReceipt struct {
	Order       string    `json:"order"` // OP…
	Tenant      TenantID  `json:"tenant"`
	Region      RegionID  `json:"region"`
	Node        NodeID    `json:"node"`
	Calls       uint64    `json:"calls"`
	Quarantined uint64    `json:"quarantined"`
	Transfers   uint64    `json:"transfers"` // sent and waiting ones, with their records
	Received    uint64    `json:"received"`  // rows that came from the tenant's home
	Keys        uint64    `json:"keys"`      // chunk keys and pseudonym secrets
	Time        time.Time `json:"time"`      // UTC, whole seconds
}

// Statement is what the node signs with the key of its certificate.
func (r PurgeReceipt) Statement() ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("statement of a receipt: %w", err)
	}
	return append([]byte("domicile purge receipt v1\n"), b...), nil
}
