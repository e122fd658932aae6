package policy

import "time"

// Freshness limits of a node's bundle (contract §5). A policy may be stricter.
const (
	FreshFor = 60 * time.Second // exports need a bundle this fresh
	ReadFor  = 24 * time.Hour   // past this the node is write-only
)

// AgeUnknown as a BundleAge says that nobody knows how old the bundle is. Every
// negative age means the same: it counts as too old for everything but taking
// records in.
const AgeUnknown time.Duration = -1

// Request is one question to Decide. All time is in it.
type Request struct {
	Tenant    TenantID
	Op        Operation
	Class     DataClass
	Region    RegionID    // where it happens: the region of the asking process
	Egress    EgressClass // exports only
	Recipient RecipientID // exports only
	Purpose   string      // exports only

	Now         time.Time     // for expiries
	BundleAge   time.Duration // since the control plane last confirmed the bundle; AgeUnknown when it never did
	Attestation Attestation   // of the asking node

	ClockSuspect  bool // wall clock jumped against the monotonic one
	AuditDown     bool // the audit or ledger cannot be written
	KeysDown      bool // the key service cannot be reached
	DiskFull      bool // less than 5 % of the node's disk is free
	SentToday     uint64
	FieldsUnknown bool // the data holds a field without a class
}

// RuleCode names a rule of Decide and what it found.
type RuleCode uint8

// The rules. Codes up to ruleLastDeny deny; the others explain an allow.
const (
	RuleUnknownTenant RuleCode = iota + 1
	RuleTenantSuspended
	RuleUnknownRegion
	RuleRegionStage
	RuleNoClassRule
	RuleInvalidRequest
	RuleOutsideHome
	RuleOutsideBoundary
	RuleModeNotYet
	RuleAttestation
	RuleStaleExport
	RuleStaleRead
	RuleClockSuspect
	RuleAuditDown
	RuleKeysDown
	RuleUnclassifiedField
	RuleNeverExported
	RuleEgressDenied
	RuleEgressCap
	RuleNoBasis
	RuleUnknownRecipient
	RulePurpose
	RuleAssessmentExpired
	RuleRecipientRegion
	RuleStorageFull
	RuleConsentUnproved
	ruleLastDeny = RuleConsentUnproved

	RuleAtHome              RuleCode = 64
	RuleInBoundary          RuleCode = 65
	RuleRecipientAllowed    RuleCode = 66
	RuleMustPseudonymise    RuleCode = 67
	RuleMustRecordTransfer  RuleCode = 68
	RuleMustPassSinglingOut RuleCode = 69
)

// Denies reports whether the rule denies.
func (c RuleCode) Denies() bool { return c <= ruleLastDeny }

// maxReasons bounds a decision; there are fewer rules than this.
const maxReasons = 32

// Decision is the answer: an effect, every reason, and a permit when allowed.
// It is a value without pointers, so that deciding allocates nothing.
type Decision struct {
	Effect   Effect
	Revision uint64
	Home     RegionID // "" when the tenant is unknown
	permit   Permit
	reasons  [maxReasons]RuleCode
	n        uint8
	denied   bool
}

// Permit is empty unless the effect is Allow.
func (d *Decision) Permit() Permit { return d.permit }

// Reasons lists what every rule found, in order of evaluation.
func (d *Decision) Reasons() []RuleCode { return append([]RuleCode(nil), d.reasons[:d.n]...) }

// Has reports whether a rule is among the reasons.
func (d *Decision) Has(code RuleCode) bool {
	for _, r := range d.reasons[:d.n] {
		if r == code {
			return true
		}
	}
	return false
}

func (d *Decision) note(code RuleCode) {
	if int(d.n) < maxReasons {
		d.reasons[d.n] = code
		d.n++
	}
	if code.Denies() {
		d.denied = true
	}
}

// Decide answers whether the request is allowed. It is pure and total: no
// clock, no I/O, no error. It evaluates every rule that applies and denies
// unless some rule allows and none denies.
func Decide(set *Set, top *Topology, q Request) Decision {
	d := Decision{Effect: Deny}
	if q.Op == 0 || q.Op >= numOperations || !q.Class.Valid() {
		d.note(RuleInvalidRequest)
		return d
	}
	r, ok := set.Rules(q.Tenant)
	if !ok {
		d.note(RuleUnknownTenant)
		return d
	}
	d.Revision, d.Home = r.Revision, r.Home
	d.tenantAndRegion(r, top, q)
	d.conditions(r, q)
	var to Recipient
	if q.Op == Export {
		to = d.export(r, top, q)
	} else {
		d.locality(r, top, q)
	}
	if d.denied {
		return d
	}
	d.Effect = Allow
	d.permit = Permit{tenant: q.Tenant, op: q.Op, class: q.Class, region: q.Region, transform: AsIs,
		revision: r.Revision, epoch: r.HomeEpoch}
	if q.Op == Export {
		d.permit.recipient, d.permit.to, d.permit.purpose = to.ID, to.Region, to.Purpose
		d.permit.basis, d.permit.transform = r.egress[q.Egress].Basis, Pseudonymise
	}
	return d
}

