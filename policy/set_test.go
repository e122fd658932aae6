package policy

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func rulesOf(n int, home Region) *Rules {
	p := DefaultPolicy(tenantN(n), home, "DOM-IE")
	return Compile(&p, TenantActive)
}

func TestSetsAreImmutable(t *testing.T) {
	var empty *Set
	first := empty.With(1, []*Rules{rulesOf(1, ireland), rulesOf(2, ireland)}, nil)
	second := first.With(2, []*Rules{rulesOf(2, america), rulesOf(3, ireland)}, []TenantID{tenantN(1), tenantN(9)})

	if r, ok := first.Rules(tenantN(2)); !ok || r.Home != "ie1" || first.Revision() != 1 {
		t.Error("the first set changed")
	}
	if _, ok := first.Rules(tenantN(1)); !ok {
		t.Error("a tenant vanished from the first set")
	}
	if _, ok := second.Rules(tenantN(1)); ok {
		t.Error("a removed tenant is still there")
	}
	if r, ok := second.Rules(tenantN(2)); !ok || r.Home != "us1" || second.Revision() != 2 {
		t.Error("a replaced tenant kept its rules")
	}
	if _, ok := second.Rules(tenantN(3)); !ok {
		t.Error("an added tenant is missing")
	}
	if _, ok := empty.Rules(tenantN(1)); ok {
		t.Error("the empty set holds something")
	}
	if first.Len() != 2 || second.Len() != 2 {
		t.Errorf("%d and %d tenants", first.Len(), second.Len())
	}
	if later := second.At(9); later.Revision() != 9 || later.Len() != 2 || second.Revision() != 2 {
		t.Error("a set at a later revision")
	}
	odd := rulesOf(1, ireland)
	odd.Tenant = "TN1" // no tenant's id: nobody can ask for it
	third := second.With(3, []*Rules{odd}, []TenantID{"TN2"})
	if _, ok := third.Rules("TN1"); ok || third.Len() != 2 {
		t.Error("what is no tenant id has rules")
	}
}

func TestCompiledRules(t *testing.T) {
	p := fullPolicy()
	r := Compile(p, TenantActive)
	if got := r.Egress(PseudonymisedExport); got.Effect != Cap || got.PerDay != 5 {
		t.Errorf("%+v", got)
	}
	for _, c := range []EgressClass{0, numEgressClasses, 255} {
		if r.Egress(c).Effect != Deny {
			t.Errorf("egress class %d is not denied", c)
		}
	}
	if len(r.Recipients()) != 1 {
		t.Errorf("%d recipients", len(r.Recipients()))
	}
	p.Recipients.DenyAll = true // invalid together with a list; the denial must win
	if n := len(Compile(p, TenantActive).Recipients()); n != 0 {
		t.Errorf("deny_all leaves %d recipients", n)
	}
}

func TestTopology(t *testing.T) {
	top := testTopology(t)
	if top.Boundary("ie1") != "eu" || top.Boundary("zz9") != "" {
		t.Error("boundaries are wrong")
	}
	var ids []string
	for _, r := range top.Regions() {
		ids = append(ids, string(r.ID))
	}
	if got := strings.Join(ids, " "); got != "de1 ie1 jp1 us1" {
		t.Errorf("regions %s", got)
	}
	var none *Topology
	if none.Regions() != nil {
		t.Error("no topology has regions")
	}
	abroad, self, absent := ireland, ireland, ireland
	abroad.BackupRegion, self.BackupRegion, absent.BackupRegion = "us1", "ie1", "zz9"
	for name, regions := range map[string][]Region{
		"twice": {germany, germany}, "backup abroad": {abroad, america}, "backup of itself": {self}, "backup nowhere": {absent},
	} {
		if _, err := NewTopology(regions); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestCanonicalIsFrozen: signatures of owners cover these bytes for ever.
func TestCanonicalIsFrozen(t *testing.T) {
	const golden = "testdata/canonical-v1.golden"
	got, err := fullPolicy().Canonical()
	if err != nil {
		t.Fatal(err)
	}
	if *rewrite {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the signed form changed; every signature that exists would break\n got %s\nwant %s", got, want)
	}
	signed := fullPolicy()
	signed.Revision, signed.Signatures = 99, nil
	if again, _ := signed.Canonical(); !bytes.Equal(got, again) {
		t.Error("revision or signatures are covered by the signature")
	}
	bad := fullPolicy()
	bad.OnUnavailable = 0
	if _, err := bad.Canonical(); err == nil {
		t.Error("a policy outside the closed lists has a canonical form")
	}
}

func TestPolicyJSONRoundTrip(t *testing.T) {
	b, err := json.Marshal(fullPolicy())
	if err != nil {
		t.Fatal(err)
	}
	var back ResidencyPolicy
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if kind, fields := Classify(fullPolicy(), &back); kind != Neutral {
		t.Errorf("what was stored reads back changed: %+v", fields)
	}
}
