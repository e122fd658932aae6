package store

import (
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

func aGrant(until *time.Time, sequence uint64) *policy.BasisGrant {
	value := make([]byte, 88)
	for i := range value {
		value[i] = 'A'
	}
	return &policy.BasisGrant{Until: until, Sequence: sequence, Signature: policy.Signature{KeyID: hexHash("root")[:32], Value: string(value)}}
}

func TestBasisIsRevokedAtOnceAndOpenedByAGrantOnly(t *testing.T) {
	f := seeded(t)
	scc := got(f.Basis("SCC"))(t)
	f.refuses(PutBasis{ID: "SCC", State: policy.BasisRevoked}, policy.IfMatchRequired)
	f.refuses(PutBasis{ID: "SCC", State: policy.BasisRevoked, IfMatch: "ff"}, policy.ETagMismatch)
	f.refuses(PutBasis{ID: "scc", State: policy.BasisRevoked}, policy.InvalidArgument)
	f.refuses(PutBasis{ID: "NEW", State: policy.BasisActive}, policy.LooseningNeedsApproval)
	f.refuses(PutBasis{ID: "NEW", State: policy.BasisActive, IfMatch: "1"}, policy.ETagMismatch)

	soon := f.now.Add(time.Hour)
	shorter := body[Basis](t, f.must(PutBasis{ID: "SCC", State: policy.BasisActive, ExpiresAt: &soon, IfMatch: scc.ETag}))
	f.refuses(PutBasis{ID: "SCC", State: policy.BasisActive, IfMatch: shorter.ETag}, policy.LooseningNeedsApproval)
	down := body[Basis](t, f.must(PutBasis{ID: "SCC", State: policy.BasisRevoked, IfMatch: shorter.ETag}))
	if top := f.Topology(); top.BasisRefusal("SCC", f.now) != policy.RuleBasisRevoked || top.BasisRefusal("NONE", f.now) != 0 {
		t.Error("the state does not know what was revoked")
	}
	r := f.apply(PutBasis{ID: "SCC", State: policy.BasisActive, IfMatch: down.ETag})
	if r.Err == nil || r.Err.Reason != policy.LooseningNeedsApproval || r.Err.Metadata["grant_sequence"] != "1" {
		t.Errorf("%+v", r.Err)
	}
	up := body[Basis](t, f.must(PutBasis{ID: "SCC", State: policy.BasisActive, Grant: aGrant(nil, 1), IfMatch: down.ETag}))
	if f.Topology().BasisRefusal("SCC", f.now) != 0 || up.Grant == nil {
		t.Error("a granted basis is not open")
	}
	again := body[Basis](t, f.must(PutBasis{ID: "SCC", State: policy.BasisRevoked, IfMatch: up.ETag}))
	f.refuses(PutBasis{ID: "SCC", State: policy.BasisActive, Grant: aGrant(nil, 1), IfMatch: again.ETag}, policy.LooseningNeedsApproval)
	f.must(PutBasis{ID: "NEW", State: policy.BasisActive, Grant: aGrant(nil, 1)})
}

// A drill leaves every region's bundle, and the etag, as they were.
func TestDrillChangesNothingThatARegionSees(t *testing.T) {
	f := seeded(t)
	before, _ := rows(t, f.Store, "ie1")
	scc, at := got(f.Basis("SCC"))(t), f.Revision()
	b := body[Basis](t, f.must(DrillBasis{ID: "SCC"}))
	after, _ := rows(t, f.Store, "ie1")
	if b.DrilledAt == nil || b.State != policy.BasisActive || b.ETag != scc.ETag || len(before) != len(after) {
		t.Errorf("%+v", b)
	}
	for k, row := range before {
		if after[k] != row {
			t.Errorf("a drill changed %s", k)
		}
	}
	if d := got(f.RowsChanged("ie1", at))(t); len(d.Rows)+len(d.Removed) != 0 {
		t.Errorf("a drill was shipped: %+v", d)
	}
	f.refuses(DrillBasis{ID: "NOBODYS"}, policy.NotFound)
}

func TestRevocationReachesEveryRegion(t *testing.T) {
	f := seeded(t)
	for _, region := range []policy.RegionID{"ie1", "us1", "au1"} {
		at := f.Revision()
		b := got(f.Basis("SCC"))(t)
		state := policy.BasisRevoked
		if b.State == state {
			state = policy.BasisExpired
		}
		f.must(PutBasis{ID: "SCC", State: state, IfMatch: b.ETag})
		d := got(f.RowsChanged(region, at))(t)
		if len(d.Rows) != 1 || d.Rows[0].Basis == nil || d.Rows[0].Basis.State != state {
			t.Errorf("%s: %+v", region, d.Rows)
		}
	}
}

func TestOnBasisFollowsPolicies(t *testing.T) {
	f := seeded(t)
	a := f.tenant(1, "ie1")
	p := createTenant(2, "us1")
	p.Policy = exporting(f, "us1", recipient(1, "ie1"))
	f.must(p)
	found, all, err := f.OnBasis("SCC", "", 10)
	check(t, err)
	if all != 1 || len(found) != 1 || found[0].Tenant != p.ID {
		t.Errorf("%d of %d", len(found), all)
	}
	if found, all, err = f.OnBasis("NONE", a.ID, 10); err != nil || all != 2 || len(found) != 1 {
		t.Errorf("%d of %d, %v", len(found), all, err)
	}
	old := got(f.Policy(p.ID))(t)
	closed := old.ResidencyPolicy
	closed.Egress = map[policy.EgressClass]policy.EgressRule{policy.PseudonymisedExport: {Effect: policy.Deny}}
	f.must(PutPolicy{Tenant: p.ID, IfMatch: old.ETag, Policy: closed})
	if _, all, err = f.OnBasis("SCC", "", 10); err != nil || all != 0 {
		t.Errorf("%d still rely on it, %v", all, err)
	}
	named := createTenant(3, "us1")
	named.Policy = exporting(f, "us1", recipient(1, "ie1"))
	named.Policy.Egress[policy.PseudonymisedExport] = policy.EgressRule{Effect: policy.Allow, Basis: "MADE-UP"}
	f.refuses(named, policy.InvalidArgument)
}

func TestFeatureIsTakenAwayFromNobody(t *testing.T) {
	f := seeded(t)
	voice := Feature{Region: "ie1", Name: "voice", Stage: "none"}
	f.tenant(1, "ie1")
	f.tenant(2, "ie1")
	f.tenant(3, "us1")
	r := f.apply(PutFeature{Feature: voice, IfMatch: "1"})
	if r.Err == nil || r.Err.Metadata["tenants"] != "2" {
		t.Errorf("%+v", r.Err)
	}
	voice.Stage = "beta"
	at := f.Revision()
	x := body[Feature](t, f.must(PutFeature{Feature: voice, IfMatch: "1"}))
	if d := got(f.RowsChanged("ie1", at))(t); len(d.Rows) != 1 || d.Rows[0].Features.Stages[policy.Voice] != policy.StageBeta {
		t.Errorf("%+v", d.Rows)
	}
	if d := got(f.RowsChanged("us1", at))(t); len(d.Rows) != 0 {
		t.Errorf("another region learnt of it: %+v", d.Rows)
	}
	f.refuses(PutFeature{Feature: voice}, policy.IfMatchRequired)
	f.refuses(PutFeature{Feature: Feature{Region: "zz9", Name: "voice", Stage: "ga"}}, policy.NotFound)
	f.refuses(PutFeature{Feature: Feature{Region: "ie1", Name: "voice", Stage: "soon"}, IfMatch: x.ETag}, policy.InvalidArgument)
	f.refuses(PutFeature{Feature: Feature{Region: "au1", Name: "voice", Stage: "ga", Limits: []FeatureLimit{{"calls", 1}}}}, policy.InvalidArgument)
	f.refuses(PutFeature{Feature: Feature{Region: "au1", Name: "voice", Stage: "ga", Certifications: []string{"ISO 27001"}}}, policy.InvalidArgument)
	f.must(PutFeature{Feature: Feature{Region: "ie1", Name: "sip_trunking", Stage: "ga"}})
}

func TestEntityIsWrittenAndTenantsKeepTheirs(t *testing.T) {
	f := seeded(t)
	a := f.tenant(1, "ie1")
	ie := got(f.EntityFor("IE"))(t)
	f.refuses(PutEntity{Entity: Entity{Country: "IE", Code: "DOM-EU"}}, policy.IfMatchRequired)
	f.refuses(PutEntity{Entity: Entity{Country: "ie", Code: "DOM-EU"}}, policy.InvalidArgument)
	f.refuses(PutEntity{Entity: Entity{Country: "NZ", Code: "DOM-AU", SuggestedRegion: "zz9"}}, policy.InvalidArgument)
	f.must(PutEntity{Entity: Entity{Country: "IE", Code: "DOM-EU", SuggestedRegion: "ie1"}, IfMatch: ie.ETag})
	if now := got(f.Tenant(a.ID))(t); now.Entity != "DOM-IE" {
		t.Errorf("a tenant was re-contracted unasked: %s", now.Entity)
	}
	again := body[Tenant](t, f.must(UpdateTenant{ID: a.ID, IfMatch: a.ETag, BillingCountry: "IE"}))
	if p := got(f.Policy(a.ID))(t); again.Entity != "DOM-EU" || p.ContractingEntity != "DOM-EU" {
		t.Errorf("%s, %s", again.Entity, p.ContractingEntity)
	}
}
