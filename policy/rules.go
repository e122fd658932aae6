package policy

import (
	"strconv"
	"strings"
)

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
	RuleBasisUnknown
	RuleBasisRevoked
	RuleBasisExpired
	RuleBasisAcrossBoundary
	ruleLastDeny = RuleBasisAcrossBoundary

	RuleAtHome              RuleCode = 64
	RuleInBoundary          RuleCode = 65
	RuleRecipientAllowed    RuleCode = 66
	RuleMustPseudonymise    RuleCode = 67
	RuleMustRecordTransfer  RuleCode = 68
	RuleMustPassSinglingOut RuleCode = 69
)

// Denies reports whether the rule denies.
func (c RuleCode) Denies() bool { return c <= ruleLastDeny }

// ruleInfo is what the system says about one rule.
type ruleInfo struct {
	name        string
	reason      Reason // of the refusal; "" for rules that explain an allow
	explanation string // what the rule found and what to do next
}

// ruleInfos describes every rule. A rule that is added without a row fails
// TestEveryRuleIsDescribed.
var ruleInfos = map[RuleCode]ruleInfo{
	RuleUnknownTenant: {"UNKNOWN_TENANT", NotFound,
		"this region knows no such tenant; check the tenant id and that the region is the tenant's home"},
	RuleTenantSuspended: {"TENANT_SUSPENDED", PermissionDenied,
		"the tenant is suspended; ask the operator to resume it"},
	RuleUnknownRegion: {"UNKNOWN_REGION", NotReady,
		"the region where this would happen is not in the catalogue that the node holds; wait for a newer bundle or add the region"},
	RuleRegionStage: {"REGION_STAGE", FeatureNotInRegion,
		"the region is at a stage of its life that does not do this (planned, read-only or retired); use an active region"},
	RuleNoClassRule: {"NO_CLASS_RULE", PermissionDenied,
		"the tenant's policy has no rule for this class of data, and what has no rule is denied; add the class to the policy"},
	RuleInvalidRequest: {"INVALID_REQUEST", InvalidArgument,
		"the question names no known operation or data class, or an export states no time; ask with values of the closed lists"},
	RuleOutsideHome: {"OUTSIDE_HOME", WrongRegion,
		"this data may be handled only in the tenant's home region; send the request there"},
	RuleOutsideBoundary: {"OUTSIDE_BOUNDARY", WrongRegion,
		"this data may be handled only inside the tenant's boundary; send the request to the home region"},
	RuleModeNotYet: {"MODE_NOT_YET", NotYet,
		"replication inside a boundary is not built yet; use sealed or restricted"},
	RuleAttestation: {"ATTESTATION_TOO_WEAK", PermissionDenied,
		"the place of this node is not attested as strongly as the policy asks; use a node with a stronger attestation"},
	RuleStaleExport: {"STALE_EXPORT", PolicyStale,
		"the policy was not confirmed recently enough to let anything leave; the export waits until the control plane is heard again"},
	RuleStaleRead: {"STALE_READ", PolicyStale,
		"the policy was not confirmed for so long that the node only takes records in; restore contact with the control plane to read"},
	RuleClockSuspect: {"CLOCK_SUSPECT", PolicyStale,
		"the node's wall clock jumped, so expiries cannot be judged; nothing leaves until the clock is synchronised again"},
	RuleAuditDown: {"AUDIT_DOWN", NotReady,
		"the ledger cannot be written, and nothing leaves or is erased unrecorded; restore the ledger's disk"},
	RuleKeysDown: {"KEYS_DOWN", NotReady,
		"the key service cannot be reached; restore it and the export goes on"},
	RuleUnclassifiedField: {"UNCLASSIFIED_FIELD", EgressDenied,
		"the data holds a field without a field class, so nobody can say what it reveals; give the field a class"},
	RuleNeverExported: {"NEVER_EXPORTED", EgressDenied,
		"data of this class never crosses a border, whatever the policy says; process it at home"},
	RuleEgressDenied: {"EGRESS_DENIED", EgressDenied,
		"the policy does not allow this egress class; allow it in the policy, which is a loosening and needs approval"},
	RuleEgressCap: {"EGRESS_CAP", EgressDenied,
		"the policy's daily number of releases is used up; wait for the next UTC day or raise the cap, which is a loosening"},
	RuleNoBasis: {"NO_BASIS", EgressDenied,
		"the egress rule names no transfer basis; name one in the policy"},
	RuleUnknownRecipient: {"UNKNOWN_RECIPIENT", EgressDenied,
		"the recipient is not on the policy's allow-list; add it to the policy, which is a loosening and needs approval"},
	RulePurpose: {"PURPOSE_MISMATCH", EgressDenied,
		"the recipient may receive data for another purpose only; state the purpose that the policy names"},
	RuleAssessmentExpired: {"ASSESSMENT_EXPIRED", EgressDenied,
		"the transfer assessment of this recipient has expired; renew it in the policy"},
	RuleRecipientRegion: {"RECIPIENT_REGION", EgressDenied,
		"the recipient's region is unknown or does not serve; activate the region or change the recipient"},
	RuleStorageFull: {"STORAGE_FULL", StorageFull,
		"the node's disk is nearly full; free space or add a disk, then repeat the request"},
	RuleConsentUnproved: {"CONSENT_UNPROVED", ConsentRequired,
		"the policy requires consent for this class of data and no consent is proved; record the consent at home, or export another class"},
	RuleBasisUnknown: {"BASIS_UNKNOWN", NotReady,
		"the policy names a transfer basis that this node does not know; wait for a newer bundle, or name one of `domicile bases list` in the policy"},
	RuleBasisRevoked: {"BASIS_REVOKED", EgressDenied,
		"the transfer basis that the policy names was revoked, and nothing leaves under it; name another in the policy, which is a loosening, or reinstate it"},
	RuleBasisExpired: {"BASIS_EXPIRED", EgressDenied,
		"the transfer basis that the policy names has run out; name another in the policy, which is a loosening, or extend it"},
	RuleBasisAcrossBoundary: {"BASIS_REQUIRED", EgressDenied,
		"the basis NONE is for what stays in the boundary, and the recipient's region is outside it; name a transfer basis in the policy"},

	RuleAtHome:              {"AT_HOME", "", "this happens in the tenant's home region"},
	RuleInBoundary:          {"IN_BOUNDARY", "", "the class is restricted, and this happens inside the tenant's boundary"},
	RuleRecipientAllowed:    {"RECIPIENT_ALLOWED", "", "the recipient is on the policy's allow-list for this purpose"},
	RuleMustPseudonymise:    {"MUST_PSEUDONYMISE", "", "only pseudonymised rows may leave"},
	RuleMustRecordTransfer:  {"MUST_RECORD_TRANSFER", "", "a transfer record must be written before anything is sent"},
	RuleMustPassSinglingOut: {"MUST_PASS_SINGLING_OUT", "", "rows of classes with too few distinct people must be suppressed"},
}

