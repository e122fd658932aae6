package server

import (
	"context"
	"crypto/ed25519"

	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

type signingKeyService struct {
	controlv1.UnimplementedSigningKeyServiceServer
	*core
}

// CreateSigningKey implements controlv1.SigningKeyServiceServer. What is not
// certified would be refused by every node, so it does not reach them.
func (s signingKeyService) CreateSigningKey(ctx context.Context, req *controlv1.CreateSigningKeyRequest) (*controlv1.SigningKey, error) {
	var key policy.SigningKey
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		t, err := s.tenant(ctx, req.GetTenant())
		if err != nil {
			return nil, err
		}
		if key, err = signingKeyFrom(req); err != nil {
			return nil, err
		}
		now, err := s.store.Policy(t.ID)
		if err != nil {
			return nil, err
		}
		if err := s.certified(t.ID, now.Signers, key); err != nil {
			return nil, err
		}
		if key.Purpose != policy.TenantKey && callOf(ctx).role != securityOfficer {
			return nil, policy.Errorf(policy.PermissionDenied, "an approver is the second person, so whoever may change policies does not choose them: ask a security officer")
		}
		p := store.EnrolKey{Tenant: t.ID, Key: key}
		if req.GetPolicySignature() != nil {
			sig := control.SignatureFrom(req.GetPolicySignature())
			p.Signature = &sig
		}
		if key.Purpose != policy.TenantKey {
			if len(req.GetApiKeys()) > 0 {
				return nil, fieldError("api_keys", "go with a tenant's key only")
			}
			return p, nil
		}
		own := store.EnrolTenantKey{EnrolKey: p}
		for _, k := range req.GetApiKeys() {
			own.APIKeys = append(own.APIKeys, store.KeySignature{ID: policy.KeyID(k.GetKey()), Number: k.GetNumber(), Signature: k.GetSignature().GetValue()})
		}
		return own, nil
	})
	if err != nil {
		return nil, err
	}
	var p store.Policy
	if err := res.Decode(&p); err != nil {
		return nil, err
	}
	if key, err = signingKeyFrom(req); err != nil { // a repeat did not come by the plan
		return nil, err
	}
	return control.SigningKeyOf(p.Tenant, p.Signers, key), created(ctx)
}

// WithdrawSigningKey implements controlv1.SigningKeyServiceServer.
func (s signingKeyService) WithdrawSigningKey(ctx context.Context, req *controlv1.WithdrawSigningKeyRequest) (*controlv1.SigningKey, error) {
	w := policy.Withdrawal{Key: req.GetSigningKey(), Signature: control.SignatureFrom(req.GetSignature())}
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		t, err := s.tenant(ctx, req.GetTenant())
		if err != nil {
			return nil, err
		}
		now, err := s.store.Policy(t.ID)
		if err != nil {
			return nil, err
		}
		return store.WithdrawApprover{Tenant: t.ID, Withdrawal: w}, s.mayWithdraw(t.ID, now.Signers, w)
	})
	if err != nil {
		return nil, err
	}
	var p store.Policy
	if err := res.Decode(&p); err != nil {
		return nil, err
	}
	for _, k := range p.Signers.Approvers {
		if k.ID == w.Key {
			return control.SigningKeyOf(p.Tenant, p.Signers, k), nil
		}
	}
	return nil, notFound("signing key")
}

// mayWithdraw checks a withdrawal's signature. Nodes take one of a former key of
// the tenant, too, because they may have been away; here that key has no say.
func (c *core) mayWithdraw(tenant policy.TenantID, now *policy.Signers, w policy.Withdrawal) error {
	if now == nil {
		return policy.Errorf(policy.ApprovalRequired, "the tenant has no signing key, so nobody approves anything of it: there is nobody to withdraw")
	}
	by := []ed25519.PublicKey{c.root}
	head, _ := now.Head()
	if public, err := head.Public(); err == nil {
		by = append(by, public)
	}
	for _, public := range by {
		if policy.VerifySignature(public, w.Statement(c.cluster, tenant), w.Signature) == nil {
			return nil
		}
	}
	return fieldError("signature", "must be the operator root's, or the present tenant key's, over the withdrawal of this key for this tenant and cluster: make it with domicile trust withdraw")
}

// certified checks the chain as it would be with the key, the way nodes will.
func (c *core) certified(tenant policy.TenantID, now *policy.Signers, key policy.SigningKey) error {
	next := &policy.Signers{}
	if now != nil {
		*next = *now
	}
	switch {
	case key.Purpose == policy.TenantKey:
		next.Tenant = append(next.Tenant[:len(next.Tenant):len(next.Tenant)], key)
		next.Keys = nil // the new key's own word comes with it, and Apply verifies that
	case now == nil:
		return policy.Errorf(policy.ApprovalRequired, "the tenant has no signing key; enrol that first: an approver is the second person beside it")
	default:
		next.Approvers = append(next.Approvers[:len(next.Approvers):len(next.Approvers)], key)
	}
	if next.Verify(c.cluster, tenant, c.root) != nil {
		return fieldError("certificate", "must be the operator root's, or the present tenant key's, over this key for this tenant and cluster: make it with domicile trust certify or rotate")
	}
	return nil
}

// ListSigningKeys implements controlv1.SigningKeyServiceServer.
func (s signingKeyService) ListSigningKeys(ctx context.Context, req *controlv1.ListSigningKeysRequest) (*controlv1.ListSigningKeysResponse, error) {
	t, err := s.tenant(ctx, req.GetTenant())
	if err != nil {
		return nil, err
	}
	p, err := s.store.Policy(t.ID)
	if err != nil {
		return nil, err
	}
	out := &controlv1.ListSigningKeysResponse{Cluster: s.cluster}
	if p.Signers != nil {
		if out.NewestApiKey, err = s.newestKey(t.ID, p.Signers); err != nil {
			return nil, err
		}
		out.Sequence, out.SignsApiKeys = p.Signers.Sequence, p.Signers.SignsKeys()
		out.Keys = control.SigningKeysOf(t.ID, p.Signers)
	}
	out.Keys, out.NextPageToken, err = cut(out.Keys, (*controlv1.SigningKey).GetId, req)
	return out, err
}

// GetSignedPolicy implements controlv1.SigningKeyServiceServer. Policy and keys are of
// one record, so that nobody meets a policy beside keys of before.
func (s signingKeyService) GetSignedPolicy(ctx context.Context, req *controlv1.GetSignedPolicyRequest) (*controlv1.SignedPolicy, error) {
	t, err := s.tenant(ctx, req.GetTenant())
	if err != nil {
		return nil, err
	}
	p, err := s.store.Policy(t.ID)
	if err != nil {
		return nil, err
	}
	return control.SignedPolicyOf(s.cluster, &p.ResidencyPolicy, p.ETag, p.Signers), nil
}

func signingKeyFrom(req *controlv1.CreateSigningKeyRequest) (policy.SigningKey, error) {
	k, err := policy.NewSigningKey(policy.KeyPurpose(req.GetPurpose()), req.GetPublicKey())
	if err != nil {
		return k, fieldError("public_key", "must be an Ed25519 public key in hex")
	}
	k.Principal, k.Entity, k.Boundary = req.GetPrincipal(), req.GetEntity(), policy.Boundary(req.GetBoundary())
	k.Certificate = control.SignatureFrom(req.GetCertificate())
	if err := k.Check(); err != nil {
		return k, fieldError("principal", "entity and boundary are an approver's, all three, and no tenant key's")
	}
	return k, nil
}
