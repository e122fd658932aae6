package policy

import (
	"fmt"
	"regexp"
	"strconv"
)

// Defaults that converters fill in where an owner left a field out. Validate
// accepts no zero in their place: what is stored says exactly what holds.
const (
	DefaultThreshold = 10 // k, and the least allowed
	DefaultColluding = 3  // m

	DefaultTransforms   = "standard" // the only transform set
	DefaultMaxStaleness = Seconds(60)
	DefaultMaxDuration  = Seconds(3600) // of a grant
	DefaultScopeWidth   = "record"
	ApprovalByPeople    = "required" // the only value of AccessRule.Approval
)

// Limits of a policy.
const (
	MaxRecipients      = 64
	MaxAllowedReasons  = 16 // of AccessRule.AllowedReasons
	MaxPurposes        = 32 // of consent, per class
	MaxRetention       = Seconds(100 * 365 * 24 * 3600)
	MaxPolicyStaleness = Seconds(24 * 3600)
	MaxGrant           = Seconds(4 * 3600)
	MaxThreshold       = 1_000_000 // of both k and m
	maxErrors          = 100       // of one Validate; the rest adds nothing
	maxSignatures      = 8
	maxSignatureLen    = 88 // base64 of 64 bytes
)

var (
	purposePattern   = newPattern(`^[a-z][a-z0-9_]{1,31}$`, lowers, lowers+decimals+"_", 2, 32)
	profilePattern   = newPattern(`^[a-z0-9_]{0,32}$`, lowers+decimals+"_", lowers+decimals+"_", 0, 32)
	basisPattern     = newPattern(`^[A-Z0-9-]{1,32}$`, capitals+decimals+"-", capitals+decimals+"-", 1, 32)
	entityPattern    = newPattern(`^[A-Z][A-Z0-9-]{1,31}$`, capitals, capitals+decimals+"-", 2, 32)
	reasonPattern    = newPattern(`^[A-Z_]{1,64}$`, capitals+"_", capitals+"_", 1, 64)
	signaturePattern = regexp.MustCompile(`^[A-Za-z0-9+/]{86}==$`)
)

// ParseBasisID checks the form of a transfer basis' id, e.g. ADEQUACY-DPF.
func ParseBasisID(s string) (string, error) {
	if !basisPattern.MatchString(s) {
		return "", fmt.Errorf("transfer basis must match %s", basisPattern)
	}
	return s, nil
}

// ParseEntityCode checks the form of a contracting entity's code, e.g. DOM-IE.
func ParseEntityCode(s string) (string, error) {
	if !entityPattern.MatchString(s) {
		return "", fmt.Errorf("entity code must match %s", entityPattern)
	}
	return s, nil
}

// fieldErrors collects what is wrong.
type fieldErrors []FieldError

