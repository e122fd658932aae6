package policy

import "time"

// Freshness limits of a node's bundle (contract §5). A policy may be stricter.
const (
	FreshFor = 60 * time.Second // exports need a bundle this fresh
	ReadFor  = 24 * time.Hour   // past this the node is write-only
	KeysFor  = 10 * time.Minute // how long a node works with the keys that it has when the key service is away
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
	KeysLost      bool // nor could it for KeysFor
	DiskFull      bool // less than 5 % of the node's disk is free
	SentToday     uint64
	FieldsUnknown bool // the data holds a field without a class
}

// maxReasons bounds a decision; there are fewer rules than this.
const maxReasons = 40

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
	d.reasons[d.n] = code // in bounds: each rule is noted at most once, and there are fewer than maxReasons
	d.n++
	d.denied = d.denied || code.Denies()
}

func (d *Decision) noteIf(holds bool, code RuleCode) {
	if holds {
		d.note(code)
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
	if q.Op == Export && q.Now.IsZero() {
		d.note(RuleInvalidRequest) // without a time every expiry would seem to lie ahead
	}
	d.tenantAndRegion(&r, top, q)
	d.conditions(&r, q)
	var to Recipient
	if q.Op == Export {
		to = d.export(&r, top, q)
	} else {
		d.locality(&r, top, q)
	}
	if d.denied {
		return d
	}
	d.Effect = Allow
	d.permit = Permit{tenant: q.Tenant, op: q.Op, class: q.Class, region: q.Region, transform: AsIs,
		revision: r.Revision, epoch: r.HomeEpoch}
	if q.Op == Export {
		d.permit.recipient, d.permit.to, d.permit.purpose = to.ID, to.Region, to.Purpose
		d.permit.basis, d.permit.transform = r.basis(q.Egress), Pseudonymise
	}
	return d
}

// tenantAndRegion: the tenant must be active and the region at a stage that
// does this kind of work.
func (d *Decision) tenantAndRegion(r *Rules, top *Topology, q Request) {
	if q.Op == Erase {
		// It moves nothing, and a person's right and a retention's end wait for no
		// tenant, stage, rule or level: only the place and the keys matter.
		_, ok := top.Region(q.Region)
		d.noteIf(!ok, RuleUnknownRegion)
		return
	}
	// What was accepted before the suspension is still stored; after the end nothing is.
	d.noteIf(r.State != TenantActive && (q.Op != Store || r.State.Ends()), RuleTenantSuspended)
	region, ok := top.Region(q.Region)
	switch {
	case !ok:
		d.note(RuleUnknownRegion)
	case (q.Op == Ingest || q.Op == Store) && !region.Lifecycle.Accepts(), !region.Lifecycle.Serves():
		d.note(RuleRegionStage)
	}
	d.noteIf(r.modes[q.Class] == 0 && !r.withheld, RuleNoClassRule)
	d.noteIf(r.modes[q.Class] >= Replicated, RuleModeNotYet)
	d.noteIf(r.withheld || q.Attestation < max(r.MinAttest, Declared), RuleAttestation)
}

// conditions: the fail-closed table (04 §3). Doubt stops what goes outward,
// never the acceptance of a home tenant's records; only a full disk does that.
// The policy's own staleness bound is for exports: a tenant goes on reading its
// own data at home for as long as ReadFor says.
func (d *Decision) conditions(r *Rules, q Request) {
	unknown := q.BundleAge < 0
	if q.Op == Export {
		if unknown || q.BundleAge >= FreshFor || (r.MaxStaleness > 0 && q.BundleAge >= r.MaxStaleness) {
			d.note(RuleStaleExport)
		}
		d.noteIf(q.ClockSuspect, RuleClockSuspect)
		d.noteIf(q.AuditDown, RuleAuditDown)
		d.noteIf(q.KeysDown && !q.KeysLost, RuleKeysDown)
		d.noteIf(q.FieldsUnknown, RuleUnclassifiedField)
	}
	d.noteIf(q.Op == Erase && q.AuditDown, RuleAuditDown) // a certificate that could not be witnessed
	d.noteIf(q.KeysLost, RuleKeysDown)
	reads := q.Op == View || (q.Op == Process && q.Region != r.Home)
	d.noteIf(reads && (unknown || q.BundleAge >= ReadFor), RuleStaleRead)
	writes := q.Op == Ingest || q.Op == Store || q.Op == Export
	d.noteIf(writes && q.DiskFull, RuleStorageFull)
}

// locality: what is not an export stays at home, or inside the boundary where
// the class is restricted and the operation does not store.
func (d *Decision) locality(r *Rules, top *Topology, q Request) {
	switch {
	case q.Region == r.Home:
		d.note(RuleAtHome)
	case r.modes[q.Class] != Restricted || q.Op == Ingest || q.Op == Store || q.Op == Erase:
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
	d.noteIf(q.Region != r.Home, RuleOutsideHome)
	d.noteIf(!q.Class.Exportable(), RuleNeverExported)
	// No purpose of consent can be proved yet, so a class that requires any stays.
	d.noteIf(r.consent[q.Class], RuleConsentUnproved)
	if q.Egress.exports() {
		d.egress(r.egress[q.Egress], top, q)
	} else {
		d.note(RuleEgressDenied)
	}
	to, ok := r.recipient(q.Recipient)
	if !ok {
		d.note(RuleUnknownRecipient)
		return Recipient{}
	}
	d.noteIf(to.Purpose != q.Purpose, RulePurpose)
	d.noteIf(!q.Now.Before(to.AssessmentExpiry), RuleAssessmentExpired)
	target, ok := top.Region(to.Region)
	d.noteIf(!ok || !target.Lifecycle.Serves(), RuleRecipientRegion)
	d.noteIf(ok && target.Boundary != r.Boundary && r.basis(q.Egress) == NoTransfer, RuleBasisAcrossBoundary)
	if !d.denied {
		d.note(RuleRecipientAllowed)
		d.note(RuleMustPseudonymise)
		d.note(RuleMustRecordTransfer)
		d.note(RuleMustPassSinglingOut)
	}
	return to
}

func (d *Decision) egress(rule EgressRule, top *Topology, q Request) {
	allows := rule.Effect == Allow || rule.Effect == Cap
	d.noteIf(!allows, RuleEgressDenied)
	d.noteIf(rule.Effect == Cap && q.SentToday >= rule.PerDay, RuleEgressCap)
	if !allows {
		return
	}
	if rule.Basis == "" {
		d.note(RuleNoBasis)
	} else if refusal := top.BasisRefusal(rule.Basis, q.Now); refusal != 0 {
		d.note(refusal)
	}
}
