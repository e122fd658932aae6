package store

import (
	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/policy"
)

// SignKey puts the signature of its tenant's present key onto an API key. From the
// signature on that leaves none above ingest without one, nodes refuse such keys
// unless they are signed; until then they are asked for none, so that a tenant whose
// signing key was enrolled before keys were signed is not locked out. Result body: Key.
//
// Refusals: NOT_FOUND, APPROVAL_REQUIRED (the tenant has no signing key),
// INVALID_ARGUMENT (a key of role ingest; the signature is not of the tenant's present
// key; the number is not above all that the tenant has given), DESTROYED.
type SignKey struct {
	Tenant    policy.TenantID `json:"tenant"`
	ID        policy.KeyID    `json:"id"`
	Number    uint64          `json:"number"`
	Signature string          `json:"signature"` // base64
}

// KeySignature is a signature of an API key, given as a tenant's signing key is
// enrolled. ID "" is of none: the tenant has no key above ingest.
type KeySignature struct {
	ID        policy.KeyID `json:"id,omitempty"`
	Number    uint64       `json:"number"`
	Signature string       `json:"signature"`
}

// EnrolTenantKey is EnrolKey of a tenant's key, with its signatures over the tenant's
// API keys above ingest: from then on such keys count only with one. Result body:
// Policy.
//
// Refusals: as EnrolKey, and INVALID_ARGUMENT (a signature of an API key does not hold;
// one that works is left without; none at all).
type EnrolTenantKey struct {
	EnrolKey
	APIKeys []KeySignature `json:"api_keys"`
}

func (EnrolTenantKey) kind() Kind { return KindEnrolTenantKey }
func (p EnrolTenantKey) subject() (audit.Action, string) {
	return "signing_key.enrol", string(p.Tenant)
}

func (SignKey) kind() Kind                        { return KindSignKey }
func (p SignKey) subject() (audit.Action, string) { return "key.sign", string(p.ID) }

// keyring is a tenant's API keys as its signatures are put onto them.
type keyring struct {
	e       *entry
	tenant  Tenant
	cluster string
	all     []Key
	signers *policy.Signers // by whose present key
	newest  uint64          // number that the tenant has given
	put     map[policy.KeyID]bool
	top     *policy.KeyMark // of the signatures that were put
}

func (e *entry) keyring(t Tenant, before, signers *policy.Signers) (*keyring, error) {
	cluster, err := need[Cluster](e.tx, bucketMeta, metaCluster, "cluster yet")
	if err != nil {
		return nil, err
	}
	r := &keyring{e: e, tenant: t, cluster: cluster.ID, signers: signers, put: map[policy.KeyID]bool{}}
	if r.all, err = keysOf(e.tx, t.ID, "", MaxKeys); err != nil {
		return nil, dangling(err)
	}
	bare := make([]policy.APIKey, 0, len(r.all))
	for _, k := range r.all {
		bare = append(bare, k.APIKey)
	}
	r.newest = before.Newest(bare)
	return r, nil
}

// sign verifies a signature and keeps it with its key. Signatures of one command may
// share a number.
func (r *keyring) sign(s KeySignature) (k Key, err error) {
	if s.Number <= r.newest || s.Number >= 1<<53 { // the latter is what JSON numbers hold
		return k, invalid("number", "must be above %d, the newest that the tenant has given, and below 2^53: read the keys again and sign with a higher one", r.newest)
	}
	mark := &policy.KeyMark{Number: s.Number, Digest: policy.NoKey, Signature: s.Signature}
	if s.ID != "" {
		if k, err = r.find(s.ID); err != nil {
			return k, err
		}
		mark.Digest = k.Digest()
	}
	if r.signers.VerifyMark(r.cluster, r.tenant.ID, *mark) != nil {
		return k, invalid("signature", "must be of the tenant's present signing key over this API key and number: make it with domicile keys sign")
	}
	if r.top == nil || r.top.Number < mark.Number {
		r.top = mark
	}
	if s.ID == "" {
		return k, nil
	}
	k.Number, k.Signature, k.Revision, k.ETag = s.Number, s.Signature, r.e.revision(), etagOf(r.e.revision())
	r.put[k.ID] = true
	r.e.touchKey(r.tenant, k.APIKey)
	return k, r.e.put(bucketKeys, []byte(k.ID), k)
}

