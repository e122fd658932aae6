package store

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/domicile-io/domicile/policy"
)

// Apply verifies signatures by enrolled keys, which are part of the state, so
// every node comes to the same answer. Certificates by the operator's root are
// the proposer's and, above all, the data planes' business.

// nextSequence is what signatures of the next policy name; 0 without a signing key.
func nextSequence(p Policy) uint64 {
	if p.Signers == nil {
		return 0
	}
	return p.Signers.Sequence + 1
}

// rebase makes a pending change one of the policy in force; signatures that
// were given for another are void.
func (e *entry) rebase(c Change, old Policy, fields []policy.FieldChange) (any, error) {
	if err := checkFields(fields); err != nil {
		return nil, err
	}
	e.changed = true
	c.Base, c.Sequence, c.Fields, c.Signatures, c.ETag = old.ETag, nextSequence(old), fields, nil, etagOf(e.revision())
	return c, e.put(bucketChanges, []byte(c.ID), c)
}

func (e *entry) enrolKey(p EnrolKey, keys func(t Tenant, before, next *policy.Signers) error) (any, error) {
	t, err := e.living(p.Tenant)
	if err != nil {
		return nil, err
	}
	old, err := need[Policy](e.tx, bucketPolicies, []byte(t.ID), "policy")
	if err != nil {
		return nil, err
	}
	next, err := enrolled(old, p.Key)
	if err != nil {
		return nil, err
	}
	if p.Key.Purpose == policy.ApproverKey {
		if p.Signature != nil {
			return nil, invalid("policy_signature", "goes with a tenant's key only")
		}
		return e.storeSigners(t, old, next)
	}
	next.Sequence++
	cluster, err := need[Cluster](e.tx, bucketMeta, metaCluster, "cluster yet")
	if err != nil {
		return nil, err
	}
	if p.Signature == nil {
		return nil, invalid("policy_signature", "is required: the key signs the policy in force, under sequence %d", next.Sequence)
	}
	doc := old.ResidencyPolicy
	doc.Signatures = []policy.Signature{*p.Signature}
	if err := next.VerifyPolicy(cluster.ID, &doc); err != nil {
		return nil, invalid("policy_signature", "is not of this key over the policy in force under sequence %d: read the policy again and sign it", next.Sequence)
	}
	if err := keys(t, old.Signers, next); err != nil {
		return nil, err
	}
	old.ResidencyPolicy = doc
	t.Signed = true
	if err := e.put(bucketTenants, []byte(t.ID), t); err != nil {
		return nil, err
	}
	return e.storeSigners(t, old, next)
}

// enrolled is the tenant's keys with one more.
func enrolled(old Policy, k policy.SigningKey) (*policy.Signers, error) {
	if err := k.Check(); err != nil {
		return nil, invalid("public_key", "%s", err)
	}
	next := &policy.Signers{}
	if s := old.Signers; s != nil {
		next.Sequence, next.Tenant, next.Approvers, next.Withdrawn = s.Sequence, slices.Clone(s.Tenant), slices.Clone(s.Approvers), s.Withdrawn
		next.Keys = s.Keys
	}
	for _, have := range append(slices.Clone(next.Tenant), next.Approvers...) {
		if have.ID == k.ID {
			return nil, policy.Errorf(policy.AlreadyExists, "the signing key is enrolled already: make another for another purpose or person")
		}
	}
	list := &next.Tenant
	if k.Purpose == policy.ApproverKey {
		if list = &next.Approvers; old.Signers == nil {
			return nil, policy.Errorf(policy.ApprovalRequired, "the tenant has no signing key: enrol that first, an approver is the second person beside it")
		}
	}
	if len(*list) >= policy.MaxSigningKeys {
		return nil, policy.Errorf(policy.Overloaded, "%d keys of this purpose are enrolled, the most there may be", len(*list))
	}
	*list = append(*list, k)
	return next, nil
}

func (e *entry) withdrawApprover(p WithdrawApprover) (any, error) {
	t, err := e.living(p.Tenant)
	if err != nil {
		return nil, err
	}
	old, err := need[Policy](e.tx, bucketPolicies, []byte(t.ID), "policy")
	if err != nil {
		return nil, err
	}
	if old.Signers.Withdrew(p.Withdrawal.Key) {
		return nil, policy.Errorf(policy.AlreadyExists, "the approver's key is withdrawn already: nothing is left to do")
	}
	if !old.Signers.Withdrawable(p.Withdrawal.Key) {
		return nil, policy.Errorf(policy.NotFound, "no approver of the tenant has this key: domicile trust keys lists those that are enrolled")
	}
	next := *old.Signers
	next.Withdrawn = append(slices.Clone(next.Withdrawn), p.Withdrawal)
	return e.storeSigners(t, old, &next)
}

