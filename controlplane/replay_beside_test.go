package controlplane

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/audit/verify"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// A slug that was given and whose tenant ended after the backup is not given again.
func TestARestoreGivesNoSlugAgain(t *testing.T) {
	s, a, apply := seededApplier(t)
	const gone = policy.TenantID("TN000000000000000000000000000000ff")
	later := []verify.Leaf{{Action: "tenant.create", Resource: string(gone)}, {Action: "tenant.purge", Resource: string(gone)}, {Action: "tenant.delete", Resource: string(gone)}}
	if _, err := a.revoke(later); err == nil || !strings.Contains(err.Error(), "lacks the slug of tenant "+string(gone)) {
		t.Fatalf("a log that does not tell the slug: %v", err)
	}
	a.beside.Slugs = map[policy.TenantID]policy.Slug{gone: "clinic"}
	got, err := a.revoke(later)
	if err != nil || len(got.Revoked) != 1 || len(got.Lost) != 1 || got.Lost[0].Action != "tenant.create" {
		t.Fatalf("%+v %v", got, err)
	}
	if _, err := s.TenantBySlug("clinic"); !absent(err) {
		t.Errorf("a tenant came back with its slug: %v", err)
	}
	create := store.CreateTenant{ID: "TN0000000000000000000000000000000a", Slug: "clinic", Home: "ie1", BillingCountry: "IE"}
	if res := apply(create); res.Err == nil || res.Err.Reason != policy.AlreadyExists {
		t.Errorf("the slug was given again: %+v", res)
	}
	create.Slug = "clinic-two"
	if res := apply(create); res.Err != nil {
		t.Error(res.Err)
	}

	_, a, _ = seededApplier(t)
	a.incomplete = true
	if got, err := a.revoke(later); err != nil || len(got.Revoked) != 0 || len(got.Lost) != 3 {
		t.Errorf("asked to go on without: %+v %v", got, err)
	}
}

// A slug in the export that cannot be the tenant's, because another has it or it is
// none, ends no restore for good: it is said, and can be passed over as lost.
func TestASlugThatIsAnothersIsSaidAndPassedOver(t *testing.T) {
	const gone, second = policy.TenantID("TN000000000000000000000000000000ff"), policy.TenantID("TN000000000000000000000000000000fe")
	end := func(ids ...policy.TenantID) (out []verify.Leaf) {
		for _, id := range ids {
			out = append(out, verify.Leaf{Action: "tenant.purge", Resource: string(id)}, verify.Leaf{Action: "tenant.delete", Resource: string(id)})
		}
		return out
	}
	for name, c := range map[string]struct {
		slugs map[policy.TenantID]policy.Slug
		later []verify.Leaf
		want  string
		lost  int
	}{
		"of a tenant that lives":   {map[policy.TenantID]policy.Slug{gone: "clinic"}, end(gone), "the slug of tenant TN0000000000000000000000000000000a", 2},
		"of another that ended":    {map[policy.TenantID]policy.Slug{gone: "bakery", second: "bakery"}, end(gone, second), "the slug of tenant " + string(gone), 2},
		"no slug":                  {map[policy.TenantID]policy.Slug{gone: "Not A Slug"}, end(gone), "no slug", 2},
		"its own, by an early one": {map[policy.TenantID]policy.Slug{gone: "bakery"}, end(gone, gone), "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			for _, incomplete := range []bool{false, true} {
				s, a, apply := seededApplier(t)
				if res := apply(store.CreateTenant{ID: "TN0000000000000000000000000000000a", Slug: "clinic", Home: "ie1", BillingCountry: "IE"}); res.Err != nil {
					t.Fatal(res.Err)
				}
				a.incomplete, a.beside.Slugs = incomplete, c.slugs
				got, err := a.revoke(c.later)
				switch {
				case c.want != "" && !incomplete:
					if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "--audit-incomplete") {
						t.Errorf("got %v, want that it tells %q, and a way on", err, c.want)
					}
					continue
				case err != nil || len(got.Lost) != c.lost:
					t.Errorf("incomplete %t: %d lost, want %d: %+v %v", incomplete, len(got.Lost), c.lost, got, err)
				}
				if x, err := s.TenantBySlug("clinic"); err != nil || x.ID != "TN0000000000000000000000000000000a" {
					t.Errorf("the living tenant's slug is %s's, %v", x.ID, err)
				}
			}
		})
	}
}