func (r *keyring) find(id policy.KeyID) (Key, error) {
	for _, k := range r.all {
		if k.ID != id {
			continue
		}
		if !k.NeedsSignature() {
			return k, invalid("key", "is of role ingest and needs no signature: it only brings records in")
		}
		return k, nil
	}
	return Key{}, policy.Errorf(policy.NotFound, "no such key: check the id, or list what there is")
}

// unsigned counts the keys that would stop working if each needed a signature of the
// present key from now on. Before are the signers until now: a key that they ask for
// a signature, and that has none, does not work anyway.
func (r *keyring) unsigned(before *policy.Signers) (n int) {
	for _, k := range r.all {
		switch {
		case !k.NeedsSignature(), r.put[k.ID], k.Signature == "" && before.SignsKeys():
		case k.Signature != "" && !before.SignsKeys() && r.signers.VerifyKey(r.cluster, k.APIKey) == nil:
		default:
			n++
		}
	}
	return n
}

func (e *entry) signKey(p SignKey) (any, error) {
	t, err := e.living(p.Tenant)
	if err != nil {
		return nil, err
	}
	doc, err := need[Policy](e.tx, bucketPolicies, []byte(t.ID), "policy")
	if err != nil {
		return nil, err
	}
	if doc.Signers == nil {
		return nil, policy.Errorf(policy.ApprovalRequired, "the tenant has no signing key, so its API keys need no signature: enrol one first with domicile trust enrol, which signs them")
	}
	r, err := e.keyring(t, doc.Signers, doc.Signers)
	if err != nil {
		return nil, err
	}
	if p.ID == "" {
		return nil, invalid("key", "is missing")
	}
	k, err := r.sign(KeySignature{ID: p.ID, Number: p.Number, Signature: p.Signature})
	if err != nil {
		return nil, err
	}
	e.changed = true
	if !doc.Signers.SignsKeys() && r.unsigned(doc.Signers) > 0 {
		return k, nil
	}
	next := *doc.Signers
	next.Keys = r.top
	return k, e.putMark(t, doc, &next)
}

// putMark keeps what a tenant says of its API keys. Its policy is the same one, so
// revision and etag stay, and what waits for signatures goes on waiting.
func (e *entry) putMark(t Tenant, doc Policy, next *policy.Signers) error {
	doc.Signers = next
	e.touch(t.Home, tenantRow(t.ID))
	for _, r := range doc.Recipients.List {
		e.touch(r.Region, pairRow(t.ID, r.ID))
	}
	return e.put(bucketPolicies, []byte(t.ID), doc)
}

func (e *entry) enrolTenantKey(p EnrolTenantKey) (any, error) {
	if p.Key.Purpose != policy.TenantKey {
		return nil, invalid("purpose", "must be tenant: an approver's key signs no API keys")
	}
	return e.enrolKey(p.EnrolKey, func(t Tenant, before, next *policy.Signers) error { return e.signKeys(t, before, next, p.APIKeys) })
}

// enrolAlone is EnrolKey as logs of before hold it. A tenant that signs its API keys
// has had its key with EnrolTenantKey, and would be left with keys that nobody signed.
func (e *entry) enrolAlone(p EnrolKey) (any, error) {
	return e.enrolKey(p, func(_ Tenant, before, _ *policy.Signers) error {
		if before.SignsKeys() {
			return invalid("api_keys", "are missing: the tenant signs its API keys")
		}
		return nil
	})
}

// signKeys puts the signatures that come with a tenant's signing key. No key that
// works may stop working unsaid: each is signed as well, or deleted before.
func (e *entry) signKeys(t Tenant, before, next *policy.Signers, given []KeySignature) error {
	r, err := e.keyring(t, before, next)
	if err != nil {
		return err
	}
	if len(given) > MaxKeys {
		return invalid("api_keys", "may be %d at most", MaxKeys)
	}
	for _, s := range given {
		if _, err := r.sign(s); err != nil {
			return err
		}
	}
	if n := r.unsigned(before); n > 0 {
		return invalid("api_keys", "leave %d API keys above ingest without a signature of this signing key, and nodes would refuse them: sign each, as domicile trust enrol does, or delete it first", n)
	}
	if r.top == nil {
		return invalid("api_keys", "are missing: the signing key signs each API key above ingest or, where there is none, that there is none: enrol it with domicile trust enrol")
	}
	next.Keys = r.top
	return nil
}