// storeSigners keeps a policy with other signers: it counts as a new one, so
// that changes pending on the former must be looked at again.
func (e *entry) storeSigners(t Tenant, old Policy, next *policy.Signers) (any, error) {
	e.changed = true
	before := old
	old.Signers = next
	_, err := e.writeSigned(t, &before, old.ResidencyPolicy, next)
	if err != nil {
		return nil, err
	}
	old.Revision, old.ETag = e.revision(), etagOf(e.revision())
	return old, nil
}

func (e *entry) approve(p Approve) (any, error) {
	c, err := need[Change](e.tx, bucketChanges, []byte(p.ID), "change")
	if err != nil {
		return nil, err
	}
	if c.State != ChangePending {
		return nil, policy.Errorf(policy.AlreadyExists, "the change is already %s: nothing is left to approve", c.State).With("state", string(c.State))
	}
	t, old, err := e.tenantAndPolicy(c.Tenant, c.Base)
	switch {
	case err != nil && c.Base != old.ETag && old.ETag != "":
		return nil, policy.Errorf(policy.ETagMismatch, "the policy has changed since this was proposed: propose it again, look at what it would do now, and sign that")
	case err != nil:
		return nil, err
	case old.Signers == nil:
		return nil, policy.Errorf(policy.ApprovalRequired, "the tenant has no signing key, so nobody can approve: enrol one with `domicile trust enrol`, then propose the change again")
	}
	if err := e.collect(&c, old.Signers, p.Signatures); err != nil {
		return nil, err
	}
	e.changed, c.ETag = true, etagOf(e.revision())
	if len(missing(c, old.Signers)) == 0 {
		if err := e.applyChange(t, old, &c); err != nil {
			return nil, err
		}
	}
	return c, e.put(bucketChanges, []byte(c.ID), c)
}

// collect verifies signatures and keeps those that are new.
func (e *entry) collect(c *Change, s *policy.Signers, given []policy.Signature) error {
	cluster, err := need[Cluster](e.tx, bucketMeta, metaCluster, "cluster yet")
	if err != nil {
		return err
	}
	hash, err := hex.DecodeString(c.Hash)
	if err != nil || len(hash) != sha256.Size {
		return invalid("change", "has no usable hash: propose it again")
	}
	statement := policy.PolicyStatement(cluster.ID, c.Tenant, c.Sequence, [sha256.Size]byte(hash))
	if len(given) == 0 {
		return invalid("signatures", "are missing: sign with `domicile changes approve`")
	}
	for _, sig := range given {
		key, ok := s.Approver(sig.KeyID)
		if head, _ := s.Head(); head.ID == sig.KeyID {
			key, ok = head, true
		}
		if !ok {
			return invalid("signatures.key_id", "is not the tenant's present key, nor that of an approver")
		}
		public, err := key.Public()
		if err != nil || policy.VerifySignature(public, statement, sig) != nil {
			return invalid("signatures.value", "is not of that key over this change's hash under sequence %d", c.Sequence)
		}
		if !slices.ContainsFunc(c.Signatures, func(have policy.Signature) bool { return have.KeyID == sig.KeyID }) {
			c.Signatures = append(c.Signatures, sig)
		}
	}
	return nil
}

// missing names whose signatures a change still lacks: the tenant's and, when
// it loosens, a second person's.
func missing(c Change, s *policy.Signers) (who []policy.KeyPurpose) {
	var tenant, approver bool
	head, _ := s.Head()
	for _, sig := range c.Signatures {
		if sig.KeyID == head.ID {
			tenant = true
		} else if _, ok := s.Approver(sig.KeyID); ok {
			approver = true
		}
	}
	if !tenant {
		who = append(who, policy.TenantKey)
	}
	if !approver && c.Loosens() {
		who = append(who, policy.ApproverKey)
	}
	return who
}

// applyChange puts a fully signed change into force.
func (e *entry) applyChange(t Tenant, old Policy, c *Change) error {
	t, err := e.recontracted(t, *c)
	if err != nil {
		return err
	}
	doc := place(t, c.Proposed)
	hash, err := policy.PolicyHash(&doc)
	if err != nil {
		return err
	}
	if hex.EncodeToString(hash[:]) != c.Hash {
		return policy.Errorf(policy.ETagMismatch, "the tenant has changed since this was proposed: propose it again, look at what it would do now, and sign that")
	}
	if kind, _ := policy.Classify(&old.ResidencyPolicy, &doc); kind == policy.Loosen && !c.Loosens() {
		return invalid("fields", "do not show that the change loosens: propose it again")
	}
	doc.Signatures = c.Signatures
	next := *old.Signers
	next.Sequence = c.Sequence
	c.State = ChangeApplied
	e.drop(bucketPending, path(c.Tenant, c.Hash))
	_, err = e.writeSigned(t, &old, doc, &next)
	return err
}
