package policy

import (
	"errors"
	"strings"
	"testing"
)

// validPolicy is full and valid, for the regions of testTopology.
func validPolicy() *ResidencyPolicy {
	p := fullPolicy()
	p.Revision = 0
	return p
}

func TestValidateAcceptsDefaultsAndFullPolicies(t *testing.T) {
	top := testTopology(t)
	byDefault := DefaultPolicy(tenantN(1), ireland, "DOM-IE")
	for name, p := range map[string]*ResidencyPolicy{"full": validPolicy(), "default": &byDefault} {
		if l := p.Validate(top); len(l) > 0 {
			t.Errorf("%s: %v", name, l)
		}
		if e := p.NotYet(); e != nil {
			t.Errorf("%s: %v", name, e)
		}
	}
}

// secret stands for whatever a careless client puts into a field.
const secret = "Mary +353861234567"

func TestValidateNamesEachBadField(t *testing.T) {
	recipient := func(f func(*Recipient)) func(*ResidencyPolicy) {
		return func(p *ResidencyPolicy) { f(&p.Recipients.List[0]) }
	}
	class := func(r ClassRule) func(*ResidencyPolicy) {
		return func(p *ResidencyPolicy) { p.Classes[Recording] = r }
	}
	egress := func(r EgressRule) func(*ResidencyPolicy) {
		return func(p *ResidencyPolicy) { p.Egress[Telemetry] = r }
	}
	cases := map[string]struct {
		field string
		edit  func(*ResidencyPolicy)
	}{
		"tenant":            {"tenant", func(p *ResidencyPolicy) { p.Tenant = secret }},
		"no such home":      {"home_region", func(p *ResidencyPolicy) { p.HomeRegion = "zz9" }},
		"planned home":      {"home_region", func(p *ResidencyPolicy) { p.HomeRegion, p.Boundary = "jp1", "jp" }},
		"stored, planned":   {"home_region", func(p *ResidencyPolicy) { p.HomeRegion, p.Boundary, p.Revision = "jp1", "jp", 3 }},
		"new in read-only":  {"home_region", func(p *ResidencyPolicy) { p.HomeRegion = "de1" }},
		"boundary":          {"boundary", func(p *ResidencyPolicy) { p.Boundary = "us" }},
		"epoch":             {"home_epoch", func(p *ResidencyPolicy) { p.HomeEpoch = 0 }},
		"entity":            {"contracting_entity", func(p *ResidencyPolicy) { p.ContractingEntity = secret }},
		"class":             {"classes.unknown(99)", func(p *ResidencyPolicy) { p.Classes[99] = ClassRule{Mode: Sealed} }},
		"mode":              {"classes.recording.mode", class(ClassRule{})},
		"retention":         {"classes.recording.retention", class(ClassRule{Mode: Sealed, Retention: -1})},
		"profile":           {"classes.recording.redact_profile", class(ClassRule{Mode: Sealed, RedactProfile: secret})},
		"unavailable":       {"on_region_unavailable", func(p *ResidencyPolicy) { p.OnUnavailable = 0 }},
		"egress class":      {"egress.unknown(99)", func(p *ResidencyPolicy) { p.Egress[99] = EgressRule{Effect: Deny} }},
		"effect":            {"egress.TELEMETRY.effect", egress(EgressRule{Basis: "NONE"})},
		"cap of nothing":    {"egress.TELEMETRY.per_day", egress(EgressRule{Effect: Cap, Basis: "SCC"})},
		"number, no cap":    {"egress.TELEMETRY.per_day", egress(EgressRule{Effect: Allow, Basis: "SCC", PerDay: 1})},
		"no basis":          {"egress.TELEMETRY.basis", egress(EgressRule{Effect: Allow})},
		"basis of denial":   {"egress.TELEMETRY.basis", egress(EgressRule{Effect: Deny, Basis: "SCC"})},
		"basis":             {"egress.TELEMETRY.basis", egress(EgressRule{Effect: Allow, Basis: secret})},
		"empty list":        {"recipients.deny_all", func(p *ResidencyPolicy) { p.Recipients = Recipients{} }},
		"list and deny_all": {"recipients.list", func(p *ResidencyPolicy) { p.Recipients.DenyAll = true }},
		"recipient id":      {"recipients.list[0].id", recipient(func(r *Recipient) { r.ID = secret })},
		"recipient twice":   {"recipients.list[1].id", func(p *ResidencyPolicy) { p.Recipients.List = append(p.Recipients.List, p.Recipients.List[0]) }},
		"recipient region":  {"recipients.list[0].region", recipient(func(r *Recipient) { r.Region = "zz9" })},
		"purpose":           {"recipients.list[0].purpose", recipient(func(r *Recipient) { r.Purpose = secret })},
		"transforms":        {"recipients.list[0].transforms", recipient(func(r *Recipient) { r.Transforms = "" })},
		"threshold 0":       {"recipients.list[0].threshold", recipient(func(r *Recipient) { r.Threshold = 0 })},
		"threshold 9":       {"recipients.list[0].threshold", recipient(func(r *Recipient) { r.Threshold = 9 })},
		"colluding":         {"recipients.list[0].colluding", recipient(func(r *Recipient) { r.Colluding = 0 })},
		"assessment":        {"recipients.list[0].assessment_hash", recipient(func(r *Recipient) { r.AssessmentHash = strings.Repeat("A", 64) })},
		"expiry":            {"recipients.list[0].assessment_expiry", recipient(func(r *Recipient) { *r = Recipient{ID: r.ID} })},
		"approval":          {"access.approval", func(p *ResidencyPolicy) { p.Access.Approval = "none" }},
		"reasons":           {"access.allowed_reasons[0]", func(p *ResidencyPolicy) { p.Access.AllowedReasons = []string{secret} }},
		"too many reasons":  {"access.allowed_reasons", func(p *ResidencyPolicy) { p.Access.AllowedReasons = make([]string, MaxAllowedReasons+1) }},
		"approvers":         {"access.approver_boundary", func(p *ResidencyPolicy) { p.Access.ApproverBoundary = "" }},
		"grant":             {"access.max_duration", func(p *ResidencyPolicy) { p.Access.MaxDuration = MaxGrant + 1 }},
		"scope":             {"access.scope_width", func(p *ResidencyPolicy) { p.Access.ScopeWidth = secret }},
		"consent class":     {"consent.unknown(99)", func(p *ResidencyPolicy) { p.Consent = map[DataClass][]string{99: nil} }},
		"consent purpose":   {"consent.transcript[0]", func(p *ResidencyPolicy) { p.Consent[Transcript] = []string{secret} }},
		"purposes":          {"consent.transcript", func(p *ResidencyPolicy) { p.Consent[Transcript] = make([]string, MaxPurposes+1) }},
		"staleness 0":       {"max_policy_staleness", func(p *ResidencyPolicy) { p.MaxStaleness = 0 }},
		"staleness":         {"max_policy_staleness", func(p *ResidencyPolicy) { p.MaxStaleness = MaxPolicyStaleness + 1 }},
		"attestation":       {"min_attestation", func(p *ResidencyPolicy) { p.MinAttestation = 9 }},
		"signer":            {"signatures[0].key_id", func(p *ResidencyPolicy) { p.Signatures[0].KeyID = secret }},
		"signature":         {"signatures[0].value", func(p *ResidencyPolicy) { p.Signatures[0].Value = secret }},
		"signatures":        {"signatures", func(p *ResidencyPolicy) { p.Signatures = make([]Signature, maxSignatures+1) }},
	}
	top := testTopology(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := validPolicy()
			c.edit(p)
			list := p.Validate(top)
			found := false
			for _, f := range list {
				found = found || f.Field == c.field
				if strings.Contains(f.Field+f.Message, secret) {
					t.Errorf("%s repeats what was sent", f.Field)
				}
			}
			if !found {
				t.Errorf("%q is not named; got %v", c.field, list)
			}
		})
	}
}

func TestValidateLetsStoredPoliciesOfReadOnlyRegionsChange(t *testing.T) {
	p := validPolicy()
	p.HomeRegion, p.Revision = "de1", 5
	if l := p.Validate(testTopology(t)); len(l) > 0 {
		t.Error("a tenant of a read-only region cannot tighten its policy:", l)
	}
}

func TestValidateIsBounded(t *testing.T) {
	p := validPolicy()
	p.Recipients.List = make([]Recipient, 10_000)
	if n := len(p.Validate(nil)); n != maxErrors {
		t.Errorf("%d errors, want the bound of %d", n, maxErrors)
	}
}

func TestNotYet(t *testing.T) {
	p := validPolicy()
	p.Classes[Recording] = ClassRule{Mode: Replicated}
	p.OnUnavailable = FailoverInBoundary
	e := p.NotYet()
	if !errors.Is(e, &Error{Reason: NotYet}) || len(e.Fields) != 2 || e.Fields[0].Field != "classes.recording.mode" {
		t.Errorf("got %+v, want NOT_YET for both fields", e)
	}
}
