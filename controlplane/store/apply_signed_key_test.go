package store

import (
	"bytes"
	"crypto/ed25519"
	"testing"

	"github.com/domicile-io/domicile/policy"
)

func keySignature(key ed25519.PrivateKey, tenant policy.TenantID, number uint64, digest string) string {
	return policy.Sign(key, policy.KeyStatement(clusterID, tenant, number, digest)).Value
}

// signingOf puts a signature onto an API key.
func signingOf(by ed25519.PrivateKey, number uint64, k policy.APIKey) SignKey {
	return SignKey{Tenant: k.Tenant, ID: k.ID, Number: number, Signature: keySignature(by, k.Tenant, number, k.Digest())}
}

// withKeys is a tenant's signing key as it is enrolled with its signatures over API
// keys; without any it says that there is none.
func withKeys(t testing.TB, by ed25519.PrivateKey, now Policy, number uint64, keys ...policy.APIKey) EnrolTenantKey {
	p := EnrolTenantKey{EnrolKey: enrolment(t, by, policy.TenantKey, now, 0)}
	for _, k := range keys {
		p.APIKeys = append(p.APIKeys, KeySignature{ID: k.ID, Number: number, Signature: keySignature(by, now.Tenant, number, k.Digest())})
	}
	if len(keys) == 0 {
		p.APIKeys = []KeySignature{{Number: number, Signature: keySignature(by, now.Tenant, number, policy.NoKey)}}
	}
	return p
}

// keyed is a store with a tenant that has three API keys.
func keyed(t *testing.T) (f *fixture, now func() Policy, issue func(n int, role policy.KeyRole) policy.APIKey) {
	f = seeded(t)
	tenant := f.tenant(1, "ie1")
	issue = func(n int, role policy.KeyRole) policy.APIKey {
		return body[Key](t, f.must(CreateKey{Key: apiKey(n, tenant.ID, "ie1", role)})).APIKey
	}
	return f, func() Policy { return got(f.Policy(tenant.ID))(t) }, issue
}

func (f *fixture) counting(p Policy) (out []policy.KeyID) {
	f.t.Helper()
	check(f.t, f.verified(p))
	for _, k := range p.Signers.Counting(f.apiKeys(p.Tenant)) {
		out = append(out, k.ID)
	}
	return out
}

func (f *fixture) apiKeys(t policy.TenantID) (out []policy.APIKey) {
	for _, k := range got(f.Keys(t, "", MaxKeys))(f.t) {
		out = append(out, k.APIKey)
	}
	return out
}

// verified holds what nodes would get against what they check.
func (f *fixture) verified(p Policy) error {
	if !p.Signers.SignsKeys() {
		return nil
	}
	if err := p.Signers.VerifyMark(clusterID, p.Tenant, *p.Signers.Keys); err != nil {
		return err
	}
	return p.Signers.VerifyKeys(clusterID, f.apiKeys(p.Tenant), nil, nil)
}

// Whoever enrols a signing key leaves no API key that works without a signature, so
// that nobody is locked out unsaid; a successor signs what its predecessor had signed.
func TestEnrolmentSignsTheAPIKeysThatWork(t *testing.T) {
	first, second := signingKey(1), signingKey(2)
	f, now, issue := keyed(t)
	ingest, reader, admin := issue(1, policy.RoleIngest), issue(2, policy.RoleReader), issue(3, policy.RoleAdmin)
	f.refuses(EnrolTenantKey{EnrolKey: enrolment(t, first, policy.TenantKey, now(), 0)}, policy.InvalidArgument)
	f.refuses(withKeys(t, first, now(), 1), policy.InvalidArgument)
	f.refuses(withKeys(t, first, now(), 1, reader), policy.InvalidArgument)
	f.refuses(withKeys(t, first, now(), 1, reader, admin, ingest), policy.InvalidArgument)
	f.refuses(withKeys(t, first, now(), 0, reader, admin), policy.InvalidArgument)
	f.refuses(withKeys(t, first, now(), 1<<53, reader, admin), policy.InvalidArgument)
	forged := withKeys(t, first, now(), 1, reader, admin)
	forged.APIKeys[1].Signature = keySignature(second, now().Tenant, 1, admin.Digest())
	f.refuses(forged, policy.InvalidArgument)
	person := withKeys(t, first, now(), 1, reader, admin)
	person.EnrolKey = enrolment(t, second, policy.ApproverKey, now(), 7)
	f.refuses(person, policy.InvalidArgument)
	if now().Signers != nil || got(f.Key(admin.ID))(t).Signature != "" {
		t.Fatal("a refusal left something behind")
	}
	f.must(withKeys(t, first, now(), 1, reader, admin))
	late := issue(4, policy.RoleAdmin) // not signed, and never worked
	if have := f.counting(now()); len(have) != 3 || now().Signers.Newest(f.apiKeys(now().Tenant)) != 1 {
		t.Errorf("%v count", have)
	}
	f.refuses(enrolment(t, second, policy.TenantKey, now(), 0), policy.InvalidArgument)
	f.refuses(withKeys(t, second, now(), 2, reader), policy.InvalidArgument)
	f.refuses(withKeys(t, second, now(), 1, reader, admin), policy.InvalidArgument)
	f.must(withKeys(t, second, now(), 2, reader, admin))
	if have := f.counting(now()); len(have) != 3 || got(f.Key(late.ID))(t).Signature != "" {
		t.Errorf("after the successor %v count", have)
	}
}

