// Package control converts between the wire forms of the policy API
// (api/control/v1) and the domain (package policy). The server and the CLI
// share it; the domain never sees a protobuf message, and a handler never
// copies a field by hand.
//
// Reading is strict: names outside the closed lists are field errors that name
// the field and never repeat the value.
package control

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// RulesOf is the part of p that its owner writes.
func RulesOf(p *policy.ResidencyPolicy) *controlv1.PolicyRules {
	out := &controlv1.PolicyRules{
		Classes: map[string]*controlv1.ClassRule{}, Egress: map[string]*controlv1.EgressRule{},
		OnRegionUnavailable: name(p.OnUnavailable), MaxPolicyStaleness: uint32(p.MaxStaleness),
		MinAttestation: name(p.MinAttestation), AllowRegionChange: p.AllowRegionChange,
		Recipients: &controlv1.RecipientList{DenyAll: p.Recipients.DenyAll},
		Access: &controlv1.AccessRule{Approval: p.Access.Approval, AllowedReasons: p.Access.AllowedReasons,
			ApproverBoundary: string(p.Access.ApproverBoundary), MaxDuration: uint32(p.Access.MaxDuration), ScopeWidth: p.Access.ScopeWidth},
	}
	for c, r := range p.Classes {
		out.Classes[c.String()] = &controlv1.ClassRule{Mode: name(r.Mode), Retention: uint32(r.Retention), RedactProfile: r.RedactProfile}
	}
	for e, r := range p.Egress {
		out.Egress[e.String()] = &controlv1.EgressRule{Effect: name(r.Effect), PerDay: uint32(r.PerDay), Basis: r.Basis}
	}
	for i := range p.Recipients.List {
		out.Recipients.List = append(out.Recipients.List, RecipientOf(&p.Recipients.List[i]))
	}
	for c, purposes := range p.Consent {
		if out.Consent == nil {
			out.Consent = map[string]*controlv1.Purposes{}
		}
		out.Consent[c.String()] = &controlv1.Purposes{Purposes: purposes}
	}
	return out
}

// PolicyOf is the wire form of a stored policy.
func PolicyOf(p *policy.ResidencyPolicy, etag string) *controlv1.Policy {
	out := &controlv1.Policy{
		Tenant: string(p.Tenant), HomeRegion: string(p.HomeRegion), Boundary: string(p.Boundary), HomeEpoch: uint32(p.HomeEpoch),
		Revision: p.Revision, Etag: etag, ContractingEntity: p.ContractingEntity, Rules: RulesOf(p),
	}
	for _, s := range p.Signatures {
		out.Signatures = append(out.Signatures, &controlv1.Signature{KeyId: s.KeyID, Value: s.Value})
	}
	return out
}

// ApplyRules gives base with its rules replaced by r; what only the system
// writes (tenant, home, boundary, epoch, entity) stays, signatures fall away.
// The error is INVALID_ARGUMENT naming every bad field under prefix ("rules",
// "policy"). policy.Validate is the caller's next step.
func ApplyRules(base policy.ResidencyPolicy, r *controlv1.PolicyRules, prefix string) (policy.ResidencyPolicy, error) {
	b := builder{prefix: prefix}
	p := base
	p.Signatures, p.Consent = nil, nil
	p.Classes, p.Egress = b.classes(r.GetClasses()), b.egress(r.GetEgress())
	p.OnUnavailable = policy.FailClosed
	b.closed(&p.OnUnavailable, r.GetOnRegionUnavailable(), "on_region_unavailable")
	p.MinAttestation = policy.Declared
	b.closed(&p.MinAttestation, r.GetMinAttestation(), "min_attestation")
	p.Recipients = b.recipients(r.GetRecipients())
	p.Access = accessOf(r.GetAccess(), base.Boundary)
	for _, c := range sortedKeys(r.GetConsent()) {
		class, err := policy.ParseDataClass(c)
		if err != nil {
			b.bad("consent", "a key is not one of the data classes")
			continue
		}
		if p.Consent == nil {
			p.Consent = map[policy.DataClass][]string{}
		}
		p.Consent[class] = slices.Clone(r.GetConsent()[c].GetPurposes())
	}
	p.MaxStaleness = policy.Seconds(r.GetMaxPolicyStaleness())
	if p.MaxStaleness == 0 {
		p.MaxStaleness = policy.DefaultMaxStaleness
	}
	p.AllowRegionChange = r.GetAllowRegionChange()
	return p, b.err()
}