func (l *fieldErrors) addf(field, format string, args ...any) {
	if len(*l) < maxErrors {
		*l = append(*l, FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
	}
}

// require adds the message unless ok holds.
func (l *fieldErrors) require(ok bool, field, format string, args ...any) {
	if !ok {
		l.addf(field, format, args...)
	}
}

// Validate names every bad field of p by its JSON path, in a stable order, and
// never repeats a value. A policy that was never stored (Revision 0) needs an
// active home region; a stored one can be changed until its region is retired,
// so that a tenant of a draining region can still tighten. What is valid but
// not built yet is [ResidencyPolicy.NotYet]'s to say.
func (p *ResidencyPolicy) Validate(top *Topology) []FieldError {
	var l fieldErrors
	l.require(ValidID(KindTenant, string(p.Tenant)), "tenant", "must be TN and 32 hex digits")
	p.validateHome(top, &l)
	l.require(p.HomeEpoch >= 1, "home_epoch", "must be at least 1")
	l.require(entityPattern.MatchString(p.ContractingEntity), "contracting_entity", "must match %s", entityPattern)
	p.validateClasses(&l)
	l.require(p.OnUnavailable > 0 && p.OnUnavailable < numUnavailables, "on_region_unavailable", "must be fail_closed or failover_in_boundary")
	p.validateEgress(&l)
	p.Recipients.validate(top, &l)
	p.Access.validate(&l)
	p.validateConsent(&l)
	l.require(p.MaxStaleness >= 1 && p.MaxStaleness <= MaxPolicyStaleness, "max_policy_staleness", "must be 1 to %d seconds", MaxPolicyStaleness)
	l.require(p.MinAttestation > 0 && p.MinAttestation < numAttestations, "min_attestation", "must be one of %q", attestationNames[1:])
	l.require(len(p.Signatures) <= maxSignatures, "signatures", "at most %d", maxSignatures)
	for i, s := range p.Signatures {
		l.require(len(s.KeyID) == keyIDLen && lowerHex(s.KeyID), at("signatures", i, "key_id"), "must be %d hex digits", keyIDLen)
		l.require(signaturePattern.MatchString(s.Value), at("signatures", i, "value"), "must be %d characters of base64", maxSignatureLen)
	}
	return l
}

func (p *ResidencyPolicy) validateHome(top *Topology, l *fieldErrors) {
	home, ok := top.Region(p.HomeRegion)
	switch {
	case !ok:
		l.addf("home_region", "is not a region of this cluster; list them with GET /v1/regions")
	case p.Revision == 0 && home.Lifecycle != Active:
		l.addf("home_region", "is %s; a new tenant needs an active region", home.Lifecycle)
	case !home.Lifecycle.Serves():
		l.addf("home_region", "does not serve (it is planned or retired); move the tenant to an active region")
	}
	if ok {
		l.require(p.Boundary == home.Boundary, "boundary", "must be the home region's")
	}
}

// under names fields below a map's key, only when there is something to say of them:
// a policy is validated several times for each change, and nearly always sound.
func under[K fmt.Stringer](prefix string, k K) func(suffix string) string {
	return func(suffix string) string { return prefix + k.String() + suffix }
}

func (p *ResidencyPolicy) validateClasses(l *fieldErrors) {
	for c := range ascending(p.Classes) {
		rule, field := p.Classes[c], under("classes.", c)
		if !c.Valid() {
			l.addf(field(""), "is not a data class")
		}
		if !(rule.Mode > 0 && rule.Mode < numModes) {
			l.addf(field(".mode"), "must be one of %q", modeNames[1:])
		}
		if !(rule.Retention >= 0 && rule.Retention <= MaxRetention) {
			l.addf(field(".retention"), "must be 0 to %d seconds; 0 keeps until erased", MaxRetention)
		}
		if !profilePattern.MatchString(rule.RedactProfile) {
			l.addf(field(".redact_profile"), "must match %s", profilePattern)
		}
	}
}

func (p *ResidencyPolicy) validateEgress(l *fieldErrors) {
	for c := range ascending(p.Egress) {
		rule, field := p.Egress[c], under("egress.", c)
		if !(c > 0 && c < numEgressClasses) {
			l.addf(field(""), "is not an egress class")
		}
		if !(rule.Effect > 0 && rule.Effect < numEffects) {
			l.addf(field(".effect"), "must be one of %q", effectNames[1:])
		}
		if (rule.Effect == Cap) != (rule.PerDay > 0) {
			l.addf(field(".per_day"), "must be given with cap, and only with cap")
		}
		if !(rule.Basis == "" || basisPattern.MatchString(rule.Basis)) {
			l.addf(field(".basis"), "must match %s", basisPattern)
		}
		if rule.Effect == Deny {
			if rule.Basis != "" {
				l.addf(field(".basis"), "must be empty with deny")
			}
		} else {
			if rule.Basis == "" {
				l.addf(field(".basis"), "must name a transfer basis; NONE where data do not leave the boundary")
			}
		}
	}
}

func (r *Recipients) validate(top *Topology, l *fieldErrors) {
	l.require(r.DenyAll || len(r.List) > 0, "recipients.deny_all", "must be true when the list is empty: an empty list denies everything and has to say so")
	l.require(!r.DenyAll || len(r.List) == 0, "recipients.list", "must be empty with deny_all")
	l.require(len(r.List) <= MaxRecipients, "recipients.list", "at most %d recipients", MaxRecipients)
	seen := make(map[RecipientID]bool, len(r.List))
	for i, x := range r.List {
		name := func(f string) string { return at("recipients.list", i, f) }
		l.require(ValidID(KindRecipient, string(x.ID)), name("id"), "must be RP and 32 hex digits")
		l.require(!seen[x.ID], name("id"), "stands twice")
		seen[x.ID] = true
		_, known := top.Region(x.Region)
		l.require(known, name("region"), "is not a region of this cluster")
		l.require(purposePattern.MatchString(x.Purpose), name("purpose"), "must match %s", purposePattern)
		l.require(x.Transforms == DefaultTransforms, name("transforms"), "must be %q", DefaultTransforms)
		l.require(x.Threshold >= DefaultThreshold && x.Threshold <= MaxThreshold, name("threshold"), "must be %d to %d", DefaultThreshold, MaxThreshold)
		l.require(x.Colluding >= 1 && x.Colluding <= MaxThreshold, name("colluding"), "must be 1 to %d", MaxThreshold)
		l.require(len(x.AssessmentHash) == keySecretLen && lowerHex(x.AssessmentHash), name("assessment_hash"), "must be the hex SHA-256 of the transfer assessment")
		l.require(!x.AssessmentExpiry.IsZero(), name("assessment_expiry"), "must be a time")
	}
}

func (a *AccessRule) validate(l *fieldErrors) {
	l.require(a.Approval == ApprovalByPeople, "access.approval", "must be %q", ApprovalByPeople)
	l.require(len(a.AllowedReasons) <= MaxAllowedReasons, "access.allowed_reasons", "at most %d", MaxAllowedReasons)
	for i, r := range a.AllowedReasons {
		l.require(reasonPattern.MatchString(r), "access.allowed_reasons["+strconv.Itoa(i)+"]", "must match %s", reasonPattern)
	}
	l.require(boundaryPattern.MatchString(string(a.ApproverBoundary)), "access.approver_boundary", "must match %s", boundaryPattern)
	l.require(a.MaxDuration >= 1 && a.MaxDuration <= MaxGrant, "access.max_duration", "must be 1 to %d seconds", MaxGrant)
	_, known := scopeWidths[a.ScopeWidth]
	l.require(known, "access.scope_width", "must be record, call or day")
}

func (p *ResidencyPolicy) validateConsent(l *fieldErrors) {
	for c := range ascending(p.Consent) {
		field := "consent." + c.String()
		l.require(c.Valid(), field, "is not a data class")
		l.require(len(p.Consent[c]) <= MaxPurposes, field, "at most %d purposes", MaxPurposes)
		for i, purpose := range p.Consent[c] {
			l.require(purposePattern.MatchString(purpose), field+"["+strconv.Itoa(i)+"]", "must match %s", purposePattern)
		}
	}
}

// NotYet is nil unless the policy asks for something that is part of the
// contract and not built: the replicated mode, and failover inside the boundary.
func (p *ResidencyPolicy) NotYet() *Error {
	var l fieldErrors
	for c := range ascending(p.Classes) {
		l.require(p.Classes[c].Mode != Replicated, "classes."+c.String()+".mode", "replicated is not built yet; use sealed or restricted")
	}
	l.require(p.OnUnavailable != FailoverInBoundary, "on_region_unavailable", "failover_in_boundary is not built yet; use fail_closed")
	if len(l) == 0 {
		return nil
	}
	e := Errorf(NotYet, "the policy asks for what is not built yet: %s", l[0].Message)
	e.Fields = l
	return e
}

func at(list string, i int, field string) string { return list + "[" + strconv.Itoa(i) + "]." + field }