// String is the rule's code in the closed list, e.g. OUTSIDE_HOME.
func (c RuleCode) String() string {
	if info, ok := ruleInfos[c]; ok {
		return info.name
	}
	return "UNKNOWN_RULE_" + strconv.Itoa(int(c))
}

// Explanation says in plain words what the rule found and what to do next.
func (c RuleCode) Explanation() string {
	if info, ok := ruleInfos[c]; ok {
		return info.explanation
	}
	return "this rule is newer than the program that shows it; upgrade the program"
}

// errorOrder ranks the reasons of a denied decision: first what hides a foreign
// tenant, then what sends the caller elsewhere, then what will not change by
// itself, and last what passes with time, so that nobody retries in vain.
var errorOrder = []Reason{NotFound, WrongRegion, InvalidArgument, PermissionDenied, NotYet, FeatureNotInRegion,
	EgressDenied, ConsentRequired, StorageFull, NotReady, PolicyStale}

// Err is nil when d allows; else the refusal in the vocabulary of errors: the
// reason of the strongest rule that denied, its explanation, and as metadata
// "rules" (every code that denied) and, for WRONG_REGION, "home_region".
// An unknown tenant's error tells nothing more.
func (d *Decision) Err() *Error {
	if d.Effect == Allow {
		return nil
	}
	for _, reason := range errorOrder {
		for _, code := range d.reasons[:d.n] {
			if ruleInfos[code].reason == reason {
				return d.refusal(code, reason)
			}
		}
	}
	// The zero Decision denies without a rule: nobody asked Decide.
	return Errorf(PermissionDenied, "no rule allows this; what no rule allows is denied")
}

func (d *Decision) refusal(code RuleCode, reason Reason) *Error {
	e := Errorf(reason, "%s", code.Explanation())
	if reason == NotFound {
		return e
	}
	var codes []string
	for _, c := range d.reasons[:d.n] {
		if c.Denies() {
			codes = append(codes, c.String())
		}
	}
	e.With("rules", strings.Join(codes, ","))
	if reason == WrongRegion {
		e.With("home_region", string(d.Home))
	}
	return e
}
