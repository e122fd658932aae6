package store

import (
	"github.com/domicile-io/domicile/policy"
)

func (e *entry) createKey(p CreateKey) (any, error) {
	k := p.Key
	switch {
	case !policy.ValidID(policy.KindKey, string(k.ID)):
		return nil, invalid("key_id", "must be SK and 32 hex digits")
	case !hashPattern.MatchString(k.SecretSHA256):
		return nil, invalid("secret_sha256", "must be 64 hex digits")
	case k.Number != 0 || k.Signature != "":
		return nil, invalid("signature", "comes after the key: issue it, then sign it")
	case !k.Role.Valid():
		return nil, invalid("role", "must be one of ingest, reader, admin, recipient")
	}
	t, err := e.living(k.Tenant)
	if err != nil {
		return nil, err
	}
	if err := e.checkKeyRegion(t, k); err != nil {
		return nil, err
	}
	if _, ok, err := load[Key](e.tx, bucketKeys, []byte(k.ID)); err != nil {
		return nil, err
	} else if ok {
		return nil, policy.Errorf(policy.AlreadyExists, "the key id is taken: make another key")
	}
	if n := countPrefix(e.tx, bucketTenantKeys, path(t.ID, "")); n >= MaxKeys {
		return nil, policy.Errorf(policy.Overloaded, "the tenant has %d keys, the most there may be: delete some first", n)
	}
	e.changed = true
	k.HomeEpoch, k.Epoch = t.HomeEpoch, 0
	if epoch := policy.EpochOf(e.revision()); epoch > 1 {
		k.Epoch = epoch
	}
	key := Key{APIKey: k, CreatedAt: e.stamp.Now, Revision: e.revision(), ETag: etagOf(e.revision())}
	e.mark(bucketTenantKeys, path(t.ID, k.ID))
	e.touchKey(t, k)
	return key, e.put(bucketKeys, []byte(k.ID), key)
}

// checkKeyRegion: a key belongs to its tenant's home, a recipient's key to the
// recipient's region.
func (e *entry) checkKeyRegion(t Tenant, k policy.APIKey) error {
	want := t.Home
	switch {
	case k.Role != policy.RoleRecipient && k.Recipient != "":
		return invalid("recipient", "is for keys of role recipient only")
	case k.Role == policy.RoleRecipient:
		p, err := need[Policy](e.tx, bucketPolicies, []byte(t.ID), "policy")
		if err != nil {
			return err
		}
		r, ok := recipientOf(p, k.Recipient)
		if !ok {
			return policy.Errorf(policy.NotFound, "no such recipient: check the id, or list the tenant's recipients")
		}
		want = r.Region
	}
	if k.Region != want {
		return policy.Errorf(policy.ResourceRegionMismatch, "the key must be of region %s: leave region out or send that one", want).With("region", string(want))
	}
	return nil
}

func recipientOf(p Policy, id policy.RecipientID) (policy.Recipient, bool) {
	for _, r := range p.Recipients.List {
		if r.ID == id {
			return r, true
		}
	}
	return policy.Recipient{}, false
}

// touchKey notes the row that carries a key.
func (e *entry) touchKey(t Tenant, k policy.APIKey) {
	if k.Role == policy.RoleRecipient {
		e.touch(k.Region, pairRow(t.ID, k.Recipient))
		return
	}
	e.touch(t.Home, tenantRow(t.ID))
}

func (e *entry) deleteKey(p DeleteKey) error {
	k, err := need[Key](e.tx, bucketKeys, []byte(p.ID), "key")
	if err != nil {
		return err
	}
	t, err := need[Tenant](e.tx, bucketTenants, []byte(p.Tenant), "key")
	if err != nil {
		return err
	}
	if k.Tenant != t.ID { // foreign and absent look the same
		return policy.Errorf(policy.NotFound, "no such key: check the id, or list what there is")
	}
	if err := match(p.IfMatch, k.ETag); err != nil {
		return err
	}
	e.changed = true
	e.drop(bucketKeys, []byte(k.ID))
	e.drop(bucketTenantKeys, path(t.ID, k.ID))
	e.touchKey(t, k.APIKey)
	return nil
}
