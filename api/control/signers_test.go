package control

import (
	"crypto/ed25519"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

const (
	signedCluster = "CL000000000000000000000000000000aa"
	signedTenant  = policy.TenantID("TN000000000000000000000000000000aa")
)

func seeded(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune(b)), ed25519.SeedSize)))
}

func publicOf(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func certified(t *testing.T, by, key ed25519.PrivateKey, purpose policy.KeyPurpose) policy.SigningKey {
	t.Helper()
	k, err := policy.NewSigningKey(purpose, hex.EncodeToString(publicOf(key)))
	if err != nil {
		t.Fatal(err)
	}
	if purpose == policy.ApproverKey {
		k.Principal, k.Entity, k.Boundary = "PR000000000000000000000000000000aa", "DOM-IE", "eu"
	}
	k.Certificate = policy.Sign(by, k.Statement(signedCluster, signedTenant))
	return k
}

// What the control plane shows of a signed policy is what nodes are given: it verifies
// against the root, and nothing in it can be changed without that being seen.
func TestSignedPolicyVerifiesAsNodesDo(t *testing.T) {
	root, first, head, person, gone := seeded(1), seeded(2), seeded(3), seeded(4), seeded(5)
	s := &policy.Signers{Sequence: 7, Tenant: []policy.SigningKey{certified(t, root, first, policy.TenantKey), certified(t, first, head, policy.TenantKey)},
		Approvers: []policy.SigningKey{certified(t, root, gone, policy.ApproverKey), certified(t, root, person, policy.ApproverKey)}}
	w := policy.Withdrawal{Key: s.Approvers[0].ID}
	w.Signature = policy.Sign(root, w.Statement(signedCluster, signedTenant))
	s.Withdrawn = []policy.Withdrawal{w}
	s.Keys = &policy.KeyMark{Number: 9, Digest: policy.NoKey, Signature: policy.Sign(head, policy.KeyStatement(signedCluster, signedTenant, 9, policy.NoKey)).Value}
	p := policy.DefaultPolicy(signedTenant, policy.Region{ID: "ie1", Boundary: "eu"}, "DOM-IE")
	hash, err := policy.PolicyHash(&p)
	if err != nil {
		t.Fatal(err)
	}
	p.Signatures = []policy.Signature{policy.Sign(head, policy.PolicyStatement(signedCluster, signedTenant, 7, hash))}
	for name, c := range map[string]struct {
		forge func(*controlv1.SignedPolicy)
		holds bool
	}{
		"as it is":                       {func(*controlv1.SignedPolicy) {}, true},
		"another cluster is named":       {func(e *controlv1.SignedPolicy) { e.Cluster = "CL000000000000000000000000000000bb" }, true}, // nobody goes by it
		"another rule":                   {func(e *controlv1.SignedPolicy) { e.Policy.Rules.AllowRegionChange = true }, false},
		"another home":                   {func(e *controlv1.SignedPolicy) { e.Policy.HomeRegion = "us1" }, false},
		"another tenant":                 {func(e *controlv1.SignedPolicy) { e.Policy.Tenant = "TN000000000000000000000000000000bb" }, false},
		"another sequence":               {func(e *controlv1.SignedPolicy) { e.Sequence = 8 }, false},
		"a key is left out":              {func(e *controlv1.SignedPolicy) { e.Keys = e.Keys[1:] }, false},
		"a key of another purpose":       {func(e *controlv1.SignedPolicy) { e.Keys[0].Purpose = "root" }, false},
		"an approver's employer":         {func(e *controlv1.SignedPolicy) { e.Keys[3].Entity = "DOM-US" }, false},
		"a withdrawal of another":        {func(e *controlv1.SignedPolicy) { e.Withdrawals[0].SigningKey = e.Keys[3].Id }, false},
		"another number of its API keys": {func(e *controlv1.SignedPolicy) { e.ApiKeys.Number = 10 }, false},
		"no signature":                   {func(e *controlv1.SignedPolicy) { e.Policy.Signatures = nil }, false},
	} {
		e := SignedPolicyOf(signedCluster, &p, "1", s)
		c.forge(e)
		row, err := SignedRowFrom(e)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := policy.VerifyRow(signedCluster, publicOf(root), nil, row); (err == nil) != c.holds {
			t.Errorf("%s: %v, want it to hold: %t", name, err, c.holds)
		}
		if name == "as it is" && (!reflect.DeepEqual(row.Signers, s) || row.ID != signedTenant || row.Home != "ie1") {
			t.Errorf("got %+v of %+v", row.Signers, s)
		}
	}
	row, err := SignedRowFrom(SignedPolicyOf(signedCluster, &p, "1", nil))
	if err != nil || row.Signers != nil {
		t.Errorf("of a tenant without keys: %+v, %v", row, err)
	}
	if _, err := SignedRowFrom(&controlv1.SignedPolicy{Policy: &controlv1.Policy{Rules: &controlv1.PolicyRules{OnRegionUnavailable: "later than this release"}}}); err == nil {
		t.Error("a policy of unknown form was read")
	}
}
