package server

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// distributionPatience is how long the creation of a key waits for its region.
const distributionPatience = 2 * time.Second

type keyService struct {
	controlv1.UnimplementedKeyServiceServer
	*core
}

// CreateKey implements controlv1.KeyServiceServer.
func (s keyService) CreateKey(ctx context.Context, req *controlv1.CreateKeyRequest) (*controlv1.Key, error) {
	k, whole, err := s.issue(ctx, req, issued{secretSHA256: req.GetSecretSha256(), keyID: req.GetKeyId()}, func() (policy.APIKey, error) {
		t, err := s.tenant(ctx, req.GetTenant())
		if err != nil {
			return policy.APIKey{}, err
		}
		if policy.RegionID(req.GetRegion()) != t.Home {
			return policy.APIKey{}, policy.Errorf(policy.ResourceRegionMismatch, "a key belongs to its tenant's home region, which is %s", t.Home).With("home_region", string(t.Home))
		}
		return policy.APIKey{Tenant: t.ID, Region: t.Home, Role: policy.KeyRole(req.GetRole())}, nil
	})
	if err != nil {
		return nil, err
	}
	out, err := s.shownKey(k)
	if err != nil {
		return nil, err
	}
	out.Secret, out.Distributed = whole, s.hub.waitAcked(ctx, k.Region, k.Revision, distributionPatience)
	return out, tagged(ctx, k.ETag)
}

// issued is what a caller who drew the secret itself says of it.
type issued struct{ secretSHA256, keyID string }

// issue creates a key. The whole key string is returned once, and only when it
// was drawn here: not to a caller who drew it, and not to a repeat.
func (c *core) issue(ctx context.Context, req proto.Message, own issued, target func() (policy.APIKey, error)) (k store.Key, whole string, err error) {
	var drawn string
	res, err := c.write(ctx, req, func() (store.Payload, error) {
		key, err := target()
		if err != nil {
			return nil, err
		}
		if (own.secretSHA256 == "") != (own.keyID == "") {
			return nil, fieldError("key_id", "and secret_sha256 go together: give both or neither")
		}
		key.ID, key.SecretSHA256 = policy.KeyID(own.keyID), own.secretSHA256
		if own.keyID != "" {
			return store.CreateKey{Key: key}, nil
		}
		id, err := draw(policy.KindKey)
		if err != nil {
			return nil, err
		}
		if drawn, err = secret(); err != nil {
			return nil, err
		}
		key.ID, key.SecretSHA256 = policy.KeyID(id), policy.HashSecret(drawn)
		return store.CreateKey{Key: key}, nil
	})
	if err != nil {
		return store.Key{}, "", err
	}
	if err := res.Decode(&k); err != nil {
		return store.Key{}, "", err
	}
	if drawn != "" && !res.Replayed {
		whole = policy.KeyString(k.Region, k.ID, drawn)
	}
	return k, whole, created(ctx)
}

// GetKey implements controlv1.KeyServiceServer.
func (s keyService) GetKey(ctx context.Context, req *controlv1.GetKeyRequest) (*controlv1.Key, error) {
	k, err := s.key(ctx, req.GetTenant(), req.GetKey())
	if err != nil {
		return nil, err
	}
	out, err := s.shownKey(k)
	if err != nil {
		return nil, err
	}
	return out, tagged(ctx, k.ETag)
}

func (s keyService) key(ctx context.Context, tenant, id string) (store.Key, error) {
	t, err := s.tenant(ctx, tenant)
	if err != nil {
		return store.Key{}, err
	}
	k, err := s.store.Key(policy.KeyID(id))
	if isReason(err, policy.NotFound) || (err == nil && k.Tenant != t.ID) {
		return store.Key{}, notFound("key")
	}
	return k, err
}

// ListKeys implements controlv1.KeyServiceServer.
func (s keyService) ListKeys(ctx context.Context, req *controlv1.ListKeysRequest) (*controlv1.ListKeysResponse, error) {
	t, err := s.tenant(ctx, req.GetTenant())
	if err != nil {
		return nil, err
	}
	after, limit, err := page(req.GetPageToken(), req.GetPageSize(), policy.KindKey)
	if err != nil {
		return nil, err
	}
	list, err := s.store.Keys(t.ID, policy.KeyID(after), limit+1)
	if err != nil {
		return nil, err
	}
	out := &controlv1.ListKeysResponse{}
	if len(list) > limit {
		list = list[:limit]
		out.NextPageToken = pageToken(string(list[limit-1].ID))
	}
	p, err := s.store.Policy(t.ID)
	if err != nil && !isReason(err, policy.NotFound) { // of a tenant that ends there is none, and no key
		return nil, err
	}
	for _, k := range list {
		out.Keys = append(out.Keys, s.keyOf(k, p.Signers))
	}
	return out, nil
}

// DeleteKey implements controlv1.KeyServiceServer.
func (s keyService) DeleteKey(ctx context.Context, req *controlv1.DeleteKeyRequest) (*controlv1.DeleteKeyResponse, error) {
	_, err := s.write(ctx, req, func() (store.Payload, error) {
		k, err := s.key(ctx, req.GetTenant(), req.GetKey())
		if err != nil {
			return nil, err
		}
		tag, err := ifMatch(ctx)
		if err != nil {
			return nil, err
		}
		return store.DeleteKey{Tenant: k.Tenant, ID: k.ID, IfMatch: tag}, nil
	})
	if err != nil {
		return nil, err
	}
	return &controlv1.DeleteKeyResponse{}, nil
}
