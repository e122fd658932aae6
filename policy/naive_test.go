package policy

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// naive is a second evaluator, written from the contract and not from Decide:
// it works on the policy as its owner wrote it, keeps nothing compiled, and
// states each rule as one sentence. It returns the codes that deny, sorted.
func naive(p *ResidencyPolicy, state TenantState, regions []Region, bases []TransferBasis, q Request) (denials []RuleCode) {
	deny := func(when bool, code RuleCode) {
		if when {
			denials = append(denials, code)
		}
	}
	opKnown := slices.Contains(Operations(), q.Op)
	if !opKnown || !slices.Contains(DataClasses(), q.Class) {
		return []RuleCode{RuleInvalidRequest}
	}
	if q.Tenant != p.Tenant {
		return []RuleCode{RuleUnknownTenant}
	}
	find := func(id RegionID) *Region {
		for i := range regions {
			if regions[i].ID == id {
				return &regions[i]
			}
		}
		return nil
	}
	here, export := find(q.Region), q.Op == Export
	class, hasClass := p.Classes[q.Class]

	over := state == "purging" || state == "purged" || state == "deleted"
	erase := q.Op == Erase // stopped by nothing but a wrong place and lost keys
	deny(!erase && (over || state != TenantActive && q.Op != Store), RuleTenantSuspended)
	deny(here == nil, RuleUnknownRegion)
	if here != nil {
		takesRecords := here.Lifecycle == Active || here.Lifecycle == Draining
		answers := takesRecords || here.Lifecycle == ReadOnly
		brings := q.Op == Ingest || q.Op == Store
		deny(!erase && (brings && !takesRecords || !brings && !answers), RuleRegionStage)
	}
	deny(!erase && (!hasClass || class.Mode == 0), RuleNoClassRule)
	deny(!erase && hasClass && class.Mode != 0 && class.Mode != Sealed && class.Mode != Restricted, RuleModeNotYet)
	deny(!erase && (q.Attestation == 0 || q.Attestation < p.MinAttestation), RuleAttestation)
	deny(q.DiskFull && (q.Op == Ingest || q.Op == Store || export), RuleStorageFull)

	deny(erase && q.AuditDown, RuleAuditDown)
	deny(q.KeysLost, RuleKeysDown)
	dayOld := q.BundleAge < 0 || q.BundleAge.Hours() >= 24
	deny(dayOld && q.Op == View, RuleStaleRead)
	deny(dayOld && q.Op == Process && q.Region != p.HomeRegion, RuleStaleRead)

	if !export {
		away := q.Region != p.HomeRegion
		mayBeAway := class.Mode == Restricted && (q.Op == Process || q.Op == View)
		deny(away && !mayBeAway, RuleOutsideHome)
		var boundary Boundary
		if here != nil {
			boundary = here.Boundary
		}
		deny(away && mayBeAway && boundary != p.Boundary, RuleOutsideBoundary)
		slices.Sort(denials)
		return denials
	}

	bound := 60.0
	if own := float64(p.MaxStaleness); own > 0 && own < bound {
		bound = own
	}
	deny(q.BundleAge < 0 || q.BundleAge.Seconds() >= bound, RuleStaleExport)
	deny(q.Now.IsZero(), RuleInvalidRequest)
	deny(q.ClockSuspect, RuleClockSuspect)
	deny(q.AuditDown, RuleAuditDown)
	deny(q.KeysDown && !q.KeysLost, RuleKeysDown)
	deny(q.FieldsUnknown, RuleUnclassifiedField)
	deny(q.Region != p.HomeRegion, RuleOutsideHome)
	deny(!slices.Contains([]DataClass{CallRecord, Signalling, Derived, BillingUsage}, q.Class), RuleNeverExported)
	deny(len(p.Consent[q.Class]) > 0, RuleConsentUnproved)

	rule := p.Egress[q.Egress]
	door := q.Egress == PseudonymisedExport || q.Egress == Aggregate
	open := rule.Effect == Allow || rule.Effect == Cap
	deny(!door || !open, RuleEgressDenied)
	deny(door && rule.Effect == Cap && q.SentToday+1 > rule.PerDay, RuleEgressCap)
	deny(door && open && rule.Basis == "", RuleNoBasis)
	if door && open && rule.Basis != "" {
		at := slices.IndexFunc(bases, func(b TransferBasis) bool { return b.ID == rule.Basis })
		deny(at < 0, RuleBasisUnknown)
		if at >= 0 {
			b := bases[at]
			deny(b.State == "revoked", RuleBasisRevoked)
			over := b.ExpiresAt != nil && (q.Now.Equal(*b.ExpiresAt) || q.Now.After(*b.ExpiresAt))
			deny(b.State == "expired" || b.State == "active" && over, RuleBasisExpired)
		}
	}

	listed := slices.IndexFunc(p.Recipients.List, func(r Recipient) bool { return r.ID == q.Recipient })
	if p.Recipients.DenyAll || listed < 0 {
		deny(true, RuleUnknownRecipient)
	} else {
		to := p.Recipients.List[listed]
		there := find(to.Region)
		deny(to.Purpose != q.Purpose, RulePurpose)
		deny(!to.AssessmentExpiry.After(q.Now), RuleAssessmentExpired)
		deny(there == nil || there.Lifecycle == Planned || there.Lifecycle == Retired, RuleRecipientRegion)
		deny(door && open && there != nil && there.Boundary != p.Boundary && rule.Basis == "NONE", RuleBasisAcrossBoundary)
	}
	slices.Sort(denials)
	return denials
}

