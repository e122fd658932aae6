package server

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// What the API says of an API key's signature.
const (
	signingNotNeeded = "not_needed" // of role ingest, or of a tenant without a signing key
	signingDone      = "signed"
	signingDue       = "due"     // asked for as soon as every other key of the tenant is signed
	signingRefused   = "refused" // nodes take the key for unknown
)

// SignKey implements controlv1.KeyServiceServer. Apply verifies the signature: the
// tenant's key is part of the state.
func (s keyService) SignKey(ctx context.Context, req *controlv1.SignKeyRequest) (*controlv1.Key, error) {
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		k, err := s.key(ctx, req.GetTenant(), req.GetKey())
		if err != nil {
			return nil, err
		}
		return store.SignKey{Tenant: k.Tenant, ID: k.ID, Number: req.GetNumber(), Signature: req.GetSignature().GetValue()}, nil
	})
	if err != nil {
		return nil, err
	}
	var k store.Key
	if err := res.Decode(&k); err != nil {
		return nil, err
	}
	out, err := s.shownKey(k)
	if err != nil {
		return nil, err
	}
	out.Distributed = s.hub.waitAcked(ctx, k.Region, k.Revision, distributionPatience)
	return out, tagged(ctx, k.ETag)
}

// newestKey is the highest number that a tenant has signed an API key with.
func (c *core) newestKey(t policy.TenantID, s *policy.Signers) (uint64, error) {
	list, err := c.store.Keys(t, "", store.MaxKeys)
	if err != nil {
		return 0, err
	}
	keys := make([]policy.APIKey, 0, len(list))
	for _, k := range list {
		keys = append(keys, k.APIKey)
	}
	return s.Newest(keys), nil
}

// shownKey is keyOf for one key.
func (c *core) shownKey(k store.Key) (*controlv1.Key, error) {
	p, err := c.store.Policy(k.Tenant)
	if err != nil && !isReason(err, policy.NotFound) {
		return nil, err
	}
	return c.keyOf(k, p.Signers), nil
}

func (c *core) keyOf(k store.Key, s *policy.Signers) *controlv1.Key {
	out := &controlv1.Key{Id: string(k.ID), Tenant: string(k.Tenant), Region: string(k.Region), Role: string(k.Role),
		Recipient: string(k.Recipient), CreateTime: timestamppb.New(k.CreatedAt), Distributed: c.hub.acked(k.Region, k.Revision), Etag: k.ETag,
		Number: k.Number, Signing: c.signing(k, s)}
	if k.NeedsSignature() { // nobody has to see the hash of another one's secret
		out.Terms = termsOf(k)
	}
	if head, ok := s.Head(); ok && out.GetSigning() == signingDone {
		out.Signature = &controlv1.Signature{KeyId: head.ID, Value: k.Signature}
	}
	return out
}

func termsOf(k store.Key) *controlv1.KeyTerms {
	out := &controlv1.KeyTerms{SecretSha256: k.SecretSHA256, HomeEpoch: k.HomeEpoch, ClusterEpoch: k.Epoch}
	if k.ExpiresAt != nil {
		out.ExpireTime = timestamppb.New(*k.ExpiresAt)
	}
	return out
}

func (c *core) signing(k store.Key, s *policy.Signers) string {
	switch {
	case !k.NeedsSignature() || s == nil:
		return signingNotNeeded
	case k.Signature != "" && (s.SignsKeys() || s.VerifyKey(c.cluster, k.APIKey) == nil): // the former: Apply has verified all
		return signingDone
	case s.SignsKeys():
		return signingRefused
	}
	return signingDue
}