// tenantAndRegion: the tenant must be active and the region at a stage that
// does this kind of work.
func (d *Decision) tenantAndRegion(r *Rules, top *Topology, q Request) {
	if r.State != TenantActive && q.Op != Store {
		d.note(RuleTenantSuspended)
	}
	region, ok := top.Region(q.Region)
	switch {
	case !ok:
		d.note(RuleUnknownRegion)
	case (q.Op == Ingest || q.Op == Store) && !region.Lifecycle.Accepts(), !region.Lifecycle.Serves():
		d.note(RuleRegionStage)
	}
	if r.modes[q.Class] == 0 {
		d.note(RuleNoClassRule)
	}
	if r.modes[q.Class] == Replicated {
		d.note(RuleModeNotYet)
	}
	if q.Attestation < r.MinAttest {
		d.note(RuleAttestation)
	}
}

// conditions: the fail-closed table (04 §3). Doubt stops what goes outward,
// never the acceptance of a home tenant's records.
func (d *Decision) conditions(r *Rules, q Request) {
	if q.Op == Export {
		if q.BundleAge < 0 || q.BundleAge >= FreshFor || (r.MaxStaleness > 0 && q.BundleAge >= r.MaxStaleness) {
			d.note(RuleStaleExport)
		}
		if q.ClockSuspect {
			d.note(RuleClockSuspect)
		}
		if q.AuditDown {
			d.note(RuleAuditDown)
		}
		if q.KeysDown {
			d.note(RuleKeysDown)
		}
		if q.FieldsUnknown {
			d.note(RuleUnclassifiedField)
		}
	}
	if q.Op == View && (q.BundleAge < 0 || q.BundleAge >= ReadFor) {
		d.note(RuleStaleRead)
	}
}

// locality: what is not an export stays at home, or inside the boundary where
// the class is restricted and the operation does not store.
func (d *Decision) locality(r *Rules, top *Topology, q Request) {
	switch {
	case q.Region == r.Home:
		d.note(RuleAtHome)
	case r.modes[q.Class] != Restricted || q.Op == Ingest || q.Op == Store:
		d.note(RuleOutsideHome)
	case top.Boundary(q.Region) != r.Boundary:
		d.note(RuleOutsideBoundary)
	default:
		d.note(RuleInBoundary)
	}
}

// export: only from home, only classes that may, only to a recipient of the
// allow-list, under a basis, and always pseudonymised.
func (d *Decision) export(r *Rules, top *Topology, q Request) Recipient {
	if q.Region != r.Home {
		d.note(RuleOutsideHome)
	}
	if !q.Class.Exportable() {
		d.note(RuleNeverExported)
	}
	if q.Egress != PseudonymisedExport && q.Egress != Aggregate {
		d.note(RuleEgressDenied)
		return Recipient{}
	}
	d.egress(r.egress[q.Egress], q)
	to, ok := r.recipient(q.Recipient)
	if !ok {
		d.note(RuleUnknownRecipient)
		return Recipient{}
	}
	if to.Purpose != q.Purpose {
		d.note(RulePurpose)
	}
	if !q.Now.Before(to.AssessmentExpiry) {
		d.note(RuleAssessmentExpired)
	}
	if target, ok := top.Region(to.Region); !ok || !target.Lifecycle.Serves() {
		d.note(RuleRecipientRegion)
	}
	if !d.denied {
		d.note(RuleRecipientAllowed)
		d.note(RuleMustPseudonymise)
		d.note(RuleMustRecordTransfer)
		d.note(RuleMustPassSinglingOut)
	}
	return to
}

func (d *Decision) egress(rule EgressRule, q Request) {
	switch rule.Effect {
	case Allow:
	case Cap:
		if q.SentToday >= rule.PerDay {
			d.note(RuleEgressCap)
		}
	default:
		d.note(RuleEgressDenied)
	}
	if rule.Effect != Deny && rule.Basis == "" {
		d.note(RuleNoBasis)
	}
}
