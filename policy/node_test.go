package policy

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"
)

var nodeRoot = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, ed25519.SeedSize))

const nodeCluster = "CL00000000000000000000000000000001"

func anAdmission() NodeAdmission {
	return NodeAdmission{Node: "ND000000000000000000000000000000a1", Region: "ie1", Level: OperatorSigned, KeySHA256: strings.Repeat("ab", 32), IssuedAt: 1000, NotAfter: 2000}
}

func (a NodeAdmission) signed(key ed25519.PrivateKey, cluster string) NodeAdmission {
	a.Signature = Sign(key, a.Statement(cluster))
	return a
}

func TestTheStatementOfAnAdmissionIsFrozen(t *testing.T) {
	want := "domicile node admission v1\nCL00000000000000000000000000000001\nND000000000000000000000000000000a1\nie1\noperator_signed\n" + strings.Repeat("ab", 32) + "\n1000\n2000\n"
	if got := string(anAdmission().Statement(nodeCluster)); got != want {
		t.Errorf("got %q", got)
	}
}

// Whatever is changed after the root signed, the signature does not fit.
func TestAdmissionsAreTheRootsAndUnaltered(t *testing.T) {
	root := nodeRoot.Public().(ed25519.PublicKey)
	if err := anAdmission().signed(nodeRoot, nodeCluster).Verify(nodeCluster, root); err != nil {
		t.Fatal(err)
	}
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{4}, ed25519.SeedSize))
	for name, alter := range map[string]func(*NodeAdmission){
		"node":             func(a *NodeAdmission) { a.Node = "ND000000000000000000000000000000a2" },
		"malformed node":   func(a *NodeAdmission) { a.Node = "me" },
		"region":           func(a *NodeAdmission) { a.Region = "us1" },
		"malformed region": func(a *NodeAdmission) { a.Region = "ireland" },
		"level raised":     func(a *NodeAdmission) { a.Level = CloudSigned },
		"level lowered":    func(a *NodeAdmission) { a.Level = Declared },
		"key":              func(a *NodeAdmission) { a.KeySHA256 = strings.Repeat("ac", 32) },
		"malformed key":    func(a *NodeAdmission) { a.KeySHA256 = "ab" },
		"issued":           func(a *NodeAdmission) { a.IssuedAt++ },
		"end":              func(a *NodeAdmission) { a.NotAfter++ },
		"end before issue": func(a *NodeAdmission) { a.NotAfter = 999 },
		"for ever":         func(a *NodeAdmission) { a.NotAfter = 1 << 40 },
		"signer":           func(a *NodeAdmission) { *a = a.signed(other, nodeCluster) },
		"cluster":          func(a *NodeAdmission) { *a = a.signed(nodeRoot, "CL00000000000000000000000000000002") },
	} {
		a := anAdmission().signed(nodeRoot, nodeCluster)
		if alter(&a); a.Verify(nodeCluster, root) == nil {
			t.Errorf("altered %s was accepted", name)
		}
	}
}

// A node believes what the root signed about its own key, now, and what the
// cloud signed if it verified that itself. What the control plane says beyond
// that raises nothing.
func TestINV06_ANodeBelievesNoVoterAboutItsLevel(t *testing.T) {
	root := nodeRoot.Public().(ed25519.PublicKey)
	me := Holder{Node: anAdmission().Node, Region: "ie1", Keys: []string{"other", anAdmission().KeySHA256}}
	now := time.Unix(1500, 0)
	good := anAdmission().signed(nodeRoot, nodeCluster)
	forged := good
	forged.KeySHA256 = strings.Repeat("cd", 32)
	row := func(level Attestation, a *NodeAdmission) *NodeRow {
		return &NodeRow{ID: me.Node, Region: me.Region, Level: level, Admission: a}
	}
	foreign := row(CloudSigned, &good)
	foreign.ID = "ND000000000000000000000000000000a2"
	for name, c := range map[string]struct {
		row    *NodeRow
		holder Holder
		cloud  bool
		now    time.Time
		want   Attestation
	}{
		"no row":                            {nil, me, true, now, Declared},
		"the root's word":                   {row(OperatorSigned, &good), me, false, now, OperatorSigned},
		"a voter's word alone":              {row(OperatorSigned, nil), me, false, now, Declared},
		"a voter's word for more":           {row(CloudSigned, &good), me, false, now, OperatorSigned},
		"a voter's word for the most":       {row(CloudSigned, nil), me, false, now, Declared},
		"a forged admission":                {row(OperatorSigned, &forged), me, false, now, Declared},
		"ended":                             {row(OperatorSigned, &good), me, false, time.Unix(2000, 0), Declared},
		"another key":                       {row(OperatorSigned, &good), Holder{me.Node, me.Region, []string{"other"}}, false, now, Declared},
		"another node's row":                {foreign, me, true, now, Declared},
		"its own document, verified":        {row(CloudSigned, nil), me, true, now, CloudSigned},
		"its document, not bound to it yet": {row(Declared, nil), me, true, now, Declared},
	} {
		level, until := c.row.Proved(nodeCluster, root, c.holder, c.cloud, c.now)
		if level != c.want || (level == OperatorSigned) != until.Equal(time.Unix(2000, 0)) {
			t.Errorf("%s: %s until %s, want %s", name, level, until, c.want)
		}
	}
	moved := me
	moved.Region = "us1"
	if good.Covers(moved, now) == nil {
		t.Error("an admission of another region covers the node")
	}
}

