package policy

import (
	"crypto/ed25519"
	"testing"
	"time"
)

const testCluster = "CL00000000000000000000000000000001"

// granted gives an open basis with a grant signed by a key.
func granted(key ed25519.PrivateKey, until *time.Time, sequence uint64) *TransferBasis {
	return &TransferBasis{ID: "SCC", State: BasisActive, ExpiresAt: until, Grant: &BasisGrant{Until: until, Sequence: sequence,
		Signature: Sign(key, BasisStatement(testCluster, "SCC", until, sequence))}}
}

func TestBasisIsOpenedOnlyByAGrantOfTheRoot(t *testing.T) {
	root, rootKey, _ := ed25519.GenerateKey(nil)
	_, strangerKey, _ := ed25519.GenerateKey(nil)
	soon, late := testNow.Add(time.Hour), testNow.Add(2*time.Hour)
	seeded := &TransferBasis{ID: "SCC", State: BasisActive}
	shorter := &TransferBasis{ID: "SCC", State: BasisActive, ExpiresAt: &soon}
	revoked := &TransferBasis{ID: "SCC", State: BasisRevoked}
	once := granted(rootKey, &soon, 1)
	fallen := &TransferBasis{ID: "SCC", State: BasisRevoked, Grant: once.Grant}
	longer := *once
	longer.ExpiresAt = &late
	sooner := *granted(rootKey, &late, 1)
	sooner.ExpiresAt = &soon
	for name, c := range map[string]struct {
		old, next *TransferBasis
		ok        bool
	}{
		"the cluster began with it":             {nil, seeded, true},
		"revoked":                               {seeded, revoked, true},
		"ends sooner":                           {seeded, shorter, true},
		"reinstated by nobody":                  {revoked, seeded, false},
		"extended by nobody":                    {shorter, seeded, false},
		"a zero end":                            {nil, &TransferBasis{ID: "SCC", ExpiresAt: &time.Time{}}, false},
		"reinstated by the root":                {revoked, once, true},
		"first seen as reinstated":              {nil, once, true},
		"reinstated by a stranger":              {revoked, granted(strangerKey, &soon, 1), false},
		"first seen as a stranger's":            {nil, granted(strangerKey, &soon, 1), false},
		"longer than granted":                   {revoked, &longer, false},
		"shorter than granted":                  {revoked, &sooner, true},
		"the same grant again after revocation": {fallen, once, false},
		"the next grant after revocation":       {fallen, granted(rootKey, &soon, 2), true},
		"the grant left out":                    {once, revoked, false},
		"closed with its grant":                 {once, fallen, true},
	} {
		if err := VerifyBasis(testCluster, root, c.old, c.next); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if fallen.NextGrant() != 2 || seeded.NextGrant() != 1 {
		t.Error("the next grant has the next sequence")
	}
}

func TestFlowsOnABasis(t *testing.T) {
	p := DefaultPolicy(tenantN(1), ireland, "DOM-IE")
	p.Egress[PseudonymisedExport] = EgressRule{Effect: Allow, Basis: "SCC"}
	p.Egress[Aggregate] = EgressRule{Effect: Cap, PerDay: 1, Basis: "BCR"}
	p.Recipients = Recipients{List: []Recipient{{ID: recipientN(1), Region: "us1", Purpose: "fraud"}, {ID: recipientN(2), Region: "jp1", Purpose: "quality"}}}
	if f := p.FlowsOn("SCC"); len(f) != 2 || f[1] != (Flow{PseudonymisedExport, recipientN(2), "jp1", "quality"}) {
		t.Errorf("%+v", f)
	}
	if f := p.FlowsOn(NoTransfer); len(f) != 6 || f[0].Recipient != "" {
		t.Errorf("%+v", f)
	}
	if f := p.FlowsOn("MADE-UP"); f != nil {
		t.Errorf("%+v", f)
	}
}

func TestTopologyKnowsItsBases(t *testing.T) {
	var none *Topology
	if _, ok := none.Basis("SCC"); ok || none.Bases() != nil || none.BasisRefusal("SCC", testNow) != RuleBasisUnknown {
		t.Error("an absent topology knows a basis")
	}
	if top := none.WithBases(testBases); len(top.Bases()) != len(testBases) || top.Bases()[0].ID != "BCR" {
		t.Errorf("%v", top.Bases())
	}
	if !BasisExpired.Valid() || BasisState("open").Valid() {
		t.Error("states are a closed list")
	}
}