// RecipientOf is the wire form of a recipient.
func RecipientOf(r *policy.Recipient) *controlv1.Recipient {
	return &controlv1.Recipient{Id: string(r.ID), Region: string(r.Region), Purpose: r.Purpose, Transforms: r.Transforms,
		Threshold: int32(r.Threshold), Colluding: int32(r.Colluding), AssessmentHash: r.AssessmentHash,
		AssessmentExpiry: timestamppb.New(r.AssessmentExpiry)}
}

// RecipientFrom reads a recipient; zero threshold, colluding and transforms
// take the defaults 10, 3 and "standard".
func RecipientFrom(r *controlv1.Recipient) policy.Recipient {
	out := policy.Recipient{ID: policy.RecipientID(r.GetId()), Region: policy.RegionID(r.GetRegion()), Purpose: r.GetPurpose(),
		Transforms: r.GetTransforms(), Threshold: int(r.GetThreshold()), Colluding: int(r.GetColluding()),
		AssessmentHash: r.GetAssessmentHash(), AssessmentExpiry: r.GetAssessmentExpiry().AsTime()}
	if out.Transforms == "" {
		out.Transforms = policy.DefaultTransforms
	}
	if out.Threshold == 0 {
		out.Threshold = policy.DefaultThreshold
	}
	if out.Colluding == 0 {
		out.Colluding = policy.DefaultColluding
	}
	return out
}

// RegionOf is the wire form of a region.
func RegionOf(r policy.Region, etag string) *controlv1.Region {
	return &controlv1.Region{Id: string(r.ID), Boundary: string(r.Boundary), Country: r.Country, Cloud: r.Cloud,
		BackupRegion: r.BackupRegion, Lifecycle: name(r.Lifecycle), BaseUrl: r.BaseURL, Etag: etag}
}

// RegionFrom reads a region's specification.
func RegionFrom(id policy.RegionID, r *controlv1.Region) (policy.Region, error) {
	b := builder{prefix: "spec"}
	if r.GetId() != "" && r.GetId() != string(id) {
		b.bad("id", "must be the region of the path, or left out")
	}
	out := policy.Region{ID: id, Boundary: policy.Boundary(r.GetBoundary()), Country: r.GetCountry(), Cloud: r.GetCloud(),
		BackupRegion: r.GetBackupRegion(), BaseURL: r.GetBaseUrl()}
	b.closed(&out.Lifecycle, r.GetLifecycle(), "lifecycle")
	return out, b.err()
}

func accessOf(a *controlv1.AccessRule, home policy.Boundary) policy.AccessRule {
	out := policy.AccessRule{Approval: a.GetApproval(), AllowedReasons: slices.Clone(a.GetAllowedReasons()),
		ApproverBoundary: policy.Boundary(a.GetApproverBoundary()), MaxDuration: policy.Seconds(a.GetMaxDuration()), ScopeWidth: a.GetScopeWidth()}
	if out.Approval == "" {
		out.Approval = policy.ApprovalByPeople
	}
	if out.ApproverBoundary == "" {
		out.ApproverBoundary = home
	}
	if out.MaxDuration == 0 {
		out.MaxDuration = policy.DefaultMaxDuration
	}
	if out.ScopeWidth == "" {
		out.ScopeWidth = policy.DefaultScopeWidth
	}
	return out
}

// name is a closed value's text; "" for a value that was never set.
func name(v interface{ MarshalText() ([]byte, error) }) string {
	b, err := v.MarshalText()
	if err != nil {
		return ""
	}
	return string(b)
}

// field names one field under a prefix, which may be "".
func field(prefix, path string) string {
	if prefix == "" {
		return path
	}
	return fmt.Sprintf("%s.%s", prefix, path)
}