// A key of a tenant that signs keys counts from its signature on. A number is used
// once, also that of a key which is gone; what waits for other signatures goes on
// waiting.
func TestAPIKeysAreSigned(t *testing.T) {
	own, stranger := signingKey(1), signingKey(2)
	f, now, issue := keyed(t)
	early := issue(9, policy.RoleIngest)
	f.refuses(signingOf(own, 1, early), policy.ApprovalRequired)
	f.must(withKeys(t, own, now(), 5))
	before := now()
	change := body[Change](t, f.must(addChange(1, before, loosened(before.ResidencyPolicy))))
	reader, admin := issue(1, policy.RoleReader), issue(2, policy.RoleAdmin)
	if have := f.counting(now()); len(have) != 1 {
		t.Errorf("before a signature %v count", have)
	}
	old := got(f.Key(reader.ID))(t)
	f.refuses(signingOf(own, 5, reader), policy.InvalidArgument)
	f.refuses(signingOf(stranger, 6, reader), policy.InvalidArgument)
	f.refuses(signingOf(own, 6, early), policy.InvalidArgument)
	f.refuses(signingOf(own, 6, policy.APIKey{Tenant: reader.Tenant}), policy.InvalidArgument)
	f.refuses(signingOf(own, 6, policy.APIKey{Tenant: reader.Tenant, ID: id[policy.KeyID](policy.KindKey, 77)}), policy.NotFound)
	other := f.tenant(2, "ie1")
	f.refuses(SignKey{Tenant: other.ID, ID: reader.ID, Number: 6, Signature: signingOf(own, 6, reader).Signature}, policy.ApprovalRequired)
	leaves, _, err := f.AuditRoot()
	check(t, err)
	made := body[Key](t, f.must(signingOf(own, 6, reader)))
	if n, _, err := f.AuditRoot(); err != nil || n != leaves+1 {
		t.Errorf("%d audit leaves for one signature", n-leaves)
	}
	if made.Number != 6 || made.ETag == old.ETag || made.Revision <= old.Revision || made.CreatedAt != old.CreatedAt {
		t.Errorf("signed: %+v", made)
	}
	if p := now(); p.ETag != before.ETag || p.Revision != before.Revision || p.Signers.Keys.Number != 6 {
		t.Errorf("a signature of an API key made another policy of it: %+v", p)
	}
	f.refuses(signingOf(own, 6, admin), policy.InvalidArgument)
	f.must(signingOf(own, 7, admin))
	f.must(DeleteKey{Tenant: admin.Tenant, ID: admin.ID, IfMatch: got(f.Key(admin.ID))(t).ETag})
	f.refuses(signingOf(own, 8, admin), policy.NotFound)
	third := issue(3, policy.RoleAdmin)
	f.refuses(signingOf(own, 7, third), policy.InvalidArgument) // the number of the key that is gone
	f.must(signingOf(own, 8, third))
	if have := f.counting(now()); len(have) != 3 {
		t.Errorf("%v count", have)
	}
	if c := body[Change](t, f.must(signed(t, change, own))); c.State != ChangePending {
		t.Errorf("the change that waited is %s", c.State)
	}
	to := empty(t)
	check(t, to.Restore(bytes.NewReader(snapshotOf(t, f.Store))))
	want, _, _ := f.StateHash()
	if h, _, err := to.StateHash(); err != nil || h != want || got(to.Key(third.ID))(t).Signature == "" || got(to.Policy(third.Tenant))(t).Signers.Keys.Number != 8 {
		t.Errorf("after a snapshot: %v", err)
	}
}

// A tenant whose signing key was enrolled before API keys were signed is asked for
// signatures once each of its keys has one, and not before.
func TestATenantOfBeforeIsNotLockedOut(t *testing.T) {
	own := signingKey(1)
	f, now, issue := keyed(t)
	issue(1, policy.RoleIngest)
	reader, admin := issue(2, policy.RoleReader), issue(3, policy.RoleAdmin)
	f.must(enrolment(t, own, policy.TenantKey, now(), 0))
	if have := f.counting(now()); len(have) != 3 || now().Signers.SignsKeys() {
		t.Errorf("%v count", have)
	}
	f.must(signingOf(own, 1, reader))
	if have := f.counting(now()); len(have) != 3 || now().Signers.SignsKeys() {
		t.Errorf("after the first of two %v count", have)
	}
	f.refuses(signingOf(own, 1, admin), policy.InvalidArgument)
	f.must(signingOf(own, 2, admin))
	late := issue(4, policy.RoleAdmin)
	if have := f.counting(now()); len(have) != 3 || !now().Signers.SignsKeys() || len(now().Signers.Counting([]policy.APIKey{late})) != 0 {
		t.Errorf("after both %v count", have)
	}
}
