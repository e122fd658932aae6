package store

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/policy"
)

func signingKey(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

// enrolment is a key as its holder brings it; certificates are the proposer's
// business and not looked at here.
func enrolment(t testing.TB, key ed25519.PrivateKey, purpose policy.KeyPurpose, now Policy, principal int) EnrolKey {
	t.Helper()
	k, err := policy.NewSigningKey(purpose, hex.EncodeToString(key.Public().(ed25519.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	p := EnrolKey{Tenant: now.Tenant, Key: k}
	if purpose == policy.ApproverKey {
		p.Key.Principal, p.Key.Entity, p.Key.Boundary = id[string](policy.KindPrincipal, principal), "IE-LTD", "eu"
		return p
	}
	hash, err := policy.PolicyHash(&now.ResidencyPolicy)
	if err != nil {
		t.Fatal(err)
	}
	sig := policy.Sign(key, policy.PolicyStatement(clusterID, now.Tenant, max(1, nextSequence(now)), hash))
	p.Signature = &sig
	return p
}

func signed(t testing.TB, c Change, keys ...ed25519.PrivateKey) Approve {
	t.Helper()
	hash, err := hex.DecodeString(c.Hash)
	if err != nil {
		t.Fatal(err)
	}
	p := Approve{ID: c.ID}
	for _, k := range keys {
		p.Signatures = append(p.Signatures, policy.Sign(k, policy.PolicyStatement(clusterID, c.Tenant, c.Sequence, [32]byte(hash))))
	}
	return p
}

// signing is a store with a tenant, its key and an approver's.
func signing(t *testing.T) (f *fixture, now func() Policy) {
	f = seeded(t)
	tenant := f.tenant(1, "ie1")
	now = func() Policy { return got(f.Policy(tenant.ID))(t) }
	f.must(enrolment(t, signingKey(1), policy.TenantKey, now(), 0))
	f.must(enrolment(t, signingKey(2), policy.ApproverKey, now(), 7))
	return f, now
}

func (f *fixture) refuses(p Payload, want policy.Reason) {
	f.t.Helper()
	if r := f.apply(p); r.Err == nil || r.Err.Reason != want {
		f.t.Errorf("%T: got %v, want %s", p, r.Err, want)
	}
}

// A loosening applies when the tenant's key and a second person have signed
// its exact hash, in either order, together or one after the other; never
// with fewer.
func TestLooseningAppliesWithTwoSignatures(t *testing.T) {
	tenant, person := signingKey(1), signingKey(2)
	for name, steps := range map[string][][]ed25519.PrivateKey{
		"together":           {{tenant, person}},
		"the tenant first":   {{tenant}, {person}},
		"the person first":   {{person}, {tenant}},
		"one of them twice":  {{tenant, tenant}, {tenant}, {person, tenant}},
		"the tenant only":    {{tenant}, {tenant}},
		"the second, thrice": {{person, person, person}},
	} {
		t.Run(name, func(t *testing.T) {
			f, now := signing(t)
			before := now()
			c := body[Change](t, f.must(addChange(1, before, loosened(before.ResidencyPolicy))))
			for i, keys := range steps {
				if got := now(); got.ETag != before.ETag {
					t.Fatalf("applied after %d steps", i)
				}
				c = body[Change](t, f.must(signed(t, c, keys...)))
			}
			whole := !strings.Contains(name, "only") && !strings.Contains(name, "thrice")
			if (c.State == ChangeApplied) != whole || (now().ETag != before.ETag) != whole {
				t.Fatalf("state %s, policy changed %t", c.State, now().ETag != before.ETag)
			}
			if !whole {
				return
			}
			after := now()
			if err := after.Signers.VerifyPolicy(clusterID, &after.ResidencyPolicy); err != nil || len(after.Signatures) != 2 || after.Signers.Sequence != before.Signers.Sequence+1 {
				t.Errorf("what applied is not what nodes will accept: %v, %d signatures", err, len(after.Signatures))
			}
			f.refuses(signed(t, c, tenant), policy.AlreadyExists)
		})
	}
}

func TestApprovalRefusals(t *testing.T) {
	f, now := signing(t)
	before := now()
	c := body[Change](t, f.must(addChange(1, before, loosened(before.ResidencyPolicy))))
	wrong := func(change func(*Change)) Change { x := c; change(&x); return x }
	f.refuses(Approve{ID: c.ID}, policy.InvalidArgument)
	f.refuses(Approve{ID: id[string](policy.KindChange, 99)}, policy.NotFound)
	f.refuses(signed(t, c, signingKey(1), signingKey(9)), policy.InvalidArgument) // a stranger's
	for name, x := range map[string]Change{
		"another hash":     wrong(func(c *Change) { c.Hash = hexHash("other") }),
		"another sequence": wrong(func(c *Change) { c.Sequence++ }),
		"another tenant":   wrong(func(c *Change) { c.Tenant = id[policy.TenantID](policy.KindTenant, 9) }),
	} {
		t.Log(name)
		f.refuses(signed(t, x, signingKey(1), signingKey(2)), policy.InvalidArgument)
	}
	if got := now(); got.ETag != before.ETag || len(got2(t, f, c.ID).Signatures) != 0 {
		t.Error("a refused approval left something")
	}

	// Once the policy is another one, what was signed for the former one is void.
	tight := body[Change](t, f.must(addChange(2, before, tightened(before.ResidencyPolicy))))
	if tight = body[Change](t, f.must(signed(t, tight, signingKey(1)))); tight.State != ChangeApplied {
		t.Fatalf("tightening needs the tenant alone: %s", tight.State)
	}
	f.refuses(signed(t, c, signingKey(1), signingKey(2)), policy.ETagMismatch)
	again := body[Change](t, f.must(addChange(3, now(), loosened(before.ResidencyPolicy))))
	if again.ID != c.ID || again.Sequence == c.Sequence || again.Base != now().ETag {
		t.Errorf("the repeat is %s for sequence %d, want %s rebased", again.ID, again.Sequence, c.ID)
	}
	f.refuses(signed(t, c, signingKey(1), signingKey(2)), policy.InvalidArgument) // of the former sequence
}

func got2(t *testing.T, f *fixture, change string) Change { return got(f.Change(change))(t) }

func TestATenantThatSignsTakesNothingUnsigned(t *testing.T) {
	f, now := signing(t)
	f.refuses(PutPolicy{Tenant: now().Tenant, IfMatch: now().ETag, Policy: tightened(now().ResidencyPolicy)}, policy.ApprovalRequired)
	f.must(PutPolicy{Tenant: now().Tenant, IfMatch: now().ETag, Policy: now().ResidencyPolicy}) // the same is no change
	if got := got(f.Tenant(now().Tenant))(t); !got.Signed {
		t.Error("the tenant does not say that it signs")
	}
}

func TestEnrolmentRefusals(t *testing.T) {
	f := seeded(t)
	tenant := f.tenant(1, "ie1")
	now := func() Policy { return got(f.Policy(tenant.ID))(t) }
	c := body[Change](t, f.must(addChange(1, now(), loosened(now().ResidencyPolicy))))
	f.refuses(Approve{ID: c.ID, Signatures: signed(t, c, signingKey(1)).Signatures}, policy.ApprovalRequired)
	f.refuses(enrolment(t, signingKey(2), policy.ApproverKey, now(), 7), policy.ApprovalRequired)
	first := enrolment(t, signingKey(1), policy.TenantKey, now(), 0)
	bare, forged, bad := first, first, first
	bare.Signature = nil
	forged.Signature = enrolment(t, signingKey(3), policy.TenantKey, now(), 0).Signature
	bad.Key.ID = strings.Repeat("0", 32)
	for _, p := range []EnrolKey{bare, forged, bad} {
		f.refuses(p, policy.InvalidArgument)
	}
	f.must(first)
	f.refuses(first, policy.AlreadyExists)
	f.refuses(Approve{ID: c.ID, Signatures: signed(t, c, signingKey(1)).Signatures}, policy.ETagMismatch)

	// A successor signs the policy too, and from then on alone.
	f.must(enrolment(t, signingKey(3), policy.TenantKey, now(), 0))
	p := now()
	if err := p.Signers.VerifyPolicy(clusterID, &p.ResidencyPolicy); err != nil {
		t.Error(err)
	}
	c = body[Change](t, f.must(addChange(2, p, tightened(p.ResidencyPolicy))))
	f.refuses(signed(t, c, signingKey(1)), policy.InvalidArgument)
	if c = body[Change](t, f.must(signed(t, c, signingKey(3)))); c.State != ChangeApplied {
		t.Errorf("the successor's signature left the change %s", c.State)
	}
}

// From its withdrawal on an approver's signature counts nowhere, and nothing that
// is enrolled or applied afterwards brings it back.
func TestAWithdrawnApproverApprovesNothing(t *testing.T) {
	tenant, person := signingKey(1), signingKey(2)
	f, now := signing(t)
	before := now()
	withdraw := WithdrawApprover{Tenant: before.Tenant, Withdrawal: policy.Withdrawal{Key: before.Signers.Approvers[0].ID}}
	c := body[Change](t, f.must(addChange(1, before, loosened(before.ResidencyPolicy))))
	c = body[Change](t, f.must(signed(t, c, person))) // one of two, and then
	after := body[Policy](t, f.must(withdraw))
	if after.ETag == before.ETag || after.Signers.Sequence != before.Signers.Sequence || len(after.Signers.Withdrawn) != 1 {
		t.Errorf("after the withdrawal: %+v", after)
	}
	f.refuses(withdraw, policy.AlreadyExists)
	f.refuses(signed(t, c, tenant), policy.ETagMismatch)
	again := body[Change](t, f.must(addChange(2, now(), loosened(before.ResidencyPolicy))))
	f.refuses(signed(t, again, tenant, person), policy.InvalidArgument)
	if again = body[Change](t, f.must(signed(t, again, tenant))); again.State != ChangePending {
		t.Errorf("one signature, and the change is %s", again.State)
	}
	f.refuses(enrolment(t, person, policy.ApproverKey, now(), 7), policy.AlreadyExists) // the same key never again
	f.must(enrolment(t, signingKey(4), policy.ApproverKey, now(), 7))                   // the same person with another
	again = body[Change](t, f.must(addChange(3, now(), loosened(before.ResidencyPolicy))))
	f.refuses(signed(t, again, person), policy.InvalidArgument)
	if again = body[Change](t, f.must(signed(t, again, tenant, signingKey(4)))); again.State != ChangeApplied || len(now().Signers.Withdrawn) != 1 {
		t.Errorf("the change is %s, and %d are withdrawn", again.State, len(now().Signers.Withdrawn))
	}
	end := purge(got(f.Tenant(before.Tenant))(t), nodeN("ie1", 1))
	for _, k := range []ed25519.PrivateKey{tenant, person} {
		end.Signatures = append(end.Signatures, policy.Sign(k, policy.PurgeStatement(clusterID, before.Tenant, now().Signers.Sequence)))
	}
	f.refuses(end, policy.ApprovalRequired)

	f.must(enrolment(t, signingKey(5), policy.ApproverKey, now(), 7)) // replaces key 4, which nodes may know as withdrawn
	replaced := WithdrawApprover{Tenant: before.Tenant, Withdrawal: policy.Withdrawal{Key: now().Signers.Approvers[1].ID}}
	f.must(replaced)
	f.refuses(replaced, policy.AlreadyExists)
	if _, ok := now().Signers.Approver(policy.KeyIDOf(signingKey(5).Public().(ed25519.PublicKey))); !ok {
		t.Error("the key that replaced it does not count")
	}
	f.refuses(WithdrawApprover{Tenant: before.Tenant, Withdrawal: policy.Withdrawal{Key: now().Signers.Tenant[0].ID}}, policy.NotFound)
	other := f.tenant(2, "ie1") // does not sign
	f.refuses(WithdrawApprover{Tenant: other.ID, Withdrawal: withdraw.Withdrawal}, policy.NotFound)
	f.refuses(WithdrawApprover{Tenant: id[policy.TenantID](policy.KindTenant, 77), Withdrawal: withdraw.Withdrawal}, policy.NotFound)
}
