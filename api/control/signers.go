package control

import (
	"fmt"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// SigningKeyOf is an enrolled key as the API has it; all are the tenant's keys, by
// which it is told whether this one counts.
func SigningKeyOf(tenant policy.TenantID, all *policy.Signers, k policy.SigningKey) *controlv1.SigningKey {
	head, _ := all.Head()
	_, approver := all.Approver(k.ID)
	out := &controlv1.SigningKey{Id: k.ID, Tenant: string(tenant), Purpose: string(k.Purpose), Principal: k.Principal, Entity: k.Entity,
		Boundary: string(k.Boundary), PublicKey: k.PublicKey, Active: approver || head.ID == k.ID,
		Certificate: SignatureOf(k.Certificate)}
	for _, w := range all.Withdrawn {
		if w.Key == k.ID {
			out.Withdrawal = SignatureOf(w.Signature)
		}
	}
	return out
}

// SigningKeysOf are all keys of a tenant: its own, oldest first, then the
// approvers', oldest first. Of nil, none.
func SigningKeysOf(tenant policy.TenantID, s *policy.Signers) (out []*controlv1.SigningKey) {
	if s == nil {
		return nil
	}
	for _, list := range [][]policy.SigningKey{s.Tenant, s.Approvers} {
		for _, k := range list {
			out = append(out, SigningKeyOf(tenant, s, k))
		}
	}
	return out
}

// SignedPolicyOf is a policy in force with all that proves it; s is nil of a tenant
// without a signing key.
func SignedPolicyOf(cluster string, p *policy.ResidencyPolicy, etag string, s *policy.Signers) *controlv1.SignedPolicy {
	out := &controlv1.SignedPolicy{Tenant: string(p.Tenant), Cluster: cluster, Policy: PolicyOf(p, etag), Keys: SigningKeysOf(p.Tenant, s)}
	if s == nil {
		return out
	}
	out.Sequence = s.Sequence
	for _, w := range s.Withdrawn {
		out.Withdrawals = append(out.Withdrawals, &controlv1.Withdrawal{SigningKey: w.Key, Signature: SignatureOf(w.Signature)})
	}
	if head, _ := s.Head(); s.SignsKeys() {
		out.ApiKeys = &controlv1.ApiKeyMark{Number: s.Keys.Number, Digest: s.Keys.Digest, Signature: &controlv1.Signature{KeyId: head.ID, Value: s.Keys.Signature}}
	}
	return out
}

// SignedRowFrom is what SignedPolicyOf was given, as the row that policy.VerifyRow
// holds against a pinned root: nothing of it is proven before. What is malformed, and
// a form that this release does not know, is an error. Signers are nil of a tenant
// without a signing key.
func SignedRowFrom(e *controlv1.SignedPolicy) (*policy.TenantRow, error) {
	p, err := PolicyFrom(e.GetPolicy())
	if err != nil {
		return nil, err
	}
	row := &policy.TenantRow{ID: p.Tenant, State: policy.TenantActive, Home: p.HomeRegion, HomeEpoch: p.HomeEpoch, Policy: &p}
	if len(e.GetKeys()) == 0 {
		return row, nil
	}
	row.Signers = &policy.Signers{Sequence: e.GetSequence()}
	for _, k := range e.GetKeys() {
		key := policy.SigningKey{ID: k.GetId(), Purpose: policy.KeyPurpose(k.GetPurpose()), Principal: k.GetPrincipal(), Entity: k.GetEntity(),
			Boundary: policy.Boundary(k.GetBoundary()), PublicKey: k.GetPublicKey(), Certificate: SignatureFrom(k.GetCertificate())}
		if key.Purpose == policy.TenantKey {
			row.Signers.Tenant = append(row.Signers.Tenant, key)
		} else {
			row.Signers.Approvers = append(row.Signers.Approvers, key)
		}
	}
	for _, w := range e.GetWithdrawals() {
		row.Signers.Withdrawn = append(row.Signers.Withdrawn, policy.Withdrawal{Key: w.GetSigningKey(), Signature: SignatureFrom(w.GetSignature())})
	}
	if m := e.GetApiKeys(); m != nil {
		row.Signers.Keys = &policy.KeyMark{Number: m.GetNumber(), Digest: m.GetDigest(), Signature: m.GetSignature().GetValue()}
	}
	return row, nil
}

// PolicyFrom is what PolicyOf was given, with its signatures and without revision and
// etag, which no signature covers.
func PolicyFrom(p *controlv1.Policy) (policy.ResidencyPolicy, error) {
	base := policy.ResidencyPolicy{Tenant: policy.TenantID(p.GetTenant()), HomeRegion: policy.RegionID(p.GetHomeRegion()), Boundary: policy.Boundary(p.GetBoundary()),
		HomeEpoch: uint64(p.GetHomeEpoch()), ContractingEntity: p.GetContractingEntity()}
	out, err := ApplyRules(base, p.GetRules(), "rules")
	if err != nil {
		return out, fmt.Errorf("read the policy: %w", err)
	}
	for _, s := range p.GetSignatures() {
		out.Signatures = append(out.Signatures, SignatureFrom(s))
	}
	return out, nil
}