func checkAgainstNaive(t *rapid.T) {
	regions, p, state, q := drawRegions(t), drawPolicy(t), drawState(t), drawRequest(t)
	top, err := NewTopology(regions)
	if err != nil {
		t.Fatal(err)
	}
	top = top.WithBases(testBases)
	var empty *Set
	d := Decide(empty.With(p.Revision, []*Rules{Compile(p, state)}, nil), top, q)
	want := naive(p, state, regions, testBases, q)

	var got []RuleCode
	for _, c := range d.Reasons() {
		if c.Denies() {
			got = append(got, c)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Fatalf("Decide denies by %v, the naive evaluator by %v\nrequest %+v", got, want, q)
	}
	permit := d.Permit()
	if allowed := len(want) == 0; (d.Effect == Allow) != allowed || permit.Empty() == allowed || (d.Err() == nil) != allowed {
		t.Fatalf("effect %v, permit empty %v, error %v; denials %v", d.Effect, permit.Empty(), d.Err(), want)
	}
	if !permit.Empty() && !permit.Allows(q.Tenant, q.Op, q.Class) {
		t.Fatal("the permit does not cover what was asked")
	}
	if q.Op == Export && !permit.Empty() && permit.Transform() != Pseudonymise {
		t.Fatal("an export was permitted without pseudonymisation")
	}
}

// TestDecideAgreesWithTheNaiveEvaluator compares two independent readings of
// the rules on random worlds. `make fuzz-short` searches longer.
func TestDecideAgreesWithTheNaiveEvaluator(t *testing.T) { rapid.Check(t, checkAgainstNaive) }

func FuzzDecide(f *testing.F) { f.Fuzz(rapid.MakeFuzz(checkAgainstNaive)) }

// checkLooseningIsNeverSilent: whatever Classify lets pass without approval
// allows nothing that was denied before.
func checkLooseningIsNeverSilent(t *rapid.T) {
	regions, from := drawRegions(t), drawPolicy(t)
	to := mutate(t, from)
	q := drawAllowable(t, to)
	top, err := NewTopology(regions)
	if err != nil {
		t.Fatal(err)
	}
	top = top.WithBases(testBases)
	kind, fields := Classify(from, to)
	if kind == Loosen {
		return
	}
	var empty *Set
	before := Decide(empty.With(1, []*Rules{Compile(from, TenantActive)}, nil), top, q)
	after := Decide(empty.With(1, []*Rules{Compile(to, TenantActive)}, nil), top, q)
	if after.Effect == Allow && before.Effect != Allow {
		t.Fatalf("a change called %v allows what was denied by %v: %+v", kind, before.Reasons(), fields)
	}
	if kind == Neutral && after.Effect != before.Effect {
		t.Fatalf("a change called neutral turns %v into %v: %+v", before.Effect, after.Effect, fields)
	}
}

// mutate changes one thing.
func mutate(t *rapid.T, from *ResidencyPolicy) *ResidencyPolicy {
	to, other := *from, drawPolicy(t)
	switch rapid.IntRange(0, 5).Draw(t, "which") {
	case 0:
		to.Classes = other.Classes
	case 1:
		to.Egress = other.Egress
	case 2:
		to.Recipients = other.Recipients
	case 3:
		to.MaxStaleness = other.MaxStaleness
	case 4:
		to.MinAttestation = other.MinAttestation
	case 5:
		to.Consent = other.Consent
	}
	return &to
}

func TestLooseningIsNeverSilent(t *testing.T) { rapid.Check(t, checkLooseningIsNeverSilent) }

func FuzzClassify(f *testing.F) { f.Fuzz(rapid.MakeFuzz(checkLooseningIsNeverSilent)) }