// drilled is a tenant that signs, as it stood in the backup, with two approvers.
func drilled(t *testing.T) (s *store.Store, a *applier, tenant policy.TenantID, approvers []policy.SigningKey) {
	t.Helper()
	s, a, apply := seededApplier(t)
	tenant, a.cluster = "TN0000000000000000000000000000000a", "CL00000000000000000000000000000001"
	a.root = secretOf(0).Public().(ed25519.PublicKey)
	must := func(p store.Payload) {
		t.Helper()
		if res := apply(p); res.Err != nil {
			t.Fatal(res.Err, res.Err.Fields)
		}
	}
	must(store.CreateTenant{ID: tenant, Slug: "clinic", Home: "ie1", BillingCountry: "IE"})
	p, err := s.Policy(tenant)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := policy.PolicyHash(&p.ResidencyPolicy)
	if err != nil {
		t.Fatal(err)
	}
	sig := policy.Sign(secretOf(1), policy.PolicyStatement(a.cluster, tenant, 1, hash))
	must(store.EnrolKey{Tenant: tenant, Key: certified(t, a, tenant, 1), Signature: &sig})
	for n := byte(2); n <= 3; n++ {
		approvers = append(approvers, certified(t, a, tenant, n))
		must(store.EnrolKey{Tenant: tenant, Key: approvers[n-2]})
	}
	return s, a, tenant, approvers
}

func secretOf(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune('a'+n)), ed25519.SeedSize)))
}

func certified(t *testing.T, a *applier, tenant policy.TenantID, n byte) policy.SigningKey {
	t.Helper()
	purpose := policy.ApproverKey
	if n == 1 {
		purpose = policy.TenantKey
	}
	k, err := policy.NewSigningKey(purpose, hex.EncodeToString(secretOf(n).Public().(ed25519.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	if purpose == policy.ApproverKey {
		k.Principal, k.Entity, k.Boundary = fmt.Sprintf("PR%032x", n), "DOM-IE", "eu"
	}
	k.Certificate = policy.Sign(secretOf(0), k.Statement(a.cluster, tenant))
	return k
}

// An approver who was withdrawn after the backup does not approve after a restore;
// only a withdrawal that the tenant or the root has signed is repeated.
func TestARestoreBringsNoWithdrawnApproverBack(t *testing.T) {
	s, a, tenant, approvers := drilled(t)
	withdrawal := func(by byte, key string) policy.Withdrawal {
		w := policy.Withdrawal{Key: key}
		w.Signature = policy.Sign(secretOf(by), w.Statement(a.cluster, tenant))
		return w
	}
	later := []verify.Leaf{{Action: "signing_key.withdraw", Resource: string(tenant)}, {Action: "signing_key.withdraw", Resource: "TN000000000000000000000000000000ff"}}
	forged := withdrawal(9, approvers[1].ID)
	for name, told := range map[string][]policy.Withdrawal{"nothing": nil, "a forged one": {forged}} {
		a.beside.Withdrawals = map[policy.TenantID][]policy.Withdrawal{tenant: told}
		if _, err := a.revoke(later); err == nil || !strings.Contains(err.Error(), "lacks a withdrawal of an approver of tenant "+string(tenant)) {
			t.Errorf("a log that tells %s: %v", name, err)
		}
	}
	a.beside.Withdrawals = map[policy.TenantID][]policy.Withdrawal{tenant: {forged, withdrawal(1, approvers[0].ID)}}
	got, err := a.revoke(later)
	if err != nil || len(got.Revoked) != 1 || len(got.Lost) != 0 {
		t.Fatalf("%+v %v", got, err)
	}
	p, err := s.Policy(tenant)
	if err != nil {
		t.Fatal(err)
	}
	_, first := p.Signers.Approver(approvers[0].ID)
	_, second := p.Signers.Approver(approvers[1].ID)
	if first || !second {
		t.Errorf("the withdrawn one approves: %t; the other does: %t", first, second)
	}
	if err := p.Signers.Verify(a.cluster, tenant, a.root); err != nil {
		t.Errorf("nodes would refuse the row: %v", err)
	}
}

// A tenant that has ended has no policy any more to tell withdrawals from: it is
// suspended, and its withdrawals are lost with it.
func TestAWithdrawalOfATenantThatEndedIsListed(t *testing.T) {
	s, a, tenant, _ := drilled(t)
	got, err := a.revoke([]verify.Leaf{{Action: "signing_key.withdraw", Resource: string(tenant)}, {Action: "tenant.purge", Resource: string(tenant)}})
	if err != nil || len(got.Lost) != 2 || len(got.Revoked) != 1 {
		t.Fatalf("%+v %v", got, err)
	}
	if tn, err := s.Tenant(tenant); err != nil || tn.State != policy.TenantSuspended {
		t.Errorf("%+v %v", tn, err)
	}
}