// Below the level that a policy demands a row is bare, and everything is denied.
func TestRowsForALevel(t *testing.T) {
	home := Region{ID: "ie1", Boundary: "eu", Country: "IE", Cloud: "x", BackupRegion: "none", Lifecycle: Active}
	top, err := NewTopology([]Region{home})
	if err != nil {
		t.Fatal(err)
	}
	levels := []Attestation{Declared, OperatorSigned, CloudSigned}
	for _, demanded := range levels {
		p := DefaultPolicy("TN000000000000000000000000000000a1", home, "DOM-IE")
		p.MinAttestation = demanded
		row := Row{Tenant: &TenantRow{ID: p.Tenant, Slug: "acme", State: TenantActive, Home: "ie1", Policy: &p, Keys: []APIKey{{ID: "SK1"}}}}
		for _, have := range levels {
			got := row.For(have).Tenant
			q := Request{Tenant: p.Tenant, Op: Ingest, Class: CallRecord, Region: "ie1", Now: time.Unix(1, 0), Attestation: have}
			if have >= demanded {
				if got.Policy == nil || got.Demands != 0 {
					t.Errorf("%s for %s: left bare", demanded, have)
				}
				set := (&Set{}).With(1, []*Rules{Compile(got.Policy, got.State)}, nil)
				if d := Decide(set, top, q); d.Effect != Allow {
					t.Errorf("%s at %s: %v", demanded, have, d.Reasons())
				}
				continue
			}
			if got.Policy != nil || got.Demands != demanded || len(got.Keys) != 1 || row.Tenant.Policy == nil {
				t.Errorf("%s for %s: %+v", demanded, have, got)
			}
			set := (&Set{}).With(1, []*Rules{Withheld(got)}, nil)
			q.Attestation = CloudSigned // even if it had the level by now: it has no policy
			d := Decide(set, top, q)
			if err := d.Err(); d.Effect != Deny || err.Reason != PermissionDenied || err.Metadata["rules"] != "ATTESTATION_TOO_WEAK" {
				t.Errorf("%s at %s: %v", demanded, have, err)
			}
		}
	}
	for _, demanded := range levels {
		row := Row{Pair: &InboundPair{Tenant: "TN000000000000000000000000000000a1", Recipient: "RP1", From: "ie1", Purpose: "analytics", Transforms: "t", AllowListHash: "h", Basis: "SCC",
			MinAttestation: demanded, Keys: []APIKey{{ID: "SK1"}}}}
		for _, have := range append(levels, 0) {
			got := row.For(have).Pair
			weak := demanded > max(have, Declared)
			if got.Weak(have) != weak || (got.Purpose+got.Transforms+got.AllowListHash+got.Basis == "") != weak || (got.Demands == demanded) != weak || len(got.Keys) != 1 || row.Pair.Purpose == "" {
				t.Errorf("a pair that demands %s for %s: %+v", demanded, have, got)
			}
		}
	}
	if r := (Row{Region: &home}); r.For(Declared).Region != &home {
		t.Error("a region's row changed")
	}
	if key := (Row{Node: &NodeRow{ID: "ND1"}}).RowKey(); key != "n/ND1" {
		t.Errorf("row key %q", key)
	}
}
